//! Damaged GGUF files: an error or a model folder, within bounded memory, and never the end of the process.

#[path = "../../text/tests/mutants/driver.rs"]
mod driver;

use driver::{bytes, fixture};
use ruminate_gguf::{Gguf, Import, Options};
use std::io::Cursor;

#[test]
fn files() {
    let sources: Vec<Vec<u8>> =
        ["llama", "qwen2", "qwen3", "pieces", "qwen3moe", "granite", "phi3", "deepseek2", "unigram"]
            .iter()
            .map(|name| fixture(&format!("gguf/{name}.gguf")))
            .collect();
    let words = [
        "tokenizer.ggml.tokens",
        "general.architecture",
        "llama.block_count",
        "tokenizer.ggml.scores",
        "tokenizer.ggml.precompiled_charsmap",
        "qwen3moe.expert_count",
        "deepseek2.attention.key_length_mla",
        "general.alignment",
        "GGUF",
        "\0\0\0\0",
    ];
    driver::run(
        "files",
        300,
        |random| {
            let [base, other] = [random.below(sources.len()), random.below(sources.len())];
            let (base, other) = (&sources[base], &sources[other]);
            // The header alone, or all of it: most of a file is numbers, of which any are as good as others.
            let cut = if random.below(3) == 0 { base.len() } else { base.len().min(20_000) };
            [bytes(random, &base[..cut], other, &words), base[cut..].to_vec()].concat()
        },
        |mutant| {
            let Ok(mut gguf) = Gguf::read(Cursor::new(mutant)) else { return };
            let Ok(plan) = Import::plan(&mut gguf, &Options::default()) else { return };
            let folder = tempfile::tempdir().expect("a folder");
            drop(plan.write(&mut gguf, folder.path(), &mut |_| {}));
        },
    );
}

//! Encodes a problem and a completion with the embedded tokenizer, and saves the tokenizer so that Python's
//! `tokenizers` and `transformers` load it: `cargo run -p ruminate-text --example encode -- FOLDER`

use ruminate_text::{Error, Tokenizer, r1_zero_prompt};
use std::path::PathBuf;

#[expect(clippy::print_stdout, reason = "an example shows its result")]
fn main() -> Result<(), Error> {
    let tokenizer = Tokenizer::embedded();
    let end: Vec<u32> = tokenizer.eos_id().into_iter().collect();

    let mut ids = tokenizer.encode("<think>14-8=06</think><answer>06</answer>")?;
    ids.extend(&end);
    println!("vocab_size {}, {} tokens: {ids:?}", tokenizer.vocab_size(), ids.len());
    println!("a verifier reads: {}", tokenizer.completion_text(&ids, &end)?);
    println!("a base model is asked: {}", r1_zero_prompt("What is 14-8?"));

    match tokenizer.encode("na\u{ef}ve") {
        Err(error) => println!("and what it refuses: {error}"),
        Ok(ids) => println!("unexpected: {ids:?}"),
    }
    if let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) {
        std::fs::create_dir_all(&folder).map_err(|source| Error::Write { path: folder.clone(), source })?;
        tokenizer.save(&folder)?;
        println!("saved to {}", folder.display());
    }
    Ok(())
}

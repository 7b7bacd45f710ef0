//! Loads a model folder, prefills a prompt and continues it greedily from the cache:
//! `cargo run --release -p ruminate-model --example continue_greedily [FOLDER]`

use ruminate_model::{Batch, DecodeStep, Precision, PreparedDecoder, load};
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| ruminate_testkit::fixture_path("model/deepseek_v3_full"));
    let decoder = load(&folder, &ruminate_testkit::device())?;
    let vocabulary = decoder.config().vocab_size;
    eprintln!("{:?}, {} parameters", decoder.config().family, decoder.parameter_count());

    let (mut tokens, new_tokens) = (vec![3_u32, 1, 4, 1, 5], 8);
    let prepared = PreparedDecoder::new(&decoder, Precision::F32);
    // One slot; a ring that holds the prompt and what comes after it.
    let mut cache = prepared.cache(1, tokens.len() + new_tokens);
    let (mut output, kept) = prepared.prefill(&Batch::from_rows(&[&tokens]));
    cache.insert(&[0], tokens.len(), &kept, &[0]);
    for _ in 0..new_tokens {
        let logits = ruminate_testkit::floats(prepared.logits(output.hidden));
        let last = &logits[logits.len() - vocabulary..];
        let next = (0..vocabulary).max_by(|&a, &b| last[a].total_cmp(&last[b])).unwrap_or(0) as u32;
        let column = tokens.len();
        tokens.push(next);
        let step = DecodeStep { tokens: &[next], positions: &[column as u32], columns: &[column] };
        output = prepared.decode(step, &mut cache);
    }
    eprintln!("{tokens:?}");
    Ok(())
}

//! The embedded tokenizer, for policies that are trained from nothing: one token a character, so that a model
//! of a million parameters needs no large embedding and arithmetic is spelled digit by digit.
//!
//! Ids are part of the format of saved models and never change: pad 0, end 1, the four tags 2-5, the newline 6,
//! then U+0020 to U+007E from 7. Everything else has no token: encoding it fails rather than losing it.

use crate::files::{self, File};
use tokenizers::decoders::fuse::Fuse;
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior};

/// Fills batches; never sampled by a trained policy.
pub const PAD: &str = "<|pad|>";
/// Ends a completion.
pub const END: &str = "<|end|>";
/// What R1 puts around the thought and around the answer.
pub const TAGS: [&str; 4] = ["<think>", "</think>", "<answer>", "</answer>"];

/// Tokens in the order of their ids.
fn vocabulary() -> impl Iterator<Item = String> {
    let characters = std::iter::once('\n').chain(' '..='~').map(String::from);
    [PAD, END].into_iter().chain(TAGS).map(String::from).chain(characters)
}

/// `tokenizer.json` and `tokenizer_config.json`.
pub(crate) fn files() -> Vec<File> {
    let config = serde_json::json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": false,
        "model_input_names": ["input_ids", "attention_mask"],
    });
    vec![
        (files::TOKENIZER.to_owned(), tokenizer_json().into_bytes()),
        (files::CONFIG.to_owned(), format!("{config:#}\n").into_bytes()),
    ]
}

/// A word-level model over words of one character. It has no unknown token, so that `encode` fails on what it
/// does not know, in Python too.
fn tokenizer_json() -> String {
    let vocab = vocabulary().zip(0..).collect();
    let model = WordLevel::builder().vocab(vocab).build().expect("a vocabulary given in memory builds");
    let by_character =
        Split::new(SplitPattern::Regex(r"[\s\S]".into()), SplitDelimiterBehavior::Isolated, false)
            .expect("the pattern compiles");
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(by_character)).with_decoder(Some(Fuse::new()));
    // Tags are no special tokens: decoding without special tokens must not take the thought's limits away.
    let special = [PAD, END].map(|text| AddedToken::from(text, true));
    let tags = TAGS.map(|text| AddedToken::from(text, false).normalized(false));
    tokenizer.add_special_tokens(special).expect("tokens that the model has are added");
    tokenizer.add_tokens(tags).expect("tokens that the model has are added");
    tokenizer.to_string(true).expect("a tokenizer serialises") + "\n"
}

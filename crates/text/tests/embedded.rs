//! The embedded tokenizer against what Python's `tokenizers` and `transformers` make of its files
//! (`fixtures/text/golden.py`), and its round trips.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;
use ruminate_text::{Error, SpecialText, Tokenizer};
use std::path::PathBuf;
use std::sync::LazyLock;

static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(Tokenizer::embedded);

fn fixtures() -> PathBuf {
    ruminate_testkit::fixture_path("text")
}

fn golden() -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(fixtures().join("embedded.json")).unwrap()).unwrap()
}

#[test]
fn files_are_those_that_python_was_shown() {
    for (name, bytes) in TOKENIZER.files() {
        let committed = std::fs::read(fixtures().join("embedded").join(name)).unwrap();
        assert!(bytes == committed, "{name} changed: save it again and rerun golden.py");
    }
}

#[test]
fn ids_and_texts_are_python_s() {
    for row in golden()["encodings"].as_array().unwrap() {
        let text = row["text"].as_str().unwrap();
        let expected: Vec<u32> = serde_json::from_value(row["ids"].clone()).unwrap();
        let ids = TOKENIZER.encode(text).unwrap();
        assert_eq!(ids, expected, "{text:?}");
        assert_eq!(TOKENIZER.decode(&ids, SpecialText::Keep).unwrap(), text);
        assert_eq!(
            TOKENIZER.decode(&ids, SpecialText::Skip).unwrap(),
            row["without_special"].as_str().unwrap()
        );
    }
}

#[test]
fn an_unknown_character_is_named_with_its_byte() {
    for text in golden()["unknown"].as_array().unwrap() {
        assert!(TOKENIZER.encode(text.as_str().unwrap()).is_err(), "{text} must not encode");
    }
    let error = TOKENIZER.encode("1+1=\u{2082}").unwrap_err();
    assert!(matches!(error, Error::UnknownCharacter { character: '\u{2082}', byte: 4 }), "{error}");
    assert!(error.to_string().contains("set `model`"), "{error}");
}

#[test]
fn ids_are_the_fixed_ones() {
    let ids = TOKENIZER.encode("<|pad|><|end|><think></think><answer></answer>\n ~").unwrap();
    assert_eq!(ids, [0, 1, 2, 3, 4, 5, 6, 7, 101]);
    assert_eq!((TOKENIZER.pad_id(), TOKENIZER.eos_id(), TOKENIZER.vocab_size()), (Some(0), Some(1), 102));
}

#[test]
fn a_verifier_sees_all_but_the_one_ending_token() {
    let end = [1];
    let ids = TOKENIZER.encode("<answer>1<|pad|></answer><|end|><|end|>").unwrap();
    assert_eq!(TOKENIZER.completion_text(&ids, &end).unwrap(), "<answer>1<|pad|></answer><|end|>");
    let truncated = TOKENIZER.encode("<think>1").unwrap();
    assert_eq!(TOKENIZER.completion_text(&truncated, &end).unwrap(), "<think>1");
    assert_eq!(TOKENIZER.completion_text(&[], &end).unwrap(), "");
}

#[test]
fn an_id_without_a_token_stays_visible() {
    assert_eq!(TOKENIZER.decode(&[24, 102, 25, u32::MAX], SpecialText::Keep).unwrap(), "1\u{fffd}2\u{fffd}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn text_of_the_alphabet_round_trips(
        parts in proptest::collection::vec("([ -~\n]{0,12}|<think>|</think>|<answer>|</answer>|<\\|end\\|>)", 0..12),
    ) {
        let text = parts.concat();
        let ids = TOKENIZER.encode(&text).unwrap();
        prop_assert!(ids.iter().all(|&id| (id as usize) < TOKENIZER.vocab_size()));
        prop_assert_eq!(TOKENIZER.decode(&ids, SpecialText::Keep).unwrap(), text);
    }

    #[test]
    fn every_text_encodes_or_names_a_character_that_it_holds(text in any::<String>()) {
        match TOKENIZER.encode(&text) {
            Ok(ids) => prop_assert_eq!(TOKENIZER.decode(&ids, SpecialText::Keep).unwrap(), text),
            Err(Error::UnknownCharacter { character, byte }) => {
                prop_assert!(text[byte..].starts_with(character));
                prop_assert!(!matches!(character, '\n' | ' '..='~'));
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn any_ids_decode(ids in proptest::collection::vec(any::<u32>(), 0..40)) {
        prop_assert!(TOKENIZER.decode(&ids, SpecialText::Keep).is_ok());
    }
}

//! Prompts with their completions against what TRL makes of them (`fixtures/text/pairs.py`).
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;
use ruminate_text::{Error, Tokenizer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

fn fixtures() -> PathBuf {
    ruminate_testkit::fixture_path("text")
}

static TOKENIZERS: LazyLock<BTreeMap<&str, Tokenizer>> = LazyLock::new(|| {
    let load = |name| (name, Tokenizer::load(&fixtures().join("pairs").join(name)).unwrap());
    ["llama", "unigram", "gpt2", "added"].map(load).into_iter().collect()
});

#[test]
fn a_completion_begins_where_trl_begins_it() {
    let rows: Vec<Value> =
        serde_json::from_slice(&std::fs::read(fixtures().join("pairs.json")).unwrap()).unwrap();
    assert!(rows.len() >= 65, "the corpus has shrunk");
    for row in &rows {
        let text = |key: &str| row[key].as_str().unwrap();
        let tokenizer = &TOKENIZERS[text("tokenizer")];
        let (prompt, completion) = tokenizer.encode_pair(text("prompt"), text("completion")).unwrap();
        let ids: Vec<u32> = serde_json::from_value(row["ids"].clone()).unwrap();
        let (before, after) = ids.split_at(row["prompt_tokens"].as_u64().unwrap() as usize);
        assert_eq!((prompt.as_slice(), completion.as_slice()), (before, after), "{row}");
    }
}

#[test]
fn a_completion_of_a_sentencepiece_model_has_no_space_of_its_own() {
    let llama = &TOKENIZERS["llama"];
    let (_, completion) = llama.encode_pair("Answer:\n", "4").unwrap();
    assert_eq!(completion, [llama.token_id("4").unwrap()]);
    assert_eq!(llama.encode("4").unwrap().len(), 2, "by itself it has a space before it");
}

#[test]
fn a_prompt_without_a_token_of_its_own_is_refused() {
    let error = TOKENIZERS["gpt2"].encode_pair("th", "e").unwrap_err();
    assert!(matches!(error, Error::NoBorder { .. }), "{error}");
    assert!(error.to_string().contains("make it longer"), "{error}");
}

#[test]
fn by_character_a_pair_is_its_two_halves() {
    let tokenizer = Tokenizer::embedded();
    let pair = tokenizer.encode_pair("1+1=", "<think>1+1=2</think><answer>2</answer><|end|>").unwrap();
    let whole = |text| tokenizer.encode(text).unwrap();
    assert_eq!(pair, (whole("1+1="), whole("<think>1+1=2</think><answer>2</answer><|end|>")));
    let error = tokenizer.encode_pair("1+1=", "\u{2082}").unwrap_err();
    assert!(matches!(error, Error::UnknownCharacter { byte: 4, .. }), "{error}");
}

/// A tokenizer that has no token for a letter.
static WITHOUT_Z: LazyLock<Tokenizer> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(fixtures().join("pairs/gpt2/tokenizer.json")).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    file["model"]["vocab"].as_object_mut().unwrap().remove("z").unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), file.to_string()).unwrap();
    Tokenizer::load(folder.path()).unwrap()
});

/// Texts of letters in decomposed form, of added tokens, and of anything.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC*", "(é|\u{1d160}|\u{fb2c}|e\u{301}){0,9}", "(</s>|<think>| a|z|\n){0,9}"]
}

proptest! {
    #[test]
    fn byte_level_tokenizers_take_every_text_and_stay_within_their_bound(text in texts()) {
        let other = Tokenizer::load(&fixtures().join("byte_level")).unwrap();
        for (tokenizer, has_z) in [(&TOKENIZERS["gpt2"], true), (&other, true), (&*WITHOUT_Z, false)] {
            if text.contains('z') && !has_z {
                prop_assert_eq!(tokenizer.most_tokens(&text), None, "a byte has no token");
                continue;
            }
            let most = tokenizer.most_tokens(&text).unwrap();
            prop_assert!(tokenizer.encode(&text).unwrap().len() <= most);
        }
        let (narrow, _) = other.for_model(300).unwrap();
        prop_assert_eq!(narrow.most_tokens(&text), None, "an added token has no embedding");
        for tokenizer in [&TOKENIZERS["llama"], &TOKENIZERS["unigram"], &Tokenizer::embedded()] {
            prop_assert_eq!(tokenizer.most_tokens(&text), None);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_pair_is_the_whole_text_and_the_completion_is_whole_in_it(
        name in prop::sample::select(vec!["llama", "unigram", "gpt2", "added"]),
        prompt in "(the|cat|A:|</s>|<\\|assistant\\|>| |\n|\u{e9}|\u{1f600}){0,6}",
        completion in "(the|hat|Paris|</s>| |\n|\u{e9}|\u{1f600}){0,6}",
    ) {
        let tokenizer = &TOKENIZERS[name];
        let Ok((before, after)) = tokenizer.encode_pair(&prompt, &completion) else { return Ok(()) };
        let whole = tokenizer.encode(&[prompt.as_str(), &completion].concat()).unwrap();
        prop_assert_eq!([before.as_slice(), &after].concat(), whole);
        // What is no whitespace after an added token that strips it is in the completion's tokens.
        prop_assert_eq!(after.is_empty() && !completion.trim_ascii().is_empty(), false);
    }
}

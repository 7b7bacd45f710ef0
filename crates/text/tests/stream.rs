//! Text that is decoded token by token is the text that is decoded whole.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;
use ruminate_text::{SpecialText, TextStream, Tokenizer};
use std::sync::LazyLock;

static BYTE_LEVEL: LazyLock<Tokenizer> =
    LazyLock::new(|| Tokenizer::load(&ruminate_testkit::fixture_path("text/byte_level")).unwrap());

fn pieces(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
    let mut stream = TextStream::new(tokenizer);
    let mut pieces: Vec<String> = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
    pieces.push(stream.finish().unwrap());
    pieces
}

#[test]
fn a_character_of_several_tokens_comes_whole() {
    let ids = BYTE_LEVEL.encode("a\u{1f600}b").unwrap();
    assert!(ids.len() >= 6, "the emoji takes a token a byte: {ids:?}");
    let pieces = pieces(&BYTE_LEVEL, &ids);
    assert_eq!(pieces.concat(), "a\u{1f600}b");
    assert_eq!(pieces.iter().filter(|piece| !piece.is_empty()).count(), 3, "{pieces:?}");
}

#[test]
fn a_character_that_never_comes_is_shown_as_missing() {
    let ids = BYTE_LEVEL.encode("a\u{1f600}").unwrap();
    let pieces = pieces(&BYTE_LEVEL, &ids[..ids.len() - 1]);
    assert_eq!(pieces.concat(), "a\u{fffd}");
}

#[test]
fn special_tokens_and_ids_without_a_token_stay_visible() {
    let end = BYTE_LEVEL.token_id("<|im_end|>").unwrap();
    let ids = [BYTE_LEVEL.encode("hat").unwrap(), vec![99_999, end]].concat();
    assert_eq!(pieces(&BYTE_LEVEL, &ids).concat(), "hat\u{fffd}<|im_end|>");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn streamed_text_is_the_decoded_text(ids in proptest::collection::vec(0_u32..310, 0..48)) {
        let whole = BYTE_LEVEL.decode(&ids, SpecialText::Keep).unwrap();
        prop_assert_eq!(pieces(&BYTE_LEVEL, &ids).concat(), whole);
    }
}

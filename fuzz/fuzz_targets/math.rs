//! `math`: any gold answer and any completion, for `ruminate-math-verify`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ruminate_math_verify::{Options, Outcome, Reason, Source};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (gold, completion) = text.split_once('\n').unwrap_or((&text, ""));
    let options = Options::default();
    let Ok(verdict) = options.verify(gold, completion) else { return };
    let equal = matches!(verdict.reason, Reason::SameText | Reason::Equal { .. });
    assert_eq!(verdict.is_correct(), equal);
    assert!(verdict.outcome == Outcome::Wrong || verdict.extracted.is_some());
    let parsed = options.parse(gold, Source::Gold).expect("the gold text has an answer");
    let again = options.judge(&parsed, completion, Source::Completion);
    assert_eq!(verdict, again, "the same texts must get the same verdict");
});

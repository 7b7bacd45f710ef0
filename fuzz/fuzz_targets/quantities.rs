//! Units and tolerances of `math`: the gold answer's unit in the first line, the box's in the rest. With the same unit and
//! the same number the answer is right, unless the gold cannot be read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ruminate_math_verify::{Comma, Options, Outcome, Tolerance};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (first, second) = text.split_once('\n').unwrap_or((&text, &text));
    let tolerance = Some(Tolerance { absolute: 0.01, relative: 0.001, digits: Some(3) });
    let options = [
        Options::default(),
        Options { tolerance, ..Options::default() },
        Options { comma: Comma::Decimal, ..Options::default() },
    ];
    for options in options {
        for (gold, number) in [("12", "12"), ("1{,}5", "0.0015"), ("3,5", "3.5")] {
            let dressed = |number: &str, unit: &str| format!("{number}\\text{{ {unit}}}");
            let (gold, answer) = (dressed(gold, first), dressed(number, second));
            let Ok(verdict) = options.verify(&gold, &format!("\\boxed{{{answer}}}")) else { continue };
            let again = options.verify(&gold, &format!("\\boxed{{{answer}}}"));
            assert_eq!(Ok(&verdict), again.as_ref(), "the same texts must get the same verdict");
            let own = options.verify(&gold, &format!("\\boxed{{{gold}}}"));
            let is_plain = first.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ');
            let is_wrong = own.is_ok_and(|own| own.outcome == Outcome::Wrong);
            assert!(!(is_plain && is_wrong), "a gold answer is wrong as an answer");
        }
    }
});

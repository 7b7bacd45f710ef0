//! Whether an output is the expected one: lines of tokens, where numbers with a fraction need not agree to the last
//! digit. It knows texts and endings, no tests.

use ruminate_sandbox::{Ended, Ending, Limits};

/// Whether a run is what was expected; `tolerance` is of numbers with a fraction, relative above 1 and absolute below.
///
/// # Errors
/// How it differs, in words.
pub(super) fn compare(ended: &Ended, expected: &str, tolerance: f64, limits: &Limits) -> Result<(), String> {
    if let Some(why) = abnormal(ended, limits) {
        return Err(why);
    }
    let (found, expected) = (lines(&ended.stdout), lines(expected));
    let spacing = Spacing::of(&expected, &found);
    let same = |found: &str, expected: &str| same_line(found, expected, spacing, tolerance);
    let at = found.iter().zip(&expected).take_while(|(found, expected)| same(found, expected)).count();
    if at == found.len() && at == expected.len() {
        return Ok(());
    }
    let show =
        |lines: &[&str]| lines.get(at).map_or("nothing".to_owned(), |line| format!("{:?}", short(line)));
    Err(format!("line {}: expected {}, found {}", at + 1, show(&expected), show(&found)))
}

/// Why a program that did not end well did not.
pub(super) fn abnormal(ended: &Ended, limits: &Limits) -> Option<String> {
    match ended.ending {
        Ending::Exited(0) => None,
        Ending::Exited(code) => {
            let last = ended.stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
            Some(format!("ends with the code {code}: {}", short(last)))
        }
        Ending::Killed(signal) => Some(format!("ended by signal {signal}")),
        Ending::TimedOut => Some(format!("takes longer than {} ms", limits.timeout_ms)),
        Ending::TooMuchOutput => Some(format!("writes more than {} bytes", limits.output_bytes)),
        Ending::TooMuchMemory => Some(format!("holds more than {} MiB", limits.memory_mb)),
        Ending::TooManyProcesses => Some(format!("has more than {} processes", limits.processes)),
        Ending::WithPair => Some("was ended with its judge".to_owned()),
        Ending::TooManyFiles => Some(format!("writes too many files, or more than {} MiB", limits.files_mb)),
    }
}

/// What the space between tokens means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spacing {
    /// Nothing, however wide it is.
    Free,
    /// It separates; in front of a line it counts.
    Indented,
    /// It is a part of the answer, as in a drawing.
    Exact,
}

impl Spacing {
    fn of(expected: &[&str], found: &[&str]) -> Self {
        let wide = |line: &&str| line.contains('\t') || line.contains("  ") || line.starts_with(' ');
        if expected.iter().any(wide) {
            Self::Exact
        } else if expected.len() == 1 && found.len() == 1 {
            Self::Free
        } else {
            Self::Indented
        }
    }
}

fn same_line(found: &str, expected: &str, spacing: Spacing, tolerance: f64) -> bool {
    if found == expected {
        return true;
    }
    let indent = |line: &str| line.len() - line.trim_start().len();
    match spacing {
        Spacing::Exact => {
            // Words may be numbers here, too: what stands between them is compared as it is.
            let (found, expected) = (found.split(' '), expected.split(' '));
            same_tokens(found, expected, tolerance)
        }
        Spacing::Indented if indent(found) != indent(expected) => false,
        Spacing::Indented | Spacing::Free => {
            same_tokens(found.split_whitespace(), expected.split_whitespace(), tolerance)
        }
    }
}

fn same_tokens<'a>(
    mut found: impl Iterator<Item = &'a str>,
    mut expected: impl Iterator<Item = &'a str>,
    tolerance: f64,
) -> bool {
    loop {
        match (found.next(), expected.next()) {
            (None, None) => return true,
            (Some(found), Some(expected)) if same_token(found, expected, tolerance) => {}
            _ => return false,
        }
    }
}

/// Equal as texts, or near as numbers where the expected one has a fraction.
fn same_token(found: &str, expected: &str, tolerance: f64) -> bool {
    if found == expected {
        return true;
    }
    let (Some(f), Some(e)) = (decimal(found), decimal(expected)) else { return false };
    tolerance > 0.0 && expected.contains(['.', 'e', 'E']) && (f - e).abs() <= tolerance * e.abs().max(1.0)
}

/// A decimal number of digits, and nothing else that parses as one (`inf`, `nan`).
fn decimal(token: &str) -> Option<f64> {
    let is_plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E');
    let number = token.parse().ok().filter(|number: &f64| number.is_finite());
    number.filter(|_| token.chars().all(is_plain))
}

/// Lines without trailing white space, without empty ones around them: all of them, so that a correct beginning is
/// not enough.
fn lines(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim_end);
    let mut lines: Vec<&str> = lines.skip_while(|line| line.is_empty()).collect();
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines
}

fn short(line: &str) -> String {
    line.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::compare;
    use ruminate_sandbox::{Ended, Ending, Limits};

    fn compared(stdout: &str, output: &str) -> Result<(), String> {
        let ended = Ended { ending: Ending::Exited(0), stdout: stdout.into(), stderr: String::new() };
        compare(&ended, output, 1e-6, &Limits::default())
    }

    #[test]
    fn white_space_that_means_nothing_does_not_count() {
        for (found, expected) in [
            ("1\n2\n", "1\n2"),
            ("1 \r\n2\n\n", "1\n2"),
            ("", "\n"),
            (" 1", "1"),
            ("1  2", "1 2"),
            ("\n1\n2", "1\n2"),
            ("1\t2\n3 4", "1 2\n3 4"),
            (" *\n* *", " *\n* *"),
        ] {
            assert_eq!(compared(found, expected), Ok(()), "{found:?} {expected:?}");
        }
    }

    #[test]
    fn numbers_with_a_fraction_need_not_agree_to_the_last_digit() {
        for (found, expected) in [
            ("0.333333", "0.333333333333"),
            ("1000000.0", "1000000.0000001"),
            ("2", "2.0"),
            ("x 3.14159 y", "x 3.1415926 y"),
            ("1e-9", "0.0"),
            ("0.5  1", "0.50  1"),
        ] {
            assert_eq!(compared(found, expected), Ok(()), "{found:?} {expected:?}");
        }
        for (found, expected) in [
            ("0.3333", "0.333333333333"),
            ("3.0000001", "3"),
            ("1000000001", "1000000000"),
            ("inf", "1.0"),
            ("nan", "nan."),
            ("1.0.0", "1.0"),
        ] {
            assert!(compared(found, expected).is_err(), "{found:?} {expected:?}");
        }
    }

    #[test]
    fn nothing_else_is_forgiven() {
        for (found, expected) in [
            ("1\n", "1\n2"),
            ("1\n2\n3", "1\n2"),
            ("", "1"),
            (" *\n**", "*\n**"),
            ("*\n* *", " *\n* *"),
            ("a b", "a  b"),
            ("1\n\n2", "1\n2"),
            ("1.0", "1"),
            ("1 2", "1\n2"),
            ("12", "1 2"),
        ] {
            assert!(compared(found, expected).is_err(), "{found:?} {expected:?}");
        }
    }
}

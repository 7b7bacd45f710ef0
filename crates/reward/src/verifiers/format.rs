//! The form of a response, whatever it says.

use crate::parse::tags::{self, Opening};
use crate::verifier::{Response, Verifier, verdict};
use ruminate_data::{Outcome, Task, Verdict};
use serde::{Deserialize, Serialize};

/// What a thought without content is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmptyThought {
    /// Well formed, as in R1's format reward: whether thinking pays is for the answer's reward to teach.
    #[default]
    Allow,
    /// Not well formed; a word is content, a full stop is none.
    Refuse,
}

/// Which form is well formed. Each tag stands exactly once and in order in all of them, which the references' regular
/// expressions do not see to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// DeepSeek-R1's: a thought, then an answer in tags, nothing but white space around them.
    #[default]
    R1,
    /// open-r1's `format_reward`: R1's with each tag on a line of its own, and nothing at all around the two blocks.
    OpenR1,
    /// TRL's `think_format_reward`: a thought at the very start, then the answer as free text.
    Trl,
}

/// Correct when the response has its form, whatever it says; score 1 or 0. An empty answer is no answer. A thought that the prompt has opened
/// counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// Which form.
    pub style: Style,
    /// What a thought without content is worth.
    pub empty_thought: EmptyThought,
}

impl Format {
    /// The thought of a well-formed response.
    fn thought<'a>(self, response: &Response<'a>) -> Result<&'a str, String> {
        let (text, opening) = (response.text, response.opening());
        let (thought, answer) = match self.style {
            Style::R1 => {
                let parts = tags::well_formed(text, opening).map_err(|malformed| malformed.to_string())?;
                (parts.thought, parts.answer)
            }
            Style::OpenR1 => open_r1(text, opening)?,
            Style::Trl => trl(text, opening)?,
        };
        if answer.trim().is_empty() { Err("the answer is empty".to_owned()) } else { Ok(thought) }
    }
}

/// `<think>\n..\n</think>\n<answer>\n..\n</answer>`. A prompt that has opened the thought may have written the line's
/// end, too.
fn open_r1(text: &str, opening: Opening) -> Result<(&str, &str), String> {
    let parts = tags::well_formed(text, opening).map_err(|malformed| malformed.to_string())?;
    let head = if opening == Opening::Bare { "<think>" } else { "" };
    let lines = |content: &str| content.len() > 1 && content.starts_with('\n') && content.ends_with('\n');
    let thought_fits = match opening {
        Opening::Bare => lines(parts.thought),
        Opening::InThought => parts.thought.ends_with('\n'),
    };
    let whole = format!("{head}{}</think>\n<answer>{}</answer>", parts.thought, parts.answer);
    if thought_fits && lines(parts.answer) && text == whole {
        Ok((parts.thought, parts.answer))
    } else {
        Err("expected each tag on a line of its own, and nothing around the blocks".to_owned())
    }
}

fn trl(text: &str, opening: Opening) -> Result<(&str, &str), String> {
    let expected = || "expected one <think>..</think> at the very start".to_owned();
    let rest = match opening {
        Opening::Bare => text.strip_prefix("<think>").ok_or_else(expected)?,
        Opening::InThought => text,
    };
    let (thought, answer) = rest.split_once("</think>").ok_or_else(expected)?;
    if [thought, answer].iter().any(|part| part.contains("<think>") || part.contains("</think>")) {
        return Err(expected());
    }
    Ok((thought, answer))
}

impl Verifier for Format {
    fn name(&self) -> &'static str {
        "format"
    }

    fn verify(&self, _task: &Task, response: &Response<'_>) -> Verdict {
        match self.thought(response) {
            Err(why) => verdict(Outcome::Wrong, 0.0, None, why),
            Ok(thought)
                if self.empty_thought == EmptyThought::Refuse && !thought.contains(char::is_alphanumeric) =>
            {
                verdict(Outcome::Wrong, 0.0, None, "the thought is empty")
            }
            Ok(_) => verdict(Outcome::Correct, 1.0, None, "well formed"),
        }
    }
}

/// A quarter for each of `<think>`, `</think>`, `<answer>` and `</answer>` that stands exactly once and in order with
/// the others; correct when all four do. open-r1's `tag_count_reward` without regard to line ends, and with regard to
/// the order, which the original pays for in any. For policies that do not find the whole form by chance.
#[derive(Clone, Copy, Debug, Default)]
pub struct TagCount;

impl Verifier for TagCount {
    fn name(&self) -> &'static str {
        "tag_count"
    }

    fn verify(&self, _task: &Task, response: &Response<'_>) -> Verdict {
        let count = tags::count_in_order(response.text, response.opening());
        let outcome = if count == 4 { Outcome::Correct } else { Outcome::Wrong };
        verdict(outcome, count as f64 / 4.0, None, format!("{count} of 4 tags stand once and in order"))
    }
}

#[cfg(test)]
mod tests {
    use super::{EmptyThought, Format, Style};
    use crate::verifier::Response;

    fn fits(style: Style, prompt: &str, text: &str) -> bool {
        let format = Format { style, empty_thought: EmptyThought::Allow };
        format.thought(&Response { prompt, ..Response::finished(text) }).is_ok()
    }

    #[test]
    fn open_r1_wants_each_tag_on_its_line() {
        let good = "<think>\na\n</think>\n<answer>\n1\n</answer>";
        assert!(fits(Style::OpenR1, "", good));
        assert!(fits(Style::OpenR1, "<think>\n", "a\n</think>\n<answer>\n1\n</answer>"));
        for text in [
            "<think>a</think>\n<answer>\n1\n</answer>",
            "<think>\na\n</think><answer>\n1\n</answer>",
            "<think>\na\n</think>\n<answer>1</answer>",
            "<think>\na\n</think>\n\n<answer>\n1\n</answer>",
            "<think>\n</think>\n<answer>\n1\n</answer>",
            &format!("{good}\n"),
            &format!("{good} and more"),
            &format!("{good}\n{good}"),
            &format!(" {good}"),
        ] {
            assert!(!fits(Style::OpenR1, "", text), "{text}");
        }
    }

    #[test]
    fn trl_wants_one_thought_at_the_start() {
        assert!(fits(Style::Trl, "", "<think>\na\n</think>\nThis is my answer."));
        assert!(fits(Style::Trl, "Why? <think>", "a</think>b"));
        for text in [
            "",
            "a",
            " <think>a</think>b",
            "<think>a",
            "<think>a</think>b</think>",
            "<think>a<think>b</think>",
        ] {
            assert!(!fits(Style::Trl, "", text), "{text}");
        }
        assert!(!fits(Style::Trl, "<think>", "<think>a</think>b"), "opened twice");
    }
}

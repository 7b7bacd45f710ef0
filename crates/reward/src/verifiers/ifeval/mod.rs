//! Instructions that a program can check, as IFEval and IFBench state them: how many words, which form, which words.

#![allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "what a row says of an instruction is lent, however small it is"
)]

mod arguments;
mod bench;
mod classic;
mod tongue;
mod words;

use crate::code::Scoring;
use crate::parse::tags;
use crate::verifier::{Response, Verifier, verdict};
use arguments::Arguments;
use ruminate_data::{Outcome, Task, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How closely a response is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Following {
    /// As it stands.
    #[default]
    Strict,
    /// Any of eight readings will do: with and without asterisks, first line and last line (IFEval's loose accuracy).
    Loose,
}

/// Correct when a response follows all instructions of its row: `instruction_id_list`, and `kwargs` with an object per
/// instruction. Sources: IFEval, Zhou et al. 2023, arXiv 2311.07911, and IFBench, Pyatkin et al. 2025, arXiv
/// 2507.02833.
///
/// What is checked is what stands behind the thought, or the content of the one `<answer>`; an empty one is wrong. All 25
/// instructions of IFEval are known, and those of IFBench that need neither a tagger, nor syllables, nor emoji, nor
/// lists of names; a row with another one is unscored, and so is one that lacks an argument.
#[derive(Clone, Copy, Debug, Default)]
pub struct InstructionFollowing {
    /// How closely the response is read.
    pub following: Following,
    /// What a response that follows some of them is worth.
    pub scoring: Scoring,
}

impl Verifier for InstructionFollowing {
    fn name(&self) -> &'static str {
        "ifeval"
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        let instructions = match instructions(task) {
            Ok(instructions) => instructions,
            Err(why) => return Verdict::unscored(why),
        };
        let text = match tags::final_text(response.text, response.opening()) {
            Ok(text) if text.trim().is_empty() => {
                return verdict(Outcome::Wrong, 0.0, None, "the response is empty");
            }
            Ok(text) => text,
            Err(malformed) => return verdict(Outcome::Wrong, 0.0, None, malformed.to_string()),
        };
        let readings = match self.following {
            Following::Strict => vec![text.to_owned()],
            Following::Loose => loose(text),
        };
        let (mut followed, mut broken) = (0, None);
        for (id, arguments) in &instructions {
            let mut any = false;
            for reading in readings.iter().filter(|reading| !reading.trim().is_empty()) {
                match follows(id, arguments, reading) {
                    Ok(follows) => any = any || follows,
                    Err(why) => return Verdict::unscored(format!("{id}: {why}")),
                }
            }
            if any {
                followed += 1;
            } else {
                broken = broken.or(Some(id));
            }
        }
        match broken {
            None => {
                let why = format!("follows all of {} instructions", instructions.len());
                verdict(Outcome::Correct, 1.0, None, why)
            }
            Some(id) => {
                let share = match self.scoring {
                    Scoring::All => 0.0,
                    Scoring::Fraction => f64::from(followed) / instructions.len() as f64,
                };
                verdict(Outcome::Wrong, share, None, format!("does not follow {id}"))
            }
        }
    }
}

/// Whether a text follows an instruction.
///
/// # Errors
/// What the row lacks, in words.
fn follows(id: &str, arguments: &Arguments<'_>, text: &str) -> Result<bool, String> {
    let known = classic::follows(id, arguments, text)?;
    let known = match known {
        None => bench::follows(id, arguments, text)?,
        known => known,
    };
    known.ok_or_else(|| "this instruction is not known here".to_owned())
}

/// The instructions of a row with their arguments, at least one.
fn instructions(task: &Task) -> Result<Vec<(String, Arguments<'_>)>, String> {
    let column = |names: [&str; 2]| names.iter().find_map(|name| task.columns.get(*name));
    let ids = column(["instruction_id_list", "instruction_id"]);
    let found = "expected the task's `instruction_id_list` to be a list of names, at least one";
    let ids = ids.and_then(Value::as_array).filter(|ids| !ids.is_empty()).ok_or(found)?;
    let arguments = match task.columns.get("kwargs") {
        None | Some(Value::Null) => vec![None; ids.len()],
        Some(Value::Array(list)) if list.len() == ids.len() => list.iter().map(Value::as_object).collect(),
        Some(_) => {
            return Err("expected the task's `kwargs` to be a list with an object per instruction".to_owned());
        }
    };
    let mut named = Vec::with_capacity(ids.len());
    for (id, map) in ids.iter().zip(arguments) {
        named.push((id.as_str().ok_or(found)?.to_owned(), Arguments::new(map)));
    }
    Ok(named)
}

/// The eight readings of IFEval's loose accuracy.
fn loose(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.split('\n').collect();
    let last = lines.len() - 1;
    let joined = |lines: &[&str]| lines.join("\n").trim().to_owned();
    let plain = [
        text.to_owned(),
        joined(&lines[1..]),
        joined(&lines[..last]),
        if last > 1 { joined(&lines[1..last]) } else { String::new() },
    ];
    let bare: Vec<String> = plain.iter().map(|text| text.replace('*', "")).collect();
    plain.into_iter().chain(bare).collect()
}

#[cfg(test)]
mod tests {
    use super::{Following, InstructionFollowing};
    use crate::code::Scoring;
    use crate::{Response, Verifier};
    use ruminate_data::{Outcome, Task, Verdict};
    use serde_json::{Value, json};

    fn judged(verifier: InstructionFollowing, ids: Value, kwargs: Value, text: &str) -> Verdict {
        let task = Task::new("", "").with_column("instruction_id_list", ids).with_column("kwargs", kwargs);
        verifier.verify(&task, &Response::finished(text))
    }

    #[test]
    fn all_instructions_are_to_be_followed() {
        let ids = json!(["punctuation:no_comma", "length_constraints:number_words"]);
        let kwargs = json!([{}, {"num_words": 3, "relation": "at least", "keywords": null}]);
        let fraction = InstructionFollowing { scoring: Scoring::Fraction, ..InstructionFollowing::default() };
        for (text, outcome, score) in [
            ("One two three", Outcome::Correct, 1.0),
            ("<think>well, then</think>One two three", Outcome::Correct, 1.0),
            ("One, two three", Outcome::Wrong, 0.5),
            ("One, two", Outcome::Wrong, 0.0),
            ("", Outcome::Wrong, 0.0),
        ] {
            let verdict = judged(fraction, ids.clone(), kwargs.clone(), text);
            assert_eq!((verdict.outcome, verdict.score), (outcome, score), "{text}: {}", verdict.why);
        }
    }

    #[test]
    fn loose_reading_leaves_out_lines_and_asterisks() {
        let loose = InstructionFollowing { following: Following::Loose, ..InstructionFollowing::default() };
        let (ids, kwargs) = (json!(["startend:quotation"]), json!([{}]));
        let text = "Here you are:\n\"quoted\"";
        assert_eq!(judged(loose, ids.clone(), kwargs.clone(), text).outcome, Outcome::Correct);
        assert_eq!(judged(InstructionFollowing::default(), ids, kwargs, text).outcome, Outcome::Wrong);
    }

    #[test]
    fn what_is_not_known_is_unscored() {
        for (ids, kwargs) in [
            (json!([]), json!([])),
            (json!(["words:odd_even_syllables"]), json!([{}])),
            (json!(["length_constraints:number_words"]), json!([{"num_words": 3}])),
            (json!(["length_constraints:number_words"]), json!([{"num_words": 3, "relation": "about"}])),
            (json!(["keywords:existence"]), json!([{"keywords": ["("]}])),
            (json!(["punctuation:no_comma"]), json!([])),
        ] {
            let verdict = judged(InstructionFollowing::default(), ids.clone(), kwargs, "text");
            assert_eq!(verdict.outcome, Outcome::Unscored, "{ids}");
        }
    }
}

//! What stands before every prompt: the recipe's system message (`data.system`) and solved examples (`data.shots`). It
//! renders nothing: messages go to the chat template, text to prompts of bare text.

use crate::error::Refusal;
use crate::recipe::{Data, Recipe, Shots};
use anyhow::Result;
use ruminate_data::jsonl::{self, Row};
use ruminate_data::{Message, Task};
use serde_json::{Map, Value};
use std::path::Path;

/// A system message and solved examples.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Preamble {
    system: Option<String>,
    shots: Vec<Shot>,
}

/// A solved example: its turns, of which the last is the assistant's.
#[derive(Clone, Debug, PartialEq)]
struct Shot {
    turns: Vec<Message>,
}

impl Preamble {
    /// A system message alone; an empty one is none.
    pub(crate) fn of_system(system: Option<&str>) -> Self {
        let system = system.filter(|system| !system.trim().is_empty()).map(str::to_owned);
        Self { system, shots: Vec::new() }
    }

    /// What a recipe wants before its prompts.
    ///
    /// # Errors
    /// With exit code 3 for a file of examples with a bad row, and 2 where the recipe wants rows of a file that it does not
    /// name.
    pub(crate) fn load(recipe: &Recipe) -> Result<Self> {
        let data = &recipe.data;
        let mut preamble = Self::of_system(data.system.as_deref());
        let (path, rows) = match (&data.shots, &data.train) {
            (None | Some(Shots::Rows(0)), _) => return Ok(preamble),
            (Some(Shots::File(path)), _) => (path, usize::MAX),
            (Some(Shots::Rows(count)), Some(path)) => (path, *count),
            (Some(Shots::Rows(count)), None) => {
                return Err(Refusal::usage(format!(
                    "`data.shots` = {count} takes the first rows of `data.train`, which is not set; expected it, or the path of \
                     a JSONL file of examples"
                )));
            }
        };
        let tagged = recipe.reward.reads_tags(data);
        let read = jsonl::objects(path, data.bad_lines.into())?.rows;
        for row in read.into_iter().take(rows) {
            preamble.shots.push(shot(row, path, tagged)?);
        }
        Ok(preamble)
    }

    /// The messages with what stands before them. A system message of their own goes before the recipe's.
    pub(crate) fn before(&self, messages: &[Message]) -> Vec<Message> {
        let own = usize::from(messages.first().is_some_and(|first| first.role() == "system"));
        let system = self.system.iter().filter(|_| own == 0).map(|system| message("system", system));
        let shots = self.shots.iter().flat_map(|shot| shot.turns.iter().cloned());
        let own_system = messages[..own].iter().cloned();
        system.chain(own_system).chain(shots).chain(messages[own..].iter().cloned()).collect()
    }

    /// The same for a prompt of bare text: the system message, then each example's turns a line each, and blank lines
    /// between.
    pub(crate) fn text(&self) -> String {
        let shots =
            self.shots.iter().map(|shot| shot.turns.iter().map(Message::text).collect::<Vec<_>>().join("\n"));
        self.system.iter().cloned().chain(shots).map(|part| part + "\n\n").collect()
    }

    /// The questions of the examples, as a problem's text: what is shown solved is neither trained nor measured on.
    pub(crate) fn questions(&self) -> impl Iterator<Item = &str> {
        self.shots
            .iter()
            .flat_map(|shot| &shot.turns)
            .filter(|turn| turn.role() == "user")
            .filter_map(|turn| turn.get("content")?.as_str())
    }
}

/// Whether a task's question is one of these.
pub(crate) fn asks_one_of(task: &Task, questions: &[&str]) -> bool {
    let text = match &task.prompt {
        ruminate_data::Prompt::Text(text) => text.clone(),
        ruminate_data::Prompt::Messages(messages) => {
            messages.iter().rfind(|message| message.role() == "user").map_or_else(String::new, Message::text)
        }
    };
    questions.contains(&text.as_str())
}

fn message(role: &str, content: &str) -> Message {
    Message::new(role, content)
}

/// An example from a row: `messages` that end with the assistant; `prompt` and `completion`; or a task, whose reply is its
/// worked `solution` and its answer, in tags where the reward reads them.
fn shot(row: Row<Map<String, Value>>, path: &Path, tagged: bool) -> Result<Shot> {
    let Row { line, value } = row;
    let refused = |problem: String| Refusal::line(path, line, problem);
    if let Some(messages) = value.get("messages") {
        let turns: Vec<Message> = serde_json::from_value(messages.clone()).map_err(|error| {
            refused(format!("expected `messages` with texts `role` and `content`: {error}"))
        })?;
        let turns: Vec<Message> = turns.into_iter().filter(|turn| turn.role() != "system").collect();
        return match turns.last() {
            Some(last) if last.role() == "assistant" && turns.len() > 1 => Ok(Shot { turns }),
            _ => Err(refused(
                "expected an example of `data.shots` to end with the assistant's reply".to_owned(),
            )),
        };
    }
    if let (Some(Value::String(prompt)), Some(Value::String(completion))) =
        (value.get("prompt"), value.get("completion"))
    {
        return Ok(Shot { turns: vec![message("user", prompt), message("assistant", completion)] });
    }
    let task = jsonl::parse_task(&Value::Object(value).to_string()).map_err(|mismatch| {
        refused(format!(
            "expected an example of `data.shots` as `messages`, as `prompt` and `completion`, or as a task with {}; found {}",
            mismatch.expected, mismatch.found
        ))
    })?;
    let worked = task.columns.get("solution").and_then(Value::as_str).map(str::trim);
    let reply = match (worked, tagged) {
        (worked, true) => {
            format!("<think>{}</think><answer>{}</answer>", worked.unwrap_or_default(), task.answer)
        }
        (Some(worked), false) if !worked.contains(&task.answer) => format!("{worked}\n#### {}", task.answer),
        (Some(worked), false) => format!("{worked}\nThe answer is {}", task.answer),
        (None, false) => task.answer.clone(),
    };
    let mut turns = match task.prompt {
        ruminate_data::Prompt::Text(text) => vec![message("user", &text)],
        ruminate_data::Prompt::Messages(turns) => {
            turns.into_iter().filter(|turn| turn.role() != "system").collect()
        }
    };
    turns.push(message("assistant", &reply));
    Ok(Shot { turns })
}

/// Refuses keys that have no effect on texts that are trained on as they stand.
///
/// # Errors
/// With exit code 2.
pub(crate) fn refuse_beside_texts(data: &Data) -> Result<()> {
    let key = match (&data.system, &data.shots) {
        (Some(system), _) if !system.trim().is_empty() => "system",
        (_, Some(_)) => "shots",
        _ => return Ok(()),
    };
    Err(Refusal::usage(format!(
        "`data.{key}` stands before messages, and rows of `prompt` and `completion` are trained on as they stand; write \
         it into `prompt`, or give rows of `messages`"
    )))
}

#[cfg(test)]
mod tests {
    use super::Preamble;
    use crate::recipe::Recipe;
    use ruminate_data::Message;
    use serde_json::Value;
    use std::fs;

    fn preamble(toml: &str, rows: &str) -> Result<Preamble, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.jsonl");
        fs::write(&path, rows).expect("written");
        let recipe: Recipe =
            toml::from_str(&toml.replace("FILE", path.to_str().expect("UTF-8"))).expect("a recipe");
        Preamble::load(&recipe).map_err(|error| format!("{error:#}"))
    }

    fn turns(messages: &[Message]) -> Vec<(&str, &str)> {
        messages
            .iter()
            .map(|message| {
                (message.role(), message.get("content").and_then(Value::as_str).unwrap_or_default())
            })
            .collect()
    }

    fn user(content: &str) -> Message {
        Message::new("user", content)
    }

    #[test]
    fn a_system_message_and_examples_stand_before_the_prompt() {
        let rows = "{\"question\": \"2+2?\", \"answer\": \"2 and 2\\n#### 4\"}\n\
                    {\"prompt\": \"3+3?\", \"completion\": \"six\"}\n\
                    {\"messages\": [{\"role\": \"system\", \"content\": \"x\"}, {\"role\": \"user\", \"content\": \"5?\"}, \
                    {\"role\": \"assistant\", \"content\": \"five\"}]}\n";
        let made = preamble("reward.verifier = 'math'\n[data]\nsystem = 'Be brief.'\nshots = 'FILE'", rows)
            .expect("read");
        let shown = [
            ("user", "2+2?"),
            ("assistant", "2 and 2\n#### 4"),
            ("user", "3+3?"),
            ("assistant", "six"),
            ("user", "5?"),
            ("assistant", "five"),
        ];
        let before = made.before(&[user("1+1?")]);
        assert_eq!(turns(&before)[0], ("system", "Be brief."));
        assert_eq!(turns(&before)[1..7], shown);
        assert_eq!(turns(&before)[7], ("user", "1+1?"));

        let own = [Message::new("system", "Mine."), user("1+1?")];
        assert_eq!(turns(&made.before(&own))[0], ("system", "Mine."), "the row's own goes first");
        assert_eq!(made.before(&own).len(), 8);

        assert!(
            made.text().starts_with("Be brief.\n\n2+2?\n2 and 2\n#### 4\n\n3+3?\nsix\n\n"),
            "{}",
            made.text()
        );
        assert_eq!(made.questions().collect::<Vec<_>>(), ["2+2?", "3+3?", "5?"]);
    }

    #[test]
    fn replies_are_tagged_where_the_reward_reads_tags() {
        let rows = "{\"prompt\": \"2+2=\", \"answer\": 4}\n{\"prompt\": \"3+3=\", \"answer\": 6}\n";
        let made = preamble("[data]\ntrain = 'FILE'\nshots = 1", rows).expect("read");
        assert_eq!(turns(&made.before(&[]))[1].1, "<think></think><answer>4</answer>");
        assert_eq!(made.questions().count(), 1, "so many rows as it says");
        let made = preamble("reward.verifier = 'last_number'\n[data]\ntrain = 'FILE'\nshots = 1", rows)
            .expect("read");
        assert_eq!(turns(&made.before(&[]))[1].1, "4");
    }

    #[test]
    fn what_is_no_example_is_refused_with_its_place() {
        for (rows, says) in [
            (
                "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}",
                "rows.jsonl:1: expected an example",
            ),
            ("{\"prompt\": \"a\"}", "rows.jsonl:1: expected an example of `data.shots` as `messages`"),
        ] {
            let message = preamble("[data]\nshots = 'FILE'", rows).expect_err(rows);
            assert!(message.contains(says), "{message}");
        }
        let message = preamble("[data]\nshots = 2", "").expect_err("no file");
        assert!(message.contains("`data.train`, which is not set"), "{message}");
        assert_eq!(preamble("", "").expect("nothing"), Preamble::default());
        assert_eq!(
            preamble("[data]\nsystem = ''", "").expect("nothing"),
            Preamble::default(),
            "an empty one is none"
        );
    }
}

//! What stands before every prompt, as `[data]` names it: the system message (`data.system`) and solved
//! examples (`data.shots`).

use crate::{Data, Error, Shots};
use ruminate_data::jsonl::{self, Row, TaskFormat};
use ruminate_data::{Message, Prompt, Task};
use ruminate_text::Preamble;
use serde_json::{Map, Value};
use std::path::Path;

/// What a recipe wants before its prompts. `tagged` says whether the reward reads the content of `<answer>`
/// ([`Reward::reads_tags`](crate::Reward::reads_tags)): examples that are tasks then show their answer in
/// tags.
///
/// # Errors
/// [`Error::ShotsWithoutFile`] where rows are wanted of a file that is not named; [`Error::Data`] and
/// [`Error::Line`] for a file of examples with a bad row.
pub fn shots(data: &Data, tagged: bool) -> Result<Preamble, Error> {
    let system = data.system.as_deref();
    let (path, rows) = match (&data.shots, &data.train) {
        (None | Some(Shots::Rows(0)), _) => return Ok(Preamble::of_system(system)),
        (Some(Shots::File(path)), _) => (path, usize::MAX),
        (Some(Shots::Rows(count)), Some(path)) => (path, *count),
        (Some(Shots::Rows(count)), None) => return Err(Error::ShotsWithoutFile { count: *count }),
    };
    let read = jsonl::objects(path, data.bad_lines.into())?.rows;
    let format = TaskFormat { columns: data.columns.clone(), ..TaskFormat::default() };
    let shots =
        read.into_iter().take(rows).map(|row| shot(row, path, tagged, &format)).collect::<Result<_, _>>()?;
    Ok(Preamble::new(system, shots))
}

/// Refuses keys that have no effect on texts that are trained on as they stand.
///
/// # Errors
/// [`Error::BesideTexts`].
pub fn refuse_beside_texts(data: &Data) -> Result<(), Error> {
    let key = match (&data.system, &data.shots) {
        (Some(system), _) if !system.trim().is_empty() => "system",
        (_, Some(_)) => "shots",
        _ => return Ok(()),
    };
    Err(Error::BesideTexts { key })
}

/// Whether a task's question is one of these.
pub(crate) fn asks_one_of(task: &Task, questions: &[&str]) -> bool {
    let text = match &task.prompt {
        Prompt::Text(text) => text.clone(),
        Prompt::Messages(messages) => {
            messages.iter().rfind(|message| message.role() == "user").map_or_else(String::new, Message::text)
        }
    };
    questions.contains(&text.as_str())
}

/// The turns of an example: `messages` that end with the assistant; `prompt` and `completion`; or a task,
/// whose reply is its worked `solution` and its answer, in tags where the reward reads them.
fn shot(
    row: Row<Map<String, Value>>,
    path: &Path,
    tagged: bool,
    format: &TaskFormat,
) -> Result<Vec<Message>, Error> {
    let Row { line, value } = row;
    let refused = |problem: String| Error::line(path, line, problem);
    if let Some(messages) = value.get("messages") {
        let turns: Vec<Message> = serde_json::from_value(messages.clone()).map_err(|error| {
            refused(format!("expected `messages` with texts `role` and `content`: {error}"))
        })?;
        let turns: Vec<Message> = turns.into_iter().filter(|turn| turn.role() != "system").collect();
        return match turns.last() {
            Some(last) if last.role() == "assistant" && turns.len() > 1 => Ok(turns),
            _ => Err(refused(
                "expected an example of `data.shots` to end with the assistant's reply".to_owned(),
            )),
        };
    }
    if let (Some(Value::String(prompt)), Some(Value::String(completion))) =
        (value.get("prompt"), value.get("completion"))
    {
        let turn = |role: &str, text: &str| Message::new(role, text);
        return Ok(vec![turn("user", prompt), turn("assistant", completion)]);
    }
    let task = format.parse(&Value::Object(value).to_string()).map_err(|mismatch| {
        refused(format!(
            "expected an example of `data.shots` as `messages`, as `prompt` and `completion`, or as a task \
             with {}; found {}",
            mismatch.expected, mismatch.found
        ))
    })?;
    let reply = reply(&task, tagged);
    let mut turns = match task.prompt {
        Prompt::Text(text) => vec![Message::new("user", text)],
        Prompt::Messages(turns) => turns.into_iter().filter(|turn| turn.role() != "system").collect(),
    };
    turns.push(Message::new("assistant", reply));
    Ok(turns)
}

fn reply(task: &Task, tagged: bool) -> String {
    let worked = task.columns.get("solution").and_then(Value::as_str).map(str::trim);
    match (worked, tagged) {
        (worked, true) => {
            format!("<think>{}</think><answer>{}</answer>", worked.unwrap_or_default(), task.answer)
        }
        (Some(worked), false) if !worked.contains(&task.answer) => format!("{worked}\n#### {}", task.answer),
        (Some(worked), false) => format!("{worked}\nThe answer is {}", task.answer),
        (None, false) => task.answer.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::{refuse_beside_texts, shots};
    use crate::{Data, Reward};
    use ruminate_data::Message;
    use ruminate_text::Preamble;
    use serde::Deserialize;
    use serde_json::Value;
    use std::fs;

    #[derive(Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct Recipe {
        data: Data,
        reward: Reward,
    }

    fn preamble(toml: &str, rows: &str) -> Result<Preamble, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.jsonl");
        fs::write(&path, rows).expect("written");
        let Recipe { data, reward } =
            toml::from_str(&toml.replace("FILE", path.to_str().expect("UTF-8"))).expect("a recipe");
        shots(&data, reward.reads_tags(&data)).map_err(|error| error.to_string())
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

    #[test]
    fn a_preamble_beside_texts_is_an_error_of_options() {
        for (toml, key) in [("system = 'Hi.'", "`data.system`"), ("shots = 1", "`data.shots`")] {
            let error = refuse_beside_texts(&toml::from_str(toml).expect("a table")).expect_err(toml);
            assert!(error.to_string().starts_with(key) && error.is_usage(), "{error}");
        }
        assert!(refuse_beside_texts(&toml::from_str("system = ' '").expect("a table")).is_ok());
    }
}

//! The teacher's dialogue in OpenAI's chat protocol: the question, and what an answer says.

use super::super::traces::messages;
use crate::recipe::Recipe;
use ruminate_data::{FinishReason, Seed, Task};
use ruminate_run::sha256_hex;
use ruminate_text::TemplateInputs;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A completion, as the server gave it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Choice {
    pub(super) text: String,
    pub(super) finish_reason: FinishReason,
}

/// What is asked, without the server's address and the number of choices: they decide no answer.
fn question(recipe: &Recipe, task: &Task) -> Value {
    let sampling = &recipe.rollout;
    let mut question = json!({
        "model": recipe.distill.remote_model.as_deref().unwrap_or_default(),
        // Read without an error before: the renderer that speaks it has the same.
        "messages": recipe.preamble().unwrap_or_default().before(&messages(&task.prompt)),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_new_tokens,
    });
    if sampling.top_k > 0 {
        question["top_k"] = sampling.top_k.into(); // not OpenAI's; vLLM and llama.cpp know it
    }
    // Those of OpenAI, then vLLM's and llama.cpp's.
    for (key, value, neutral) in [
        ("presence_penalty", sampling.presence_penalty, 0.0),
        ("frequency_penalty", sampling.frequency_penalty, 0.0),
        ("min_p", sampling.min_p, 0.0),
        ("repetition_penalty", sampling.repetition_penalty, 1.0),
    ] {
        if value != neutral {
            question[key] = value.into();
        }
    }
    // Read without an error when the problem was.
    let inputs = TemplateInputs::of_row(|name| task.columns.get(name)).unwrap_or_default();
    let inputs = inputs.with_defaults(&recipe.data.template);
    if let Some(tools) = inputs.tools {
        question["tools"] = tools.into();
    }
    if !inputs.kwargs.is_empty() {
        question["chat_template_kwargs"] = inputs.kwargs.into(); // vLLM's, SGLang's and llama.cpp's
    }
    question
}

/// Hash of what decides an answer.
pub(super) fn hash(recipe: &Recipe, task: &Task) -> String {
    let decides = json!({ "question": question(recipe, task), "seed": recipe.seed });
    sha256_hex(decides.to_string().as_bytes())
}

/// The body of a request for so many choices.
pub(super) fn request(recipe: &Recipe, task: &Task, choices: usize, seed: Seed) -> String {
    let mut body = question(recipe, task);
    body["n"] = choices.into();
    body["seed"] = (seed.value() & 0x7fff_ffff).into(); // what every server takes for one
    body.to_string()
}

/// The choices of an answer. A thought that the server tells apart comes back into its tags, as R1 writes it.
pub(super) fn choices(body: &str) -> Result<Vec<Choice>, String> {
    let answer: Value = serde_json::from_str(body).map_err(|error| format!("no JSON: {error}"))?;
    let list = answer["choices"].as_array().filter(|list| !list.is_empty()).ok_or("no `choices` in it")?;
    list.iter()
        .map(|choice| {
            let message = choice["message"].as_object().ok_or("a choice without `message`")?;
            let text = |key: &str| message.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
            let content = text("content").unwrap_or_default();
            let text = match text("reasoning_content").or_else(|| text("reasoning")) {
                Some(thought) => format!("<think>\n{}\n</think>\n\n{}", thought.trim(), content.trim_start()),
                None => content.to_owned(),
            };
            // Whatever else ends an answer (a filter, a tool), it did not end by itself.
            let stopped = choice["finish_reason"] == "stop";
            let finish_reason = if stopped { FinishReason::Stop } else { FinishReason::Length };
            Ok(Choice { text, finish_reason })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Choice, choices, hash, question};
    use crate::recipe::Recipe;
    use ruminate_data::FinishReason::{self, Length, Stop};
    use ruminate_data::jsonl::parse_task;
    use serde_json::json;

    fn said(text: &str, finish_reason: FinishReason) -> Choice {
        Choice { text: text.to_owned(), finish_reason }
    }

    #[test]
    fn an_answer_is_read_as_servers_give_it() {
        let one =
            |choice: &str| choices(&format!(r#"{{"choices": [{choice}]}}"#)).expect("an answer").remove(0);
        let plain = one(r#"{"message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}"#);
        assert_eq!(plain, said("4", Stop));
        let thought = one(
            r#"{"message": {"reasoning_content": "2 and 2\n", "content": "\n\n4"}, "finish_reason": "stop"}"#,
        );
        assert_eq!(thought, said("<think>\n2 and 2\n</think>\n\n4", Stop));
        let cut = one(r#"{"message": {"reasoning": "2 and", "content": null}, "finish_reason": "length"}"#);
        assert_eq!(cut, said("<think>\n2 and\n</think>\n\n", Length));
        let filtered = one(r#"{"message": {"content": "4"}, "finish_reason": "content_filter"}"#);
        assert_eq!(filtered.finish_reason, Length);
    }

    #[test]
    fn what_the_template_reads_goes_to_the_server() {
        let mut recipe = Recipe::default();
        let task = |row: &str| parse_task(row).expect("a task");
        let plain =
            task(r#"{"prompt": [{"role": "user", "name": "Al", "content": "2+2?"}], "answer": 4, "x": 1}"#);
        let asked = question(&recipe, &plain);
        assert_eq!(asked["messages"], json!([{"role": "user", "name": "Al", "content": "2+2?"}]));
        assert_eq!((asked.get("tools"), asked.get("chat_template_kwargs")), (None, None));

        recipe.data.template.insert("enable_thinking".to_owned(), true.into());
        let row = r#"{"prompt": "2+2?", "answer": 4, "tools": [{"a": 1}], "chat_template_kwargs": {"enable_thinking": false}}"#;
        let asked = question(&recipe, &task(row));
        assert_eq!(asked["tools"], json!([{"a": 1}]));
        assert_eq!(asked["chat_template_kwargs"], json!({"enable_thinking": false}), "the row's goes first");
        assert_ne!(hash(&recipe, &plain), hash(&Recipe::default(), &plain));
    }

    #[test]
    fn nonsense_is_no_answer() {
        for (body, says) in [
            ("<html>", "no JSON"),
            ("{}", "no `choices`"),
            (r#"{"choices": []}"#, "no `choices`"),
            (r#"{"choices": [{"text": "4"}]}"#, "without `message`"),
        ] {
            let why = choices(body).expect_err(body);
            assert!(why.contains(says), "{why}");
        }
    }
}

//! What a chat template reads beside the messages: tools, documents, and variables of its own such as `enable_thinking`.

use crate::Error;
use serde_json::{Map, Value};

/// Names that no variable of a template can have: they are transformers' own, or say how a chat is rendered.
const RESERVED: [&str; 9] = [
    "messages",
    "tools",
    "documents",
    "add_generation_prompt",
    "continue_final_message",
    "chat_template",
    "conversation",
    "return_assistant_tokens_mask",
    "tokenize",
];

/// What a chat template reads beside the messages, as `apply_chat_template` of transformers takes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TemplateInputs {
    /// JSON schemas of functions.
    pub tools: Option<Vec<Value>>,
    /// Texts with their titles.
    pub documents: Option<Vec<Value>>,
    /// The template's own variables.
    pub kwargs: Map<String, Value>,
}

impl TemplateInputs {
    /// Those of a row, whose columns `row` gives: `tools`, `documents` and `chat_template_kwargs`, of which each may be absent,
    /// null, or JSON in a text.
    ///
    /// # Errors
    /// [`Error::Inputs`] for a column that is something else.
    pub fn of_row<'a>(row: impl Fn(&str) -> Option<&'a Value>) -> Result<Self, Error> {
        let list = |name: &str| match row(name).and_then(column) {
            None => Ok(None),
            Some(Value::Array(list)) if list.iter().all(Value::is_object) => {
                Ok(Some(list).filter(|list| !list.is_empty()))
            }
            Some(_) => Err(refused(format!("`{name}` to be a list of objects"), "something else")),
        };
        let kwargs = match row("chat_template_kwargs").and_then(column) {
            None => Map::new(),
            Some(Value::Object(kwargs)) => kwargs,
            Some(_) => {
                return Err(refused("`chat_template_kwargs` to be an object".to_owned(), "something else"));
            }
        };
        check_names(&kwargs)?;
        Ok(Self { tools: list("tools")?, documents: list("documents")?, kwargs })
    }

    /// The same with variables for those that it does not set itself.
    #[must_use]
    pub fn with_defaults(mut self, kwargs: &Map<String, Value>) -> Self {
        for (name, value) in kwargs {
            self.kwargs.entry(name.clone()).or_insert_with(|| value.clone());
        }
        self
    }

    /// The names of what is given.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let lists = [("tools", &self.tools), ("documents", &self.documents)];
        let lists = lists.into_iter().filter(|(_, list)| list.is_some()).map(|(name, _)| name);
        lists.chain(self.kwargs.keys().map(String::as_str))
    }
}

/// Whether variables may have their names.
///
/// # Errors
/// [`Error::Inputs`].
pub fn check_names(kwargs: &Map<String, Value>) -> Result<(), Error> {
    match kwargs.keys().find(|name| RESERVED.contains(&name.as_str())) {
        Some(name) => {
            Err(refused("a variable of the chat template".to_owned(), format!("`{name}`, which is none")))
        }
        None => Ok(()),
    }
}

fn refused(expected: String, found: impl Into<String>) -> Error {
    Error::Inputs { expected, found: found.into() }
}

/// A column that is there. Data sets often keep nested columns as JSON in a text.
fn column(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => {
            Some(serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str())))
        }
        value => Some(value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::TemplateInputs;
    use serde_json::json;

    fn of(row: &serde_json::Value) -> Result<TemplateInputs, String> {
        TemplateInputs::of_row(|name| row.get(name)).map_err(|error| error.to_string())
    }

    #[test]
    fn columns_are_read_as_json_or_as_json_in_a_text() {
        let plain =
            of(&json!({"tools": [{"b": 1, "a": 2}], "chat_template_kwargs": {"x": false}, "answer": "4"}));
        let texts = of(
            &json!({"tools": "[{\"b\": 1, \"a\": 2}]", "chat_template_kwargs": "{\"x\": false}", "documents": ""}),
        );
        assert_eq!(plain, texts);
        let inputs = plain.expect("inputs");
        assert_eq!(inputs.names().collect::<Vec<_>>(), ["tools", "x"]);
        let defaults = json!({"x": true, "y": 1});
        let merged = inputs.with_defaults(defaults.as_object().expect("an object"));
        assert_eq!(merged.kwargs, *json!({"x": false, "y": 1}).as_object().expect("an object"));
        assert_eq!(of(&json!({"tools": null, "documents": []})), Ok(TemplateInputs::default()));
    }

    #[test]
    fn what_is_no_input_is_refused_by_name() {
        for (row, says) in [
            (json!({"tools": 3}), "`tools` to be a list of objects"),
            (json!({"tools": ["f"]}), "`tools` to be a list of objects"),
            (json!({"documents": "not JSON"}), "`documents` to be a list of objects"),
            (json!({"chat_template_kwargs": [1]}), "`chat_template_kwargs` to be an object"),
            (
                json!({"chat_template_kwargs": {"add_generation_prompt": true}}),
                "`add_generation_prompt`, which is none",
            ),
        ] {
            let problem = of(&row).expect_err("refused");
            assert!(problem.contains(says), "{problem}");
        }
    }
}

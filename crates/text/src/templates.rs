//! The chat templates of a model folder by name, as transformers 5 finds them. It renders none of them.

use crate::files::{CHAT_TEMPLATE, CONFIG, File, NAMED_TEMPLATES};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The name of the template that is meant for chat.
const DEFAULT: &str = "default";

/// The templates of a folder. Why none can be used is no error before one is asked for: text needs no template.
#[derive(Clone, Debug, Default)]
pub(crate) struct Templates {
    by_name: BTreeMap<String, String>,
    /// The file of `default`.
    pub(crate) path: String,
    /// Why there is no `default` although the folder has templates.
    pub(crate) problem: Option<String>,
}

impl Templates {
    /// Those of `chat_template.jinja` and `additional_chat_templates/`; where there are none, those of the key
    /// `chat_template` of `tokenizer_config.json`.
    pub(crate) fn find(folder: &Path, files: &[File], key: Option<&Value>) -> Self {
        let shown = |name: &str| folder.join(name).display().to_string();
        let mut templates = Self { path: shown(CHAT_TEMPLATE), ..Self::default() };
        let named = format!("{NAMED_TEMPLATES}/");
        for (name, bytes) in files {
            let Some(template) = (if name == CHAT_TEMPLATE {
                Some(DEFAULT)
            } else {
                name.strip_prefix(&named).and_then(|name| name.strip_suffix(".jinja"))
            }) else {
                continue;
            };
            let Ok(source) = str::from_utf8(bytes) else {
                templates
                    .problem
                    .get_or_insert(format!("{}: expected UTF-8, found other bytes", shown(name)));
                continue;
            };
            templates.by_name.insert(template.to_owned(), source.to_owned());
        }
        if templates.by_name.is_empty() && templates.problem.is_none() {
            templates.path = shown(CONFIG);
            match of_key(key) {
                Ok(by_name) => templates.by_name = by_name,
                Err(found) => {
                    templates.problem = Some(format!(
                        "{}: `chat_template`: expected a text, or texts by name, found {found}",
                        templates.path
                    ));
                }
            }
        }
        templates.problem = templates.problem.take().or_else(|| templates.unusable(folder));
        templates
    }

    /// What is wrong with templates that were read.
    fn unusable(&self, folder: &Path) -> Option<String> {
        match self.get(DEFAULT) {
            Some("") => Some(format!(
                "{}: the chat template is empty; expected a template in Jinja, or no template",
                self.path
            )),
            None if !self.by_name.is_empty() => {
                let names: Vec<&str> = self.by_name.keys().map(String::as_str).collect();
                Some(format!(
                    "{}: the chat templates are called `{}`, and none `{DEFAULT}`; make one of them the file \
                     {CHAT_TEMPLATE}",
                    folder.display(),
                    names.join("`, `")
                ))
            }
            _ => None,
        }
    }

    /// The template for chats; none where there is a problem.
    pub(crate) fn for_chat(&self) -> Option<&str> {
        if self.problem.is_some() { None } else { self.get(DEFAULT) }
    }

    /// A template by its name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.by_name.get(name).map(String::as_str)
    }
}

/// The templates of the key: one, a list of named ones, or an object of them.
fn of_key(key: Option<&Value>) -> Result<BTreeMap<String, String>, &'static str> {
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or("a template that is no text");
    match key {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::String(source)) => Ok([(DEFAULT.to_owned(), source.clone())].into()),
        Some(Value::Object(by_name)) => {
            by_name.iter().map(|(name, source)| Ok((name.clone(), text(source)?))).collect()
        }
        Some(Value::Array(list)) => {
            let named = |entry: &Value| match (entry["name"].as_str(), entry["template"].as_str()) {
                (Some(name), Some(source)) => Ok((name.to_owned(), source.to_owned())),
                _ => Err("a list with entries that lack the texts `name` and `template`"),
            };
            list.iter().map(named).collect()
        }
        Some(Value::Bool(_)) => Err("a boolean"),
        Some(Value::Number(_)) => Err("a number"),
    }
}

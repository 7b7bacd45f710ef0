//! The chat templates that TRL and huggingface.js carry, on the conversations of `fixtures/text/conversations.json`: the prompt
//! that transformers makes (`published.py`), or no prompt where it makes none. And damaged ones.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;
use ruminate_data::{Message, messages};
use ruminate_text::{ChatTemplate, Error, GenerationPrompt, SpecialTokens, TemplateInputs};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

fn fixtures() -> PathBuf {
    ruminate_testkit::fixture_path("text")
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixtures().join(name)).unwrap()).unwrap()
}

fn compile(source: &str) -> Result<ChatTemplate, Error> {
    let special =
        SpecialTokens { bos: Some("<|bos|>".into()), eos: Some("<|eos|>".into()), ..Default::default() };
    ChatTemplate::new(source, &special, UNIX_EPOCH + Duration::from_secs(1_740_787_199))
}

fn source(name: &str) -> String {
    std::fs::read_to_string(fixtures().join("published").join(name)).unwrap()
}

static CONVERSATIONS: LazyLock<Vec<(String, Vec<Message>, TemplateInputs)>> = LazyLock::new(|| {
    let chats = json("conversations.json");
    let chat = |(name, chat): (&String, &Value)| {
        let inputs = TemplateInputs::of_row(|column| chat.get(column)).unwrap();
        (name.clone(), messages("messages", chat["messages"].clone()).unwrap(), inputs)
    };
    chats.as_object().unwrap().iter().map(chat).collect()
});

/// A prompt as `published.json` has it: its bytes, and the beginning of its hash.
fn short(prompt: &str) -> String {
    let hash = Sha256::digest(prompt);
    let start = u64::from_be_bytes(hash[..8].try_into().unwrap());
    format!("{} {start:016x}", prompt.len())
}

/// Why a row is not transformers', where it is not: the template, the conversation, and the reason. There is none.
const EXPLAINED: [(&str, &str, &str); 0] = [];

#[test]
fn published_templates_give_the_prompts_of_transformers_or_both_refuse() {
    let golden = json("published.json");
    let (mut same, mut refused, mut wrong) = (0, 0, Vec::new());
    for row in golden["rows"].as_array().unwrap() {
        let name = row["template"].as_str().unwrap();
        let template = compile(&source(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (chat, messages, inputs) in CONVERSATIONS.iter() {
            for (i, prompt) in [GenerationPrompt::Omit, GenerationPrompt::Add].into_iter().enumerate() {
                let made = template.render(messages, inputs, prompt);
                match (&made, row[chat][i].as_str()) {
                    (Ok(made), Some(golden)) if short(made) == golden => same += 1,
                    (Err(_), None) => refused += 1,
                    _ if EXPLAINED.iter().any(|(file, of, _)| (*file, *of) == (name, chat)) => {}
                    (made, golden) => wrong.push(format!("{name}, {chat}, {prompt:?}: {golden:?}, {made:?}")),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(same >= 1900 && refused >= 500, "the corpus has shrunk: {same} and {refused}");
}

#[test]
fn every_published_template_is_rendered() {
    let rows = json("published.json")["rows"].as_array().unwrap().len();
    let files = |folder: &str| std::fs::read_dir(fixtures().join("published").join(folder)).unwrap().count();
    assert_eq!(rows, files("trl") + files("huggingface"));
}

/// Templates that use most of the language.
static VICTIMS: LazyLock<Vec<Vec<char>>> = LazyLock::new(|| {
    [
        "trl/qwen3.jinja",
        "trl/gptoss.jinja",
        "trl/nemotron_3_nano.jinja",
        "huggingface/mistral-large_123b.jinja",
    ]
    .map(|name| source(name).chars().collect())
    .into()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_damaged_template_renders_or_is_refused(
        victim in any::<prop::sample::Index>(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..40, any::<prop::sample::Index>()), 1..4),
        chat in any::<prop::sample::Index>(),
    ) {
        // Pieces of the template are taken out, or put elsewhere in it.
        let mut source = victim.get(&VICTIMS[..]).clone();
        for (from, length, to) in cuts {
            let from = from.index(source.len() + 1);
            let piece: Vec<char> = source.drain(from..(from + length).min(source.len())).collect();
            let to = to.index(2 * source.len() + 2);
            if to <= source.len() {
                source.splice(to..to, piece);
            }
        }
        if let Ok(template) = compile(&source.into_iter().collect::<String>()) {
            let (_, messages, inputs) = chat.get(&CONVERSATIONS[..]);
            match template.render(messages, inputs, GenerationPrompt::Add) {
                Err(Error::TemplateRender { reason }) => {
                    prop_assert!(!reason.contains("panic"), "{}", reason);
                }
                _either => {}
            }
        }
    }
}

#[test]
fn variables_of_a_row_reach_the_template_and_go_before_tokens() {
    let template =
        compile("{{ enable_thinking }} {{ bos_token }} {{ tools | tojson }} {{ documents }}").unwrap();
    let row: Map<String, Value> = serde_json::from_str(
        r#"{"chat_template_kwargs": {"enable_thinking": false, "bos_token": "x"}, "tools": [{"z": 1, "a": 1.0}]}"#,
    )
    .unwrap();
    let inputs = TemplateInputs::of_row(|name| row.get(name)).unwrap();
    let rendered = template.render(&[], &inputs, GenerationPrompt::Add).unwrap();
    assert_eq!(rendered, r#"False x [{"z": 1, "a": 1.0}] None"#, "the order of keys is the file's");
}

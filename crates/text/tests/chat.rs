//! Chat templates against what `transformers` renders (`fixtures/text/golden.py`), and hostile ones.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;
use ruminate_data::Message;
use ruminate_text::{ChatTemplate, Error, GenerationPrompt, SpecialTokens, TemplateInputs, Tokenizer};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

fn compile(source: &str) -> Result<ChatTemplate, Error> {
    let special =
        SpecialTokens { bos: Some("<|bos|>".into()), eos: Some("<|eos|>".into()), ..Default::default() };
    ChatTemplate::new(source, &special, UNIX_EPOCH + Duration::from_secs(1_740_787_199))
}

fn render(source: &str) -> Result<String, Error> {
    let messages = [Message::new("user", "a<b")];
    compile(source)?.render(&messages, &TemplateInputs::default(), GenerationPrompt::Add)
}

fn golden(file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixtures().join(file)).unwrap()).unwrap()
}

fn fixtures() -> PathBuf {
    ruminate_testkit::fixture_path("text")
}

fn template(row: &Value) -> ChatTemplate {
    let path = fixtures().join("templates").join(row["template"].as_str().unwrap());
    compile(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn conversation(golden: &Value, row: &Value) -> Vec<Message> {
    serde_json::from_value(golden["conversations"][row["chat"].as_str().unwrap()].clone()).unwrap()
}

#[test]
fn chats_render_as_transformers_renders_them() {
    let golden = golden("chats.json");
    let rows = golden["chats"].as_array().unwrap();
    assert!(rows.len() >= 260, "the corpus has shrunk");
    for row in rows {
        let messages = conversation(&golden, row);
        let prompt =
            if row["add_generation_prompt"] == true { GenerationPrompt::Add } else { GenerationPrompt::Omit };
        let what = format!("{}, {}, {prompt:?}", row["template"], row["chat"]);
        match template(row).render(&messages, &TemplateInputs::default(), prompt) {
            Ok(rendered) => assert_eq!(row["rendered"], rendered, "{what}"),
            Err(Error::TemplateRefused { message }) => assert_eq!(row["refused"], message, "{what}"),
            Err(error) => assert_eq!(row["failed"], true, "{what}: {error}"),
        }
    }
}

#[test]
fn the_assistant_s_spans_are_those_of_transformers() {
    let golden = golden("chats.json");
    let marked: Vec<&Value> =
        golden["chats"].as_array().unwrap().iter().filter(|row| row["assistant"].is_array()).collect();
    assert!(marked.len() >= 30, "the corpus has shrunk");
    for row in marked {
        let template = template(row);
        assert!(template.marks_assistant());
        let chat = template.render_marked(&conversation(&golden, row), &TemplateInputs::default()).unwrap();
        assert_eq!(row["rendered"], chat.text);
        let in_characters = |byte: usize| chat.text[..byte].chars().count();
        let spans: Vec<[usize; 2]> =
            chat.assistant.iter().map(|span| [in_characters(span.start), in_characters(span.end)]).collect();
        assert_eq!(row["assistant"], json!(spans), "{}, {}", row["template"], row["chat"]);
    }
}

#[test]
fn the_assistant_s_tokens_are_those_of_transformers() {
    let tokenizer = Tokenizer::load(&fixtures().join("byte_level")).unwrap();
    let (golden, masks) = (golden("chats.json"), golden("masks.json"));
    for row in masks["masks"].as_array().unwrap() {
        let chat =
            template(row).render_marked(&conversation(&golden, row), &TemplateInputs::default()).unwrap();
        let (ids, mask) = tokenizer.encode_marked(&chat).unwrap();
        assert_eq!(row["ids"], json!(ids), "{}, {}", row["template"], row["chat"]);
        let mask: Vec<u8> = mask.into_iter().map(u8::from).collect();
        assert_eq!(row["assistant"], json!(mask), "{}, {}", row["template"], row["chat"]);
    }
}

#[test]
fn a_template_without_marks_says_so() {
    let template = compile("{{ messages[0].content }}").unwrap();
    assert!(!template.marks_assistant());
    let (messages, inputs) = ([Message::new("user", "a\u{fdd0}b")], TemplateInputs::default());
    assert_eq!(template.render(&messages, &inputs, GenerationPrompt::Omit).unwrap(), "a\u{fdd0}b");
    assert!(matches!(template.render_marked(&messages, &inputs).unwrap_err(), Error::TemplateRender { .. }));
}

#[test]
fn the_clock_is_the_caller_s() {
    assert_eq!(render("{{ strftime_now('%d %b %Y') }}").unwrap(), "28 Feb 2025");
}

#[test]
fn a_template_that_does_not_end_runs_out_of_steps() {
    let nested = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
    assert!(matches!(render(nested).unwrap_err(), Error::TemplateRender { .. }));
    let doubling = "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}";
    assert!(matches!(render(doubling).unwrap_err(), Error::TemplateRender { .. }));
    let recursive = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}";
    assert!(matches!(render(recursive).unwrap_err(), Error::TemplateRender { .. }));
}

#[test]
fn a_template_that_writes_without_end_is_cut_off() {
    let loud = "{% for a in range(99999) %}{{ 'x' * 9999 }}{% endfor %}";
    let error = render(loud).unwrap_err();
    assert!(matches!(&error, Error::TemplateRender { reason } if reason.contains("exceeds")), "{error}");
}

#[test]
fn a_long_chat_is_within_the_budget() {
    let source = "{% for m in messages %}{{ '<' + m.role + '>' + m.content.split('</think>')[-1].strip() + '\n' }}{% endfor %}";
    let (turns, inputs) = (vec![Message::new("user", "x".repeat(2000)); 2000], TemplateInputs::default());
    let rendered = compile(source).unwrap().render(&turns, &inputs, GenerationPrompt::Omit).unwrap();
    assert_eq!(rendered.len(), 2000 * 2007);
}

#[test]
fn broken_templates_are_typed_errors() {
    assert!(matches!(render("{% if %}").unwrap_err(), Error::TemplateSyntax { .. }));
    assert!(matches!(render(&"{% if 1 %}".repeat(20_000)).unwrap_err(), Error::TemplateSyntax { .. }));
    assert!(matches!(
        render(&format!("{{{{ {} }}}}", "(".repeat(50_000))).unwrap_err(),
        Error::TemplateSyntax { .. }
    ));
    assert!(matches!(render("{{ messages[7].role }}").unwrap_err(), Error::TemplateRender { .. }));
    assert!(matches!(render("{% include 'etc/passwd' %}").unwrap_err(), Error::TemplateRender { .. }));
}

#[test]
fn generation_tags_keep_their_whitespace_control() {
    let source = "a {%- generation -%} b {% endgeneration %} c{{ ' {% generation' }}";
    assert_eq!(render(source).unwrap(), "ab  c {% generation");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_template_panics(
        parts in proptest::collection::vec(
            prop::sample::select(vec![
                "{%", "%}", "{{", "}}", "{%-", "-%}", "{#", "#}", " generation ", "endgeneration", "for m in messages",
                "endfor", "if", "endif", "m", ".role", "['content']", "messages", "[1:]", "[::-1]", "|tojson", "|trim",
                ".split('a')", ".strip()", "(", ")", "'", "set x = ", "loop.index0", "%", "*", "-1", "9999999999", "~",
                "namespace(a=1)", "is defined", "raise_exception('x')", "strftime_now('%d')", "range(3)", "\n", " ", "é",
            ]),
            0..16,
        ),
        content in ".{0,20}",
    ) {
        if let Ok(template) = compile(&parts.concat()) {
            let messages = [Message::new("user", content)];
            let _either = template.render(&messages, &TemplateInputs::default(), GenerationPrompt::Add);
        }
    }
}

//! Renderers of small folders: ends, styles, variables, and which errors are of options.

use super::{Columns, PromptStyle, Renderer};
use crate::Error;
use ruminate_data::{Message, Prompt};
use serde_json::{Map, Value, json};
use std::fs;

const TEMPLATE: (&str, &str) = (
    "chat_template.jinja",
    "{% for message in messages %}{{ message.role }}: {{ message.content }}<|im_end|>\n{% endfor %}",
);
const EOS: (&str, &str) = ("tokenizer_config.json", r#"{"eos_token": "</think>"}"#);

/// The byte-level tokenizer of the fixtures, `<|im_end|>` being 300, in a folder with these files.
fn load(
    vocab_size: usize,
    ends: &[u32],
    style: PromptStyle,
    files: &[(&str, &str)],
) -> Result<Renderer, Error> {
    let folder = tempfile::tempdir().expect("a folder");
    let fixture = ruminate_testkit::fixture_path("text/byte_level/tokenizer.json");
    fs::copy(fixture, folder.path().join("tokenizer.json")).expect("copied");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("written");
    }
    Renderer::load(folder.path(), vocab_size, ends, style)
}

fn renderer(ends: &[u32], files: &[(&str, &str)]) -> Renderer {
    load(303, ends, PromptStyle::Auto, files).expect("well-formed")
}

fn refused<T>(result: Result<T, Error>) -> (String, bool) {
    let error = result.err().expect("refused");
    (error.to_string(), error.is_usage())
}

fn map(json: &Value) -> Map<String, Value> {
    json.as_object().expect("an object").clone()
}

#[test]
fn what_is_taught_as_the_end_is_what_the_template_writes() {
    let both = renderer(&[5, 300], &[TEMPLATE, EOS]);
    assert_eq!((both.end_ids.as_slice(), both.taught_end()), ([5, 300, 302].as_slice(), Some(300)));
    let without_template = renderer(&[5, 300], &[EOS]);
    assert_eq!(without_template.taught_end(), Some(302));
    let first = renderer(&[5, 300], &[]);
    assert_eq!(first.taught_end(), Some(5));
    // What no file calls an end does not end a completion, whatever the template writes.
    let other = renderer(&[5], &[TEMPLATE]);
    assert_eq!((other.end_ids.as_slice(), other.taught_end()), ([5].as_slice(), Some(5)));
    assert_eq!(other.end_warning(), None);
    let none = renderer(&[], &[]);
    assert_eq!(none.taught_end(), None);
    assert!(none.end_warning().is_some_and(|warning| warning.contains("`eos_token_id`")));
}

#[test]
fn an_end_is_written_once() {
    let renderer = renderer(&[5, 300], &[TEMPLATE]);
    let hat = renderer.tokenizer.encode("hat").expect("encoded");
    for text in ["hat", "hat<|im_end|>"] {
        let (prompt, completion) = renderer.pair_ids("the\n", text).expect("encoded");
        assert_eq!(prompt, renderer.tokenizer.encode("the\n").expect("encoded"));
        assert_eq!(completion, [hat.as_slice(), &[300]].concat());
    }
}

#[test]
fn added_tokens_without_an_embedding_are_a_warning_and_an_end_among_them_an_error() {
    let smaller = load(302, &[], PromptStyle::Auto, &[]).expect("text has no such token");
    let [warning] = smaller.warnings() else { panic!("{:?}", smaller.warnings()) };
    assert!(warning.contains("vocab_size is 302") && warning.contains("(id 302)"), "{warning}");
    assert!(renderer(&[], &[]).warnings().is_empty());

    let (message, is_usage) = refused(load(302, &[], PromptStyle::Auto, &[EOS]));
    let says = "the tokenizer's `eos_token` is \"</think>\", whose id 302 has no embedding";
    assert!(message.contains(says) && !is_usage, "{message}");
    let (message, _) = refused(load(10, &[], PromptStyle::Auto, &[]));
    assert!(message.contains(": the tokenizer has ids up to"), "the folder comes first: {message}");
}

#[test]
fn a_style_that_is_left_open_is_the_models() {
    let prompt =
        |renderer: &Renderer| renderer.render(&Prompt::from("1+1="), &Columns::new()).expect("rendered");
    assert_eq!(prompt(&Renderer::embedded(PromptStyle::Auto).expect("embedded")), "1+1=");
    assert_eq!(prompt(&renderer(&[], &[TEMPLATE])), "user: 1+1=<|im_end|>\n");
    assert!(prompt(&renderer(&[], &[])).ends_with("User: 1+1=. Assistant:"));
    let bare = load(303, &[], PromptStyle::Bare, &[TEMPLATE]).expect("well-formed");
    assert_eq!(prompt(&bare), "1+1=");
    assert!(bare.template.has_template() && !bare.template.keeps_turns());

    let (message, is_usage) = refused(load(303, &[], PromptStyle::Chat, &[]));
    assert!(message.contains("the model has no chat template") && !is_usage, "{message}");
    let messages = Prompt::Messages(vec![Message::new("user", "1+1=")]);
    let (message, _) = refused(renderer(&[], &[]).render(&messages, &Columns::new()));
    assert!(message.contains("expected chat_template.jinja"), "{message}");
    assert!(Renderer::embedded(PromptStyle::Chat).is_err());
}

#[test]
fn variables_that_no_template_reads_are_errors_of_options() {
    let with = |template: &str, kwargs: &Value| {
        let files = [("chat_template.jinja", template)];
        let files = if template.is_empty() { &[][..] } else { &files[..] };
        renderer(&[], files).with_kwargs(&map(kwargs), "--template")
    };
    let made = with("{{ thinking }}", &json!({"thinking": true})).expect("it reads it");
    assert_eq!(made.render(&Prompt::from("a"), &Columns::new()).expect("rendered"), "True");
    assert!(made.template.reads("thinking") && !made.template.reads("other"));
    for (template, kwargs, says) in [
        ("a", json!({"messages": 1}), ": expected a variable of the chat template"),
        ("a", json!({"x": 1}), "chat_template.jinja does not read it: it would change nothing"),
        ("", json!({"x": 1}), " sets `x` for the chat template, and the model has none"),
    ] {
        let (message, is_usage) = refused(with(template, &kwargs));
        assert!(message.starts_with("--template") && message.contains(says) && is_usage, "{message}");
    }
}

#[test]
fn what_a_row_gives_to_a_template_that_ignores_it_is_refused() {
    let row = map(&json!({"tools": [{"name": "f"}], "documents": "a column of its own"}));
    let (message, is_usage) = refused(renderer(&[], &[TEMPLATE]).render(&Prompt::from("a"), &row));
    assert!(message.starts_with("the row gives `tools` to the chat template") && !is_usage, "{message}");
    let (message, _) = refused(renderer(&[], &[]).render(&Prompt::from("a"), &row));
    assert!(message.starts_with("`tools` is for the chat template, and the prompt is a text"), "{message}");
}

#[test]
fn an_error_of_the_template_names_its_file() {
    let (message, _) = refused(load(303, &[], PromptStyle::Auto, &[("chat_template.jinja", "{% if %}")]));
    assert!(message.contains("/chat_template.jinja: the chat template does not parse: "), "{message}");
    let raising = ("chat_template.jinja", "{{ raise_exception('no') }}");
    let (message, is_usage) = refused(renderer(&[], &[raising]).render(&Prompt::from("a"), &Columns::new()));
    let says = "/chat_template.jinja: the chat template refuses these messages: no";
    assert!(message.ends_with(says) && !is_usage, "{message}");
}

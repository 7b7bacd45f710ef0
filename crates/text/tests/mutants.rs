//! Damaged chat templates and tokenizers: an error or an answer, within bounded memory, and never the end of the process.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "mutants/driver.rs"]
mod driver;

use driver::{Random, bytes, fixture, json, json_fixture};
use ruminate_data::Message;
use ruminate_text::{ChatTemplate, GenerationPrompt, SpecialText, SpecialTokens, TemplateInputs, Tokenizer};
use serde_json::json as value;
use std::time::UNIX_EPOCH;

const TEMPLATES: [&str; 9] = [
    "deepseek_r1_distill",
    "llama3",
    "llama3_1",
    "llama3_2",
    "ours_chatml",
    "ours_slices",
    "qwen2_5",
    "qwen3_training",
    "smollm2",
];

/// What a program is made of: values, and what can be done with one, or with two.
const VALUES: [&str; 18] = [
    "messages",
    "messages[0].content",
    "ns.x",
    "ns.y",
    "x",
    "i",
    "9",
    "-1",
    "'ab'",
    "''",
    "'a' * 1000000",
    "('a' * 20000000)",
    "['a' * 1000000] * 1000000",
    "([1] * 100000000)",
    "[ns.x, ns.x]",
    "{'k': ns.y, 'l': ns.y}",
    "range(99999)",
    "loop.index",
];
const DOING: [&str; 44] = [
    "|tojson",
    "|tojson(indent=4)",
    "|string",
    "|join(', ')",
    "|join(ns.x)",
    "|list",
    "|sort",
    "|unique|list",
    "|upper",
    "|replace('', 'aaaaaaaa')",
    "|replace('a', ns.x)",
    "|batch(1000000)|list",
    "|batch(3)|list",
    "|slice(1000000)|list",
    "|indent(1000000)",
    "|groupby('role')",
    "|map('upper')|list",
    "|dictsort",
    "|pprint",
    "|title",
    "|trim",
    "|reverse|list",
    "|last",
    "|first",
    "|length",
    "|sum",
    "|format(ns.x, ns.x)",
    ".format(ns.x, ns.x)",
    ".join(messages)",
    ".join(ns.y)",
    ".ljust(1000000)",
    ".center(9999999)",
    ".zfill(1000000)",
    ".split('')",
    ".split('a')",
    ".split()",
    ".strip('ab')",
    ".replace('a', 'aaaaaaaaaaaaaaaa')",
    ".splitlines()",
    ".count(ns.x)",
    ".index(ns.y)",
    ".startswith(ns.x)",
    "[::-1]",
    "[-1]",
];
const BETWEEN: [&str; 12] =
    [" ~ ", " ~ ", " + ", " * ", " == ", " < ", " in ", " not in ", " is in ", " and ", ", ", " is sameas "];

/// Snippets for templates that others wrote.
const WORDS: [&str; 10] = [
    "{{ ",
    " }}",
    "{% for i in range(99999) %}",
    "{% endfor %}",
    "{% set x = ",
    " %}",
    "|tojson",
    " ~ ",
    "messages",
    " * 99999",
];

fn expression(random: &mut Random) -> String {
    let mut expression = random.choose(&VALUES).to_owned();
    for _ in 0..random.below(4) {
        expression = match random.below(5) {
            0 => format!("({expression}{}{})", random.choose(&BETWEEN), random.choose(&VALUES)),
            1 => format!("{}{}({expression})", random.choose(&VALUES), random.choose(&BETWEEN)),
            2 => format!("[{expression}, {expression}]"),
            _ => format!("({expression}){}", random.choose(&DOING)),
        };
    }
    expression
}

/// A template of a few statements, most of which compile.
fn program(random: &mut Random) -> Vec<u8> {
    let mut source = "{% set ns = namespace(x='aaaaaaaa', y=[1]) %}{% set x = 'b' %}".to_owned();
    for _ in 0..=random.below(6) {
        let expression = expression(random);
        let statement = match random.below(8) {
            0 => format!("{{% set ns.x = {expression} %}}"),
            1 => format!("{{% set ns.y = {expression} %}}"),
            2 => format!("{{% for i in range(99999) %}}{{% set ns.x = {expression} %}}{{% endfor %}}"),
            3 => format!("{{% for i in range(99999) %}}{{% if {expression} %}}a{{% endif %}}{{% endfor %}}"),
            4 => {
                format!("{{% for i in {expression} %}}{{% set ns.y = [ns.y, i] %}}{{{{ i }}}}{{% endfor %}}")
            }
            5 => format!(
                "{{% macro m(x, n) %}}{{{{ m({expression}, n - 1) if n > 0 else x == ns.y }}}}{{% endmacro %}}{{{{ m(1, 90) }}}}"
            ),
            6 => format!("{{% set x %}}{{{{ {expression} }}}}{{% endset %}}"),
            _ => format!("{{{{ {expression} }}}}"),
        };
        source.push_str(&statement);
    }
    source.into_bytes()
}

fn render(source: &[u8]) {
    let source = String::from_utf8_lossy(source);
    let Ok(template) = ChatTemplate::new(&source, &SpecialTokens::default(), UNIX_EPOCH) else { return };
    let messages = ["system", "user", "assistant", "user"]
        .map(|role| Message::new(role, "What is <think> 1+1? ".repeat(20)));
    let inputs = TemplateInputs::default();
    let _either = template.render(&messages, &inputs, GenerationPrompt::Add);
    let _either = template.render_marked(&messages, &inputs);
}

#[test]
fn templates() {
    let sources: Vec<Vec<u8>> =
        TEMPLATES.iter().map(|name| fixture(&format!("text/templates/{name}.jinja"))).collect();
    driver::run(
        "templates",
        1000,
        |random| {
            if random.below(3) == 0 {
                return program(random);
            }
            let [base, other] = [random.below(sources.len()), random.below(sources.len())];
            bytes(random, &sources[base], &sources[other], &WORDS)
        },
        render,
    );
}

#[test]
fn tokenizers() {
    let embedded: serde_json::Value =
        serde_json::from_slice(Tokenizer::embedded().files().next().unwrap().1).unwrap();
    let mut bases = vec![embedded];
    bases.extend(
        ["gpt2", "llama", "unigram", "added"]
            .map(|name| json_fixture(&format!("text/pairs/{name}/tokenizer.json"))),
    );
    let replace = |pattern: serde_json::Value, content: &str| value!({"type": "Replace", "pattern": pattern, "content": content});
    let values = [
        replace(value!({"String": ""}), "a"),
        replace(value!({"Regex": "x*"}), "a"),
        replace(value!({"Regex": "(?=a)"}), "aaaa"),
        replace(value!({"String": "a"}), "aaaaaaaaaaaaaaaa"),
        value!({"type": "Sequence", "normalizers": vec![replace(value!({"String": "a"}), "aaaa"); 3]}),
        value!({"type": "Sequence", "pretokenizers": vec![value!({"type": "ByteLevel", "add_prefix_space": true,
            "trim_offsets": true, "use_regex": false}); 6]}),
        value!({"type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAAAA"}),
        value!({"type": "Precompiled", "precompiled_charsmap": "/////wAAAAAA"}),
        value!({"type": "Prepend", "prepend": ""}),
        value!({"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated", "invert": false}),
        value!({"type": "Split", "pattern": {"Regex": "|a"}, "behavior": "MergedWithNext", "invert": true}),
        value!({"type": "FixedLength", "length": 0}),
        value!({"type": "Strip", "content": "a", "start": 4_000_000_000_u64, "stop": 4_000_000_000_u64}),
        value!({"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true}),
        value!({"type": "WordPiece", "unk_token": "[U]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 4_000_000_000_u64, "vocab": {"a": 0}}),
        value!({"strategy": {"Fixed": 1_000_000_000}, "direction": "Left", "pad_to_multiple_of": 0, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "a"}),
        value!({"direction": "Right", "max_length": 0, "strategy": "LongestFirst", "stride": 5}),
        value!({"id": 4_294_967_295_u64, "content": "aa", "single_word": false, "lstrip": true, "rstrip": true,
            "normalized": true, "special": false}),
        value!(["a", 4_294_967_295_u64]),
    ];
    let texts = ["", "a", "The quick <unk> \u{e9}\u{1f600}</s>", &"ab ".repeat(300), &"a".repeat(2000)]
        .map(str::to_owned);
    driver::run(
        "tokenizers",
        300,
        |random| {
            let base = &bases[random.below(bases.len())];
            let mutant = json(random, base, &values).to_string().into_bytes();
            if random.below(4) == 0 {
                bytes(random, &mutant, &mutant, &["\"type\":\"", "\\u0000", "[", "{"])
            } else {
                mutant
            }
        },
        |mutant| {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("tokenizer.json"), mutant).unwrap();
            let Ok(tokenizer) = Tokenizer::load(folder.path()) else { return };
            for text in &texts {
                let ids = tokenizer.encode(text).unwrap_or_default();
                let _text = tokenizer.decode(&ids, SpecialText::Keep);
                let _pair = tokenizer.encode_pair("1+1=", text);
            }
        },
    );
}

//! Damaged chat templates and tokenizers: an error or an answer, within bounded memory, and never the end of the process.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "mutants/driver.rs"]
mod driver;

use driver::{bytes, fixture, json, json_fixture};
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

/// What costs much in few characters.
const WORDS: [&str; 44] = [
    "{{ ",
    " }}",
    "{% set x = ",
    " %}",
    "{% for i in range(99999) %}",
    "{% endfor %}",
    "{% macro m(a) %}",
    "{% endmacro %}",
    "{{ m([a, a]) }}",
    "{% set ns = namespace(x='aaaaaaaa') %}",
    "{% set ns.x = ns.x ~ ns.x %}",
    "{% set ns.x = [ns.x, ns.x] %}",
    "ns.x",
    " ~ ",
    " == ",
    " in ",
    " * 1000000",
    " * 99",
    "['a' * 1000000] * 1000000",
    "([1] * 100000000)",
    "|tojson",
    "|tojson(indent=4)",
    "|string",
    "|join(', ')",
    "|list",
    "|sort",
    "|unique|list",
    "|upper",
    "|replace('', 'aaaaaaaa')",
    "|batch(1000000)",
    "|slice(1000000)",
    "|indent(1000000)",
    ".format(ns.x, ns.x)",
    ".join(messages)",
    ".ljust(1000000)",
    ".split('')",
    ".strip('ab')",
    ".replace('a', 'aaaaaaaaaaaaaaaa')",
    "|groupby('role')",
    "|map('upper')|list",
    " is in ",
    "{% for a in x recursive %}{{ loop([a, a]) }}{% endfor %}",
    "messages",
    "[::-1]",
];

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
            // Half of them are made of words alone.
            if random.below(2) == 0 {
                let words = (0..4 + random.below(30)).map(|_| random.choose(&WORDS).as_bytes());
                return words.collect::<Vec<_>>().concat();
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

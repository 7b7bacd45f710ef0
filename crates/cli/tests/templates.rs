//! Messages, tools and variables of the chat template, in the commands that render it; and what `sft` teaches of a turn.

mod common;

use common::{assert_code, qwen2, rows, rows_of, ruminate, told, with_input};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Output;

/// ChatML with a thought, the tools and a variable.
const CHATML: &str = "{% if tools is iterable and tools | length > 0 %}T{{ tools | tojson }}\n{% endif %}{% for m in messages %}\
<{{ m.role }}{% if m.name %} {{ m.name }}{% endif %}>{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}\
{{ m.content }}<end>\n{% endfor %}{% if add_generation_prompt %}<assistant>{% if enable_thinking is defined and not enable_thinking %}\
<think></think>{% endif %}{% endif %}";

/// The same without the thought, as DeepSeek-R1's distills: the prompt opens it, and what is answered loses it.
const R1: &str = "{% for m in messages %}<{{ m.role }}>{{ m.content.split('</think>')[-1] }}<end>\n{% endfor %}\
{% if add_generation_prompt %}<assistant><think>\n{% endif %}";

struct Place {
    folder: tempfile::TempDir,
    model: String,
}

impl Place {
    fn new(template: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let model = qwen2(folder.path(), 512, None);
        fs::write(Path::new(&model).join("chat_template.jinja"), template).expect("written");
        Self { folder, model }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn file(&self, name: &str, rows: &[Value]) -> String {
        fs::write(self.path(name), lines(rows)).expect("written");
        self.path(name)
    }

    fn generate(&self, flags: &[&str], rows: &[Value]) -> Output {
        let args = ["generate", "--model", &self.model, "--max-new-tokens", "1"];
        with_input(&[&args, flags].concat(), &lines(rows))
    }

    /// The prompts as texts: the tokenizer has a token a character, but for the tags.
    fn prompts(&self, flags: &[&str], rows: &[Value]) -> Vec<String> {
        let output = self.generate(flags, rows);
        assert_code(&output, 0);
        common::rows(&output.stdout).iter().map(|row| text(&row["prompt_ids"])).collect()
    }

    fn run(&self, command: &str, sets: &[&str]) -> Output {
        let model = format!("model={:?}", self.model);
        let out = self.path("out");
        let _ = fs::remove_dir_all(&out);
        let mut args = vec![command, "--out", &out];
        for set in [&model.as_str()].into_iter().chain(sets) {
            args.extend(["--set", set]);
        }
        ruminate(&args)
    }

    /// Tokens of one step on one row of `sft`.
    fn taught(&self, row: &Value) -> usize {
        let output = self.sft(row);
        assert_code(&output, 0);
        let metrics = rows_of(Path::new(&self.path("out/metrics.jsonl")));
        metrics[0]["num_tokens"].as_f64().expect("a number") as usize
    }

    fn sft(&self, row: &Value) -> Output {
        let train = format!("data.train={:?}", self.file("rows.jsonl", std::slice::from_ref(row)));
        self.run("sft", &[&train, "sft.max_steps=1", "sft.batch_size=1", "sft.row_length=256"])
    }
}

fn lines(rows: &[Value]) -> String {
    rows.iter().flat_map(|row| [row.to_string(), "\n".to_owned()]).collect()
}

/// The text of token ids of the embedded tokenizer.
fn text(ids: &Value) -> String {
    let tags = ["", "", "<think>", "</think>", "<answer>", "</answer>", "\n"];
    let token = |id: usize| match tags.get(id) {
        Some(tag) => (*tag).to_owned(),
        None => char::from(u8::try_from(id - tags.len()).expect("printable ASCII") + b' ').to_string(),
    };
    ids.as_array().expect("ids").iter().map(|id| token(id.as_u64().expect("an id") as usize)).collect()
}

/// Tokens of a text: one a character, a tag being one.
fn tokens(text: &str) -> usize {
    text.replace("<think>", "T").replace("</think>", "T").chars().count()
}

fn user(content: &str) -> Value {
    json!({"role": "user", "content": content})
}

#[test]
fn messages_tools_and_variables_reach_the_template_whole() {
    let place = Place::new(CHATML);
    let turns = json!([
        {"role": "user", "name": "Al", "content": "a"},
        {"role": "assistant", "content": "b", "reasoning_content": "hm"},
        user("c"),
    ]);
    let tools = json!([{"type": "function", "function": {"name": "f", "a": 1}}]);
    let head = "<user Al>a<end>\n<assistant><think>hm</think>b<end>\n<user>c<end>\n<assistant>";
    let off = json!({"enable_thinking": false});
    let rows = [
        json!({"prompt": turns}),
        json!({"prompt": turns, "tools": tools, "answer": "4"}),
        json!({"prompt": turns, "tools": tools.to_string(), "chat_template_kwargs": off}),
        json!({"question": turns, "chat_template_kwargs": {"enable_thinking": true}}),
    ];
    let with_tools =
        format!("T[{{\"type\": \"function\", \"function\": {{\"name\": \"f\", \"a\": 1}}}}]\n{head}");
    let closed = "<think></think>";
    assert_eq!(
        place.prompts(&[], &rows),
        [head.to_owned(), with_tools.clone(), format!("{with_tools}{closed}"), head.to_owned()]
    );
    assert_eq!(
        place.prompts(&["--template", "enable_thinking=false"], &rows),
        [
            format!("{head}{closed}"),
            format!("{with_tools}{closed}"),
            format!("{with_tools}{closed}"),
            head.to_owned()
        ],
        "a row's own go before the flag's"
    );
}

#[test]
fn what_would_change_nothing_is_refused() {
    let place = Place::new(CHATML);
    let turns = json!([user("a")]);
    for (flags, row, code, says) in [
        (&["--template", "thinking=1"][..], json!({"prompt": turns}), 2, "--template sets `thinking`"),
        (&["--template", "thinking"], json!({"prompt": turns}), 2, "expected KEY=VALUE"),
        (&["--template", "messages=1"], json!({"prompt": turns}), 2, "`messages`, which is none"),
        (
            &[],
            json!({"prompt": turns, "chat_template_kwargs": {"thinking": 1}}),
            3,
            "<stdin>:1: the row gives `thinking`",
        ),
        (&[], json!({"prompt": "a", "chat_template_kwargs": {"enable_thinking": true}}), 3, "put without it"),
        (&[], json!({"prompt": "a", "tools": [{}]}), 3, "`tools` is for the chat template"),
        (&["--template", "enable_thinking=true"], json!({"prompt": "a"}), 3, "put without it"),
        (&[], json!({"prompt": turns, "tools": "f"}), 3, "`tools` to be a list of objects"),
        (
            &[],
            json!({"prompt": turns, "temperature": 0.5}),
            3,
            "`temperature`, which is the flag --temperature",
        ),
        (&[], json!({"prompt": turns, "system": "Be brief."}), 3, "`system` beside it, which is not read"),
        (&[], json!({"messages": turns}), 3, "`messages`; name them `prompt`"),
        (&[], json!({"prompt": [{"from": "human", "value": "a"}]}), 3, "`prompt[0]` to be a message"),
        (&[], json!({"prompt": [{"role": "user", "content": 1}]}), 3, "`prompt[0].content` to be a text"),
    ] {
        let output = place.generate(flags, std::slice::from_ref(&row));
        assert_code(&output, code);
        assert!(told(&output).contains(says), "{row}: {}", told(&output));
    }
}

#[test]
fn a_template_s_error_names_its_file_and_line() {
    let place = Place::new("a\n{{ messages[0].content + 1 }}\n");
    let output = place.generate(&[], &[json!({"prompt": [user("a")]})]);
    assert_code(&output, 3);
    let file = "chat_template.jinja: the chat template fails on these messages: line 2: ";
    assert!(told(&output).contains(file), "{}", told(&output));
    fs::write(Path::new(&place.model).join("chat_template.jinja"), "a\n\n{% for %}").expect("written");
    let output = place.generate(&[], &[json!({"prompt": [user("a")]})]);
    assert_code(&output, 3);
    let file = "chat_template.jinja: the chat template does not parse: line 3: ";
    assert!(told(&output).contains(file), "{}", told(&output));
}

#[test]
fn recipes_give_the_template_its_variables_in_training_and_in_evaluation() {
    let place = Place::new(CHATML);
    let tasks: Vec<Value> = (0..20)
        .map(|i| json!({"prompt": [user(&format!("{i}+1="))], "answer": i + 1, "tools": [{"a": i}]}))
        .collect();
    let train = format!("data.train={:?}", place.file("tasks.jsonl", &tasks));
    let sets = [
        train.as_str(),
        "data.template.enable_thinking=false",
        "max_steps=1",
        "grpo.prompts_per_step=2",
        "grpo.num_generations=2",
        "rollout.max_new_tokens=4",
        "eval.n=2",
        "eval.num_samples=1",
        "eval.completions_steps=1",
        "lora.r=2",
    ];
    let output = place.run("train-rl", &sets);
    assert_code(&output, 0);
    let completions = rows_of(Path::new(&place.path("out/completions/step-000001.jsonl")));
    let prompt = completions[0]["prompt"].as_str().expect("a text");
    assert!(prompt.starts_with("T[{\"a\": ") && prompt.ends_with("<assistant><think></think>"), "{prompt}");

    let unread = [train.as_str(), "data.template.thinking=false", "eval.n=2"];
    for command in ["train-rl", "eval"] {
        let output = place.run(command, &unread);
        assert_code(&output, 2);
        assert!(told(&output).contains("[data.template] sets `thinking`"), "{}", told(&output));
    }
}

#[test]
fn sft_teaches_all_that_the_assistant_says() {
    let place = Place::new(CHATML);
    let chat = |reply: Value| json!({"messages": [user("2+2?"), reply]});
    let head = "<user>2+2?<end>\n<assistant>";
    // The tokenizer's end is not what this template writes.
    let end = 1;
    let whole = tokens(head) + tokens("<think>two</think>4<end>") + end;
    let with_key = chat(json!({"role": "assistant", "content": "4", "reasoning_content": "two"}));
    assert_eq!(place.taught(&with_key), whole);
    let with_tags = chat(json!({"role": "assistant", "content": "<think>two</think>4"}));
    assert_eq!(place.taught(&with_tags), whole);
    let pair = json!({"prompt": [user("2+2?")], "completion": "<think>two</think>4"});
    assert_eq!(place.taught(&pair), whole);
    let switched = json!({"messages": [user("2+2?"), {"role": "assistant", "content": "4"}], "chat_template_kwargs": {"enable_thinking": true}});
    assert_eq!(place.taught(&switched), tokens(head) + tokens("4<end>") + end);

    let weighted = json!({"messages": [
        user("2+2?"), {"role": "assistant", "content": "wrong", "weight": 0}, user("no"), {"role": "assistant", "content": "4", "weight": 1},
    ]});
    let before = "<user>2+2?<end>\n<assistant>wrong<end>\n<user>no<end>\n<assistant>";
    assert_eq!(place.taught(&weighted), tokens(before) + tokens("4<end>") + end);
}

#[test]
fn sft_teaches_the_thought_of_a_template_that_opens_it_and_cuts_it() {
    let place = Place::new(R1);
    let chat = |content: &str| json!({"messages": [user("2+2?"), {"role": "assistant", "content": content}]});
    let prompt = tokens("<user>2+2?<end>\n<assistant><think>\n");
    let end = 1;
    assert_eq!(
        place.taught(&chat("<think>\ntwo\n</think>\n\n4")),
        prompt + tokens("two\n</think>\n\n4<end>") + end
    );
    assert_eq!(place.taught(&chat("4")), prompt + tokens("\n</think>\n\n4<end>") + end);
}

#[test]
fn sft_refuses_a_row_whose_words_would_not_be_taught() {
    let silent = Place::new(
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}",
    );
    for (reply, says) in [
        (json!({"role": "assistant", "content": "4", "reasoning_content": "two"}), "its thought"),
        (
            json!({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "sum"}}]}),
            "its tool calls",
        ),
    ] {
        let output = silent.sft(&json!({"messages": [user("2+2?"), reply]}));
        assert_code(&output, 3);
        let told = told(&output);
        assert!(told.contains("rows.jsonl:1: `messages[1]`") && told.contains(says), "{told}");
        assert!(told.contains("{% generation %}") && told.contains("`prompt` and `completion`"), "{told}");
    }
    for (row, says) in [
        (
            json!({"messages": [user("a"), {"role": "assistant", "content": "b", "weight": 0.5}]}),
            "`weight` to be 0 or 1",
        ),
        (
            json!({"messages": [user("a"), {"role": "assistant", "content": "b", "weight": 0}]}),
            "a `weight` above 0",
        ),
        (
            json!({"messages": [user("a"), {"role": "assistant", "content": "b"}], "tools": [{"a": 1}]}),
            "the row gives `tools`",
        ),
        (json!({"prompt": "a", "completion": "b", "tools": [{"a": 1}]}), "`tools` is for the chat template"),
        (json!({"messages": []}), "`messages` to be a list of messages, not empty"),
        (json!({"messages": [user("a")]}), "at least one message of the role `assistant`"),
    ] {
        let output = silent.sft(&row);
        assert_code(&output, 3);
        assert!(told(&output).contains(says), "{row}: {}", told(&output));
    }
}

#[test]
fn an_unknown_command_of_a_chat_is_no_message() {
    let place = Place::new(CHATML);
    let args = ["generate", "--chat", "--model", &place.model, "--max-new-tokens", "2"];
    let output = with_input(&args, "hi\n/help\n");
    assert_code(&output, 3);
    assert!(
        told(&output).contains("<stdin>:2: \"/help\" is no command; expected /clear or /exit"),
        "{}",
        told(&output)
    );
    assert_code(&with_input(&args, "/usr/bin\n /help\n"), 0);
    let output = with_input(&[&args[..], &["--template", "thinking=1"]].concat(), "hi\n");
    assert_code(&output, 2);
    assert!(rows(&output.stdout).is_empty());
}

#[test]
fn marks_make_one_sample_of_a_conversation_unless_they_leave_out_what_is_said() {
    let marked = Place::new(
        "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}{% generation %}{% if loop.last %}{{ m.content }}{% else %}\
         {{ m.content.split('</think>')[-1] }}{% endif %}<end>{% endgeneration %}{% else %}{{ m.content }}<end>{% endif %}\n{% endfor %}\
         {% if add_generation_prompt %}<assistant>{% endif %}",
    );
    let chat = |first: &str| {
        json!({"messages": [
            user("1?"), {"role": "assistant", "content": first}, user("2?"), {"role": "assistant", "content": "<think>c</think>d"},
        ]})
    };
    for (first, samples) in [("b", 1), ("<think>a</think>b", 2)] {
        assert_code(&marked.sft(&chat(first)), 0);
        let text = fs::read_to_string(marked.path("out/complete.json")).expect("written");
        let complete: Value = serde_json::from_str(&text).expect("JSON");
        let found = complete["samples"].as_u64().or_else(|| complete["summary"]["samples"].as_u64());
        assert_eq!(found, Some(samples), "{first}: {text}");
    }
}

#[test]
fn rows_with_tools_take_the_template_of_that_name() {
    let place = Place::new(CHATML);
    let folder = Path::new(&place.model).join("additional_chat_templates");
    fs::create_dir(&folder).expect("made");
    fs::write(folder.join("tool_use.jinja"), "with {{ tools | length }} tools").expect("written");
    let turns = json!([user("a")]);
    let rows = [json!({"prompt": turns}), json!({"prompt": turns, "tools": [{"a": 1}]})];
    assert_eq!(place.prompts(&[], &rows), ["<user>a<end>\n<assistant>", "with 1 tools"]);
}

//! What a policy is taught of a turn, in templates that cut or move what the assistant says.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use ruminate_data::{Message, messages};
use ruminate_text::{ChatTemplate, Error, SpecialTokens, TemplateInputs, Turn};
use serde_json::{Value, json};
use std::time::UNIX_EPOCH;

fn compile(source: &str) -> ChatTemplate {
    let special =
        SpecialTokens { bos: Some("<|bos|>".into()), eos: Some("<|eos|>".into()), ..Default::default() };
    ChatTemplate::new(source, &special, UNIX_EPOCH).unwrap()
}

fn published(name: &str) -> ChatTemplate {
    let path = ruminate_testkit::fixture_path("text/published").join(name);
    compile(&std::fs::read_to_string(path).unwrap())
}

fn turn(template: &ChatTemplate, chat: Value, inputs: &TemplateInputs) -> Result<(String, String), Error> {
    let chat: Vec<Message> = messages("messages", chat).unwrap();
    template.turn(&chat, inputs).map(|Turn { prompt, completion }| (prompt, completion))
}

fn taught(template: &ChatTemplate, reply: Value) -> (String, String) {
    let chat = json!([{"role": "user", "content": "2+2?"}, reply]);
    turn(template, chat, &TemplateInputs::default()).unwrap()
}

fn pair(prompt: &str, completion: &str) -> (String, String) {
    (prompt.to_owned(), completion.to_owned())
}

#[test]
fn the_template_of_r1_s_distills_teaches_the_thought_behind_the_tag_that_its_prompt_opens() {
    let r1 = published("trl/deepseek_r1_distill.jinja");
    let prompt = "<|bos|><｜User｜>2+2?<｜Assistant｜><think>\n";
    let end = "<｜end▁of▁sentence｜>";
    for (reply, completion) in [
        (json!({"role": "assistant", "content": "<think>\ntwo\n</think>\n\n4"}), "two\n</think>\n\n4"),
        (json!({"role": "assistant", "content": "<think>two</think>4"}), "two</think>4"),
        (json!({"role": "assistant", "reasoning_content": "two", "content": "4"}), "two\n</think>\n\n4"),
        (json!({"role": "assistant", "content": "4"}), "\n</think>\n\n4"),
    ] {
        assert_eq!(taught(&r1, reply), pair(prompt, &format!("{completion}{end}")));
    }
}

#[test]
fn a_template_that_cuts_the_thought_teaches_it_nevertheless() {
    let cuts = compile(
        "{% for m in messages %}{% if m.role == 'user' %}U:{{ m.content }}A:{% else %}{{ m.content.split('</think>')[-1] }}\
         <end>\n{% endif %}{% endfor %}",
    );
    let reply = json!({"role": "assistant", "content": "<think>a thought</think>four"});
    assert_eq!(taught(&cuts, reply), pair("U:2+2?A:", "<think>a thought</think>four<end>"));
    assert_eq!(taught(&cuts, json!({"role": "assistant", "content": "four"})), pair("U:2+2?A:", "four<end>"));
}

#[test]
fn qwen3_writes_the_thought_itself_and_closes_it_in_the_prompt_where_it_is_switched_off() {
    let qwen3 = published("trl/qwen3.jinja");
    let head = "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n";
    let written = "<think>\ntwo\n</think>\n\n4<|im_end|>";
    for reply in [
        json!({"role": "assistant", "content": "<think>\ntwo\n</think>\n\n4"}),
        json!({"role": "assistant", "reasoning_content": "two", "content": "4"}),
    ] {
        assert_eq!(taught(&qwen3, reply), pair(head, written));
    }
    let off = TemplateInputs {
        kwargs: json!({"enable_thinking": false}).as_object().unwrap().clone(),
        ..TemplateInputs::default()
    };
    let chat = |content: &str| json!([{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": content}]);
    let closed = format!("{head}<think>\n\n</think>\n\n");
    assert_eq!(turn(&qwen3, chat("4"), &off).unwrap(), pair(&closed, "4<|im_end|>"));
    let refused = turn(&qwen3, chat("<think>two</think>4"), &off).unwrap_err();
    assert!(matches!(&refused, Error::TurnCut { what } if what.contains("enable_thinking")), "{refused}");
}

#[test]
fn what_cannot_be_written_is_refused_with_the_way_out() {
    let plain = compile(
        "{% for m in messages %}{{ m.role }}:{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}",
    );
    let silent = compile(
        "{% for m in messages %}{{ m.role }}:{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}",
    );
    let other = compile(
        "{% for m in messages %}{{ m.role }}{{ messages | length }}:{{ m.content | replace('t', 'T') }}{% endfor %}{% if add_generation_prompt %}assistant2:{% endif %}",
    );
    let call = json!({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "sum", "arguments": {}}}]});
    for (template, reply, what) in [
        (
            &plain,
            json!({"role": "assistant", "reasoning_content": "two", "content": "4"}),
            "reasoning_content",
        ),
        (&plain, call, "tool calls"),
        (&silent, json!({"role": "assistant", "content": "four"}), "content"),
        (&other, json!({"role": "assistant", "content": "two"}), "the turns before"),
    ] {
        let chat = json!([{"role": "user", "content": "2+2?"}, reply]);
        let refused = turn(template, chat, &TemplateInputs::default()).unwrap_err();
        assert!(matches!(&refused, Error::TurnCut { what: told } if told.contains(what)), "{refused}");
        assert!(refused.to_string().contains("{% generation %}"), "{refused}");
    }
}

#[test]
fn marks_that_leave_words_out_are_noticed() {
    let chat = messages(
        "messages",
        json!([
            {"role": "user", "content": "2+2?"},
            {"role": "assistant", "content": "<think>\n\ntwo</think>4"},
            {"role": "user", "content": "3+3?"},
            {"role": "assistant", "content": "6", "tool_calls": [{"function": {"name": "sum"}}]},
        ]),
    )
    .unwrap();
    for (assistant, kept) in [
        ("<think> two </think>\n\n4<end>6 sum<end>", true),
        ("4<end>6 sum<end>", false),
        ("<think>two</think>4<end>6<end>", false),
        ("6 sum<end><think>two</think>4<end>", false),
    ] {
        assert_eq!(ChatTemplate::keeps(&chat, assistant), kept, "{assistant}");
    }
}

//! `generate --chat` through a pipe: answers alone on standard output, history, and what leaves.

mod common;

use common::{assert_code, fixture, qwen2, ruminate, told, with_input};
use serde_json::json;

fn chat(model: &str, more: &[&str], input: &str) -> (String, String) {
    let args = [&["generate", "--chat", "--model", model, "--max-new-tokens", "12"], more].concat();
    let output = with_input(&args, input);
    assert_code(&output, 0);
    (String::from_utf8(output.stdout.clone()).expect("UTF-8"), told(&output))
}

#[test]
fn a_conversation_answers_line_by_line_remembers_and_forgets() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = qwen2(folder.path(), 2048, Some("qwen2_5.jinja"));
    let (one, _) = chat(&model, &["--temperature", "0"], "1+1=\n");
    assert!(!one.contains('\x1b') && !one.starts_with("> "), "no colour and no prompt in a pipe: {one:?}");
    // Greedy: the same question in the same place has the same answer.
    let (cleared, _) = chat(&model, &["--temperature", "0"], "1+1=\n/clear\n\n1+1=\n/exit\n2+2=\n");
    assert_eq!(
        cleared,
        one.repeat(2),
        "a cleared conversation starts anew, a blank line asks nothing, and /exit leaves"
    );
    let (sampled, _) = chat(&model, &["--seed", "5"], "1+1=\nagain\n");
    assert_eq!(
        chat(&model, &["--seed", "5"], "1+1=\nagain\n").0,
        sampled,
        "a seed's conversation is repeatable"
    );
}

#[test]
fn a_conversation_that_outgrows_the_model_forgets_its_oldest_turns() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = qwen2(folder.path(), 256, Some("qwen2_5.jinja"));
    let question = "x".repeat(40);
    let (_, story) = chat(&model, &[], &format!("{question}\n{question}\n{question}\n"));
    assert!(story.contains("256 positions: its oldest turn is forgotten"), "{story}");
    let long = with_input(&["generate", "--chat", "--model", &model], &format!("hi\n{}\n", "x".repeat(300)));
    assert_code(&long, 3);
    assert!(told(&long).contains("<stdin>:2: ") && told(&long).contains("256 positions"), "{}", told(&long));
}

#[test]
fn a_model_without_a_template_takes_each_line_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = qwen2(folder.path(), 64, None);
    let (one, story) = chat(&model, &["--temperature", "0"], "1+1=\n");
    assert!(story.contains("no chat template"), "{story}");
    assert_eq!(chat(&model, &["--temperature", "0"], "1+1=\n1+1=\n").0, one.repeat(2));
    let unknown = with_input(&["generate", "--chat", "--model", &model], "\u{e9}\n");
    assert_code(&unknown, 3);
    assert!(told(&unknown).contains("<stdin>:1: character"), "{}", told(&unknown));
}

#[test]
fn a_chat_needs_a_tokenizer_and_takes_no_files() {
    let bare = fixture("qwen2");
    let bare = bare.to_str().expect("UTF-8");
    assert_code(&ruminate(&["generate", "--chat", "--model", bare]), 3);
    assert_code(&ruminate(&["generate", "--chat", "--model", bare, "--input", "x.jsonl"]), 2);
}

#[test]
fn messages_are_put_in_the_template_with_its_generation_prompt_and_text_stays_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = qwen2(folder.path(), 512, Some("qwen2_5.jinja"));
    let chat =
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1+1=<|im_end|>\n<|im_start|>assistant\n";
    let messages =
        json!([{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "1+1=" }]);
    let input = format!("{}\n{}\n", json!({ "prompt": messages }), json!({ "prompt": chat }));
    let output =
        with_input(&["generate", "--model", &model, "--max-new-tokens", "2", "--temperature", "0"], &input);
    assert_code(&output, 0);
    let rows = common::rows(&output.stdout);
    assert_eq!(rows[0]["prompt_ids"], rows[1]["prompt_ids"]);
    assert_eq!(
        rows[0]["prompt_ids"].as_array().map(Vec::len),
        Some(chat.chars().count()),
        "a token a character"
    );
    assert!(rows[0]["text"].is_string());
    let scored = with_input(
        &["score", "--model", &model],
        &format!("{}\n", json!({ "prompt": chat, "completion": "2" })),
    );
    assert_code(&scored, 0);
    let row = &common::rows(&scored.stdout)[0];
    assert_eq!(row["logprobs"].as_array().map(Vec::len), Some(1));
    let difference = row["sum"].as_f64().expect("a sum") - row["logprobs"][0].as_f64().expect("a logarithm");
    assert!(difference.abs() < 1e-6, "{row}");
}

/// What a terminal shows of a conversation in which these lines are typed, each once the program waits for it.
#[cfg(target_os = "linux")]
fn by_hand(model: &str, lines: &[&str]) -> String {
    use std::io::{Read, Write};
    /// What a terminal is told when a line begins: that pasted text shall be marked.
    const WAITS: &str = "\x1b[?2004h";
    let terminal = nix::pty::openpty(None, None).expect("a terminal");
    let (mut screen, end) = (std::fs::File::from(terminal.master), std::fs::File::from(terminal.slave));
    let args = ["generate", "--chat", "--model", model, "--max-new-tokens", "12", "--temperature", "0"];
    let same = || end.try_clone().expect("another descriptor");
    let mut command = common::command(&args);
    let mut child = command
        .env("TERM", "xterm")
        .stdin(same())
        .stdout(same())
        .stderr(same())
        .spawn()
        .expect("the binary starts");
    drop((command, end));
    let (mut shown, mut lines, mut piece) = (String::new(), lines.iter(), [0; 1024]);
    let mut typed = 0;
    // Once the program has ended, reading fails.
    while let Ok(length @ 1..) = screen.read(&mut piece) {
        shown += &String::from_utf8_lossy(&piece[..length]);
        if shown.matches(WAITS).count() > typed
            && let Some(line) = lines.next()
        {
            screen.write_all(line.as_bytes()).expect("typed");
            typed += 1;
        }
    }
    assert!(child.wait().expect("it ends").success(), "{shown:?}");
    shown
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_terminal_lines_are_edited_and_earlier_ones_come_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = qwen2(folder.path(), 2048, Some("qwen2_5.jinja"));
    let (answer, _) = chat(&model, &["--temperature", "0"], "1+1=\n");
    // A wrong letter is taken back; two lines up is the question.
    let shown = by_hand(&model, &["1+1!\x7f=\r", "/clear\r", "\x1b[A\x1b[A\r", "\x04"]);
    assert!(!answer.trim().is_empty());
    assert_eq!(shown.matches(answer.trim()).count(), 2, "{shown:?} has {answer:?} twice");
}

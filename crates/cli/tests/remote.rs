//! A teacher that is a server: one on this machine that speaks OpenAI's chat protocol, now and then badly. What it has
//! answered is kept, its key is written nowhere.
#![cfg(feature = "remote")]

mod common;

use common::{assert_code, command, rows_of, told};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex};

const KEY: &str = "sk-nobody-may-see-this";

/// A request as it came.
#[derive(Clone)]
struct Asked {
    path: String,
    key: String,
    body: Value,
}

/// Status, further headers, body.
type Said = (u16, String, String);

struct Server {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Serves until the test's process ends. `answer` gets the number of the request, and the request.
    fn serve(answer: impl Fn(usize, &Asked) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&asked), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                // A client that goes away is its own business.
                std::thread::spawn(move || stream.and_then(|stream| exchange(stream, &log, &*answer)));
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().expect("not poisoned"))
    }
}

fn exchange(
    mut stream: TcpStream,
    log: &Mutex<Vec<Asked>>,
    answer: &(dyn Fn(usize, &Asked) -> Said + Send + Sync),
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut length, mut key) = (0, String::new());
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').expect("a header");
        match name.to_lowercase().as_str() {
            "content-length" => length = value.trim().parse().expect("a number"),
            "authorization" => value.trim().clone_into(&mut key),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let asked = Asked { path, key, body: serde_json::from_slice(&body).expect("JSON") };
    let number = {
        let mut log = log.lock().expect("not poisoned");
        log.push(asked.clone());
        log.len()
    };
    let (status, headers, body) = answer(number, &asked);
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}Connection: \
         close\r\n\r\n{body}"
    )
}

/// The sum that a request asks for.
fn sum(asked: &Asked) -> i64 {
    let prompt = asked.body["messages"][0]["content"].as_str().expect("a text");
    prompt.trim_end_matches('=').split('+').map(|term| term.parse::<i64>().expect("a number")).sum()
}

fn said(choices: &[Value]) -> Said {
    (200, String::new(), json!({ "choices": choices }).to_string())
}

fn choice(text: &str) -> Value {
    json!({ "message": { "role": "assistant", "content": text }, "finish_reason": "stop" })
}

/// As many choices as were asked for, all right but the last, each another one.
fn right(asked: &Asked) -> Said {
    let (sum, n) = (sum(asked), asked.body["n"].as_u64().expect("a number"));
    let text =
        |i| if i + 1 == n { "no idea".to_owned() } else { format!("so{} {sum}", " so".repeat(i as usize)) };
    said(&(0..n).map(|i| choice(&text(i))).collect::<Vec<_>>())
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a folder") };
        let task = |a: u32, b: u32| {
            json!({ "prompt": format!("{a}+{b}="), "answer": (a + b).to_string() }).to_string()
        };
        let tasks: Vec<String> = (1..=6).map(|a| task(a, 2)).collect();
        fs::write(place.file("train.jsonl"), tasks.join("\n")).expect("written");
        fs::write(place.file("eval.jsonl"), task(9, 9)).expect("written");
        let recipe = format!(
            r#"
            [data]
            train = "{}"
            eval = "{}"
            [reward]
            verifier = "last_number"
            format = 0
            [rollout]
            max_new_tokens = 24
            temperature = 0.6
            top_p = 0.95
            [eval]
            n = 1
            num_samples = 1
            empty_thought = false
            [distill]
            prompts = 6
            num_samples = 3
            required_rewards = []
            remote_model = "deepseek-r1"
            remote_key_env = "TEACHERS_KEY"
            remote_concurrency = 2
            remote_backoff_ms = 1
            remote_timeout_ms = 20000
            remote_max_retries = 3
            [sft]
            max_steps = 2
            batch_size = 4
            row_length = 64
            "#,
            place.file("train.jsonl").display(),
            place.file("eval.jsonl").display()
        );
        fs::write(place.file("recipe.toml"), recipe).expect("written");
        place
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn distill(&self, server: &Server, more: &[&str]) -> Output {
        let teacher = format!("distill.teacher={}", server.url);
        let mut process = command(&["distill"]);
        process.arg(self.file("recipe.toml")).arg("--out").arg(self.file("run")).env("TEACHERS_KEY", KEY);
        process.args(["--set", &teacher]).args(more).output().expect("the binary starts")
    }

    fn traces(&self) -> Vec<Value> {
        rows_of(&self.file("run/traces.jsonl"))
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("readable").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_servers_right_answers_become_traces_and_its_key_stays_unseen() {
    let place = Place::new();
    // Busy, broken, and speaking nonsense first; then well.
    let server = Server::serve(|number, asked| match number {
        1 => (429, "Retry-After: 0\r\n".to_owned(), String::new()),
        2 => (503, String::new(), "<html>".to_owned()),
        3 => (200, String::new(), "{\"choices\": ".to_owned()),
        _ => right(asked),
    });
    let output = place.distill(&server, &[]);
    assert_code(&output, 0);
    let asked = server.asked();
    assert_eq!(asked.len(), 6 + 3);
    for Asked { path, key, body } in &asked {
        assert_eq!((path.as_str(), key.as_str()), ("/v1/chat/completions", format!("Bearer {KEY}").as_str()));
        assert_eq!((&body["model"], &body["max_tokens"]), (&json!("deepseek-r1"), &json!(24)));
        assert_eq!(
            (&body["temperature"], &body["top_p"], &body["n"]),
            (&json!(0.6), &json!(0.95), &json!(3))
        );
        assert!(body["seed"].is_u64());
    }
    let traces = place.traces();
    assert_eq!(traces.len(), 12, "two of three are right");
    let expected = format!("so so {}", traces[1]["answer"].as_str().expect("a text"));
    assert_eq!(traces[1]["messages"][1]["content"], expected.as_str());
    assert!(
        traces[0]["teacher"].as_str().is_some_and(|teacher| teacher.starts_with("deepseek-r1 at http://"))
    );
    assert_eq!(rows_of(&place.file("run/remote.jsonl")).len(), 18);
    for path in files(&place.file("run")) {
        let text = String::from_utf8_lossy(&fs::read(&path).expect("readable")).into_owned();
        assert!(!text.contains(KEY), "{}", path.display());
    }
    assert!(!told(&output).contains(KEY));
    // Completed: told again, nothing is asked.
    assert_code(&place.distill(&server, &[]), 0);
    assert!(server.asked().is_empty());
}

#[test]
fn what_was_answered_is_not_asked_again() {
    let place = Place::new();
    // A server that gives one choice whatever is asked for, and fails for good after seven.
    let weak = Server::serve(|number, asked| match number {
        1..=7 => said(&[choice(&format!("{number} says {}", sum(asked)))]),
        _ => (500, String::new(), format!("no more for {}", asked.key)),
    });
    let output = place.distill(&weak, &[]);
    assert_code(&output, 6);
    let message = told(&output);
    assert!(message.contains("status 500") && message.contains("--resume auto"), "{message}");
    assert!(!message.contains(KEY), "{message}");
    let kept = rows_of(&place.file("run/remote.jsonl"));
    assert_eq!(kept.len(), 7);

    let server = Server::serve(|_, asked| right(asked));
    assert_code(&place.distill(&server, &["--resume", "auto"]), 0);
    let open: u64 = server.asked().iter().map(|asked| asked.body["n"].as_u64().expect("a number")).sum();
    assert_eq!(open, 18 - 7);
    let rows = rows_of(&place.file("run/remote.jsonl"));
    assert_eq!((&rows[..7], rows.len()), (kept.as_slice(), 18));
}

#[test]
fn a_students_thought_is_what_the_server_told_apart() {
    let place = Place::new();
    let server = Server::serve(|_, asked| {
        let sum = sum(asked);
        let message = json!({ "reasoning_content": "I add.", "content": format!("{sum}") });
        let cut = json!({ "message": { "content": format!("{sum}") }, "finish_reason": "length" });
        said(&[json!({ "message": message, "finish_reason": "stop" }), cut, choice("\u{3c0}")])
    });
    let student = "distill.student={ model_type = 'llama', hidden_size = 8, num_hidden_layers = 1, num_attention_heads = 2, \
                   intermediate_size = 8, max_position_embeddings = 96 }";
    let output = place.distill(&server, &["--set", student]);
    assert_code(&output, 0);
    let traces = place.traces();
    assert_eq!(traces.len(), 6, "what was cut off, and what the student has no letters for, is left out");
    let expected = format!("<think>\nI add.\n</think>\n\n{}", traces[0]["answer"].as_str().expect("a text"));
    assert_eq!(traces[0]["messages"][1]["content"], expected.as_str());
    assert!(told(&output).contains("6 cut off, 6 unscored"), "{}", told(&output));
    assert!(place.file("run/final/model.safetensors").is_file());
}

#[test]
fn a_request_that_cannot_be_right_is_not_made_again() {
    let place = Place::new();
    let server = Server::serve(|_, asked| (401, String::new(), format!("wrong key {}", asked.key)));
    let output = place.distill(&server, &["--set", "distill.remote_concurrency=1"]);
    assert_code(&output, 6);
    assert_eq!(server.asked().len(), 1);
    assert!(told(&output).contains("status 401: wrong key Bearer ***"), "{}", told(&output));
    let unset = place.distill(&server, &["--set", "distill.remote_key_env=NO_SUCH_KEY"]);
    assert_code(&unset, 2);
    assert!(told(&unset).contains("NO_SUCH_KEY"), "{}", told(&unset));
    assert!(server.asked().is_empty(), "nothing is asked without it");
}

//! A server as a reward, against a server of a few lines.

use ruminate_data::{Outcome, Prompt, Task, Verdict};
use ruminate_reward::{Error, HttpOptions, HttpReward, Response, Verifier};
use serde_json::{Map, Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

/// What the server does with one request.
#[derive(Clone, Copy)]
enum Act {
    Answer(u16, &'static str),
    Hang,
    CutOff,
}

/// A server that does these things in order, then closes; its URL, and the bodies that it has read.
fn serve(acts: Vec<Act>) -> (String, Arc<Mutex<Vec<Value>>>) {
    let (url, bodies, _) = serve_keys(acts);
    (url, bodies)
}

/// What was read of the requests, in their order.
type Seen<T> = Arc<Mutex<Vec<T>>>;

/// The same with the keys that were sent.
fn serve_keys(acts: Vec<Act>) -> (String, Seen<Value>, Seen<Option<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/score", listener.local_addr().expect("its address"));
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let keys = Arc::new(Mutex::new(Vec::new()));
    let (seen, seen_keys) = (Arc::clone(&bodies), Arc::clone(&keys));
    thread::spawn(move || {
        for act in acts {
            let (stream, _) = listener.accept().expect("a connection");
            let (body, key) = read_request(&stream);
            seen.lock().expect("no panic").push(body);
            seen_keys.lock().expect("no panic").push(key);
            respond(stream, act);
        }
    });
    (url, bodies, keys)
}

/// The body of a request and its header `Authorization`.
fn read_request(stream: &TcpStream) -> (Value, Option<String>) {
    let mut reader = BufReader::new(stream);
    let (mut length, mut key) = (0, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header");
        if line.to_lowercase().starts_with("authorization:") {
            key = line.split_once(':').map(|(_, value)| value.trim().to_owned());
        }
        let line = line.trim().to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    (serde_json::from_slice(&body).expect("JSON"), key)
}

fn respond(mut stream: TcpStream, act: Act) {
    match act {
        Act::Hang => sleep(Duration::from_secs(2)),
        Act::CutOff => write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{{\"sco").expect("sent"),
        Act::Answer(status, body) => write!(
            stream,
            "HTTP/1.1 {status} Status\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("sent"),
    }
}

fn judge(url: String, options: HttpOptions) -> Verdict {
    let reward =
        HttpReward::new("mine", HttpOptions { url, backoff_ms: 1, ..options }).expect("valid options");
    let task = Task { prompt: Prompt::Text("7+5=".into()), answer: "12".into(), columns: Map::new() };
    reward.verify(&task, &Response::finished("<answer>12</answer>"))
}

#[test]
fn a_completion_is_posted_and_its_verdict_taken() {
    let (url, bodies) = serve(vec![Act::Answer(200, r#"{"score": 1, "extracted": "12", "why": "equal"}"#)]);
    let verdict = judge(url, HttpOptions::default());
    assert_eq!((verdict.outcome, verdict.score), (Outcome::Correct, 1.0), "{}", verdict.why);
    assert_eq!((verdict.extracted.as_deref(), verdict.why.as_str()), (Some("12"), "equal"));
    assert_eq!(
        bodies.lock().expect("no panic")[..],
        [json!({"id": 0, "task": {"prompt": "7+5=", "answer": "12"}, "prompt": "",
                "completion": "<answer>12</answer>", "finish_reason": "stop"})]
    );
}

#[test]
fn a_busy_or_failing_server_is_asked_again_with_the_same_id() {
    let good = Act::Answer(200, r#"{"verdict": "wrong"}"#);
    let (url, bodies) = serve(vec![Act::Answer(429, ""), Act::Answer(503, "later"), Act::CutOff, good]);
    let verdict = judge(url, HttpOptions::default());
    assert_eq!(verdict.outcome, Outcome::Wrong, "{}", verdict.why);
    let bodies = bodies.lock().expect("no panic");
    assert_eq!(bodies.len(), 4);
    assert!(bodies.iter().all(|body| body == &bodies[0]));
}

#[test]
fn retries_end() {
    let (url, bodies) = serve(vec![Act::Answer(500, ""); 5]);
    let verdict = judge(url, HttpOptions { max_retries: 2, ..HttpOptions::default() });
    assert_eq!(verdict.outcome, Outcome::Unscored);
    assert!(verdict.why.contains("500") && verdict.why.contains("try 3"), "{}", verdict.why);
    assert_eq!(bodies.lock().expect("no panic").len(), 3);
}

#[test]
fn what_is_no_answer_is_unscored_without_another_try() {
    for (act, why) in [
        (Act::Answer(200, "PASS"), "PASS"),
        (Act::Answer(200, ""), "JSON"),
        (Act::Answer(404, "{\"score\": 1}"), "404"),
        (Act::Answer(302, "{\"score\": 1}"), "302"),
    ] {
        let (url, bodies) = serve(vec![act, Act::Answer(200, r#"{"score": 1}"#)]);
        let verdict = judge(url, HttpOptions::default());
        assert_eq!(verdict.outcome, Outcome::Unscored);
        assert!(verdict.why.contains(why), "{why}: {}", verdict.why);
        assert_eq!(bodies.lock().expect("no panic").len(), 1);
    }
}

#[test]
fn a_server_that_hangs_costs_its_time_once() {
    let (url, _) = serve(vec![Act::Hang, Act::Hang]);
    let started = Instant::now();
    let verdict = judge(url, HttpOptions { timeout_ms: 200, ..HttpOptions::default() });
    assert_eq!(verdict.outcome, Outcome::Unscored, "{}", verdict.why);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[test]
fn no_server_is_unscored() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("its address"));
    drop(listener);
    let verdict = judge(url, HttpOptions { max_retries: 1, ..HttpOptions::default() });
    assert_eq!(verdict.outcome, Outcome::Unscored);
    assert!(verdict.why.contains("try 2"), "{}", verdict.why);
}

#[test]
fn a_url_that_cannot_be_asked_is_refused() {
    for url in ["", "localhost:80", "ftp://host/", "http://"] {
        let refused = HttpReward::new("mine", HttpOptions { url: url.into(), ..HttpOptions::default() });
        assert!(matches!(refused, Err(Error::Option { key: "url", .. })), "{url}");
    }
}

/// A variable that cargo sets for tests, with a value of visible ASCII. The tests cannot set one of their own.
const KEY_ENV: &str = "CARGO_PKG_NAME";

fn with_key() -> HttpOptions {
    HttpOptions { key_env: Some(KEY_ENV.to_owned()), ..HttpOptions::default() }
}

#[test]
fn a_key_of_the_environment_goes_along_and_comes_back_nowhere() {
    let key = std::env::var(KEY_ENV).expect("cargo sets it");
    let echo = Box::leak(
        format!(r#"{{"score": 1, "why": "{key} is known", "extracted": "{key}"}}"#).into_boxed_str(),
    );
    let (url, _, keys) = serve_keys(vec![Act::Answer(200, echo), Act::Answer(200, r#"{"score": 1}"#)]);
    let verdict = judge(url.clone(), with_key());
    assert_eq!(verdict.outcome, Outcome::Correct, "{}", verdict.why);
    assert_eq!((verdict.why.as_str(), verdict.extracted.as_deref()), ("*** is known", Some("***")));
    judge(url, HttpOptions::default());
    assert_eq!(keys.lock().expect("no panic")[..], [Some(format!("Bearer {key}")), None]);
    let reward = HttpReward::new("mine", HttpOptions { url: "http://localhost/".into(), ..with_key() });
    assert!(!format!("{:?}", reward.expect("valid")).contains(&format!("{key:?}")));
}

#[test]
fn a_key_that_would_travel_unencrypted_or_is_not_there_is_refused() {
    let refused = |url: &str, key_env: &str| {
        let options =
            HttpOptions { url: url.into(), key_env: Some(key_env.into()), ..HttpOptions::default() };
        HttpReward::new("mine", options).expect_err(url).to_string()
    };
    let message = refused("http://judge.example.org/score", KEY_ENV);
    assert!(message.contains("`url`") && message.contains("expected https"), "{message}");
    let message = refused("http://127.0.0.1/score", "RUMINATE_NO_SUCH_KEY");
    assert!(message.contains("`key_env`") && message.contains("RUMINATE_NO_SUCH_KEY"), "{message}");
}

#[test]
fn what_may_be_secret_in_an_address_is_shown_nowhere() {
    for url in
        ["http://user:S3CRET@localhost/score", "http://localhost/score?api_key=S3CRET", "S3CRET@localhost"]
    {
        let options = HttpOptions { url: url.into(), ..HttpOptions::default() };
        let message = HttpReward::new("mine", options).expect_err(url).to_string();
        assert!(!message.contains("S3CRET"), "{message}");
    }
    let (url, _) = serve(vec![Act::Answer(404, "")]);
    let verdict = judge(url.clone() + "?version=S3CRET", HttpOptions::default());
    assert_eq!(verdict.outcome, Outcome::Unscored);
    assert!(
        verdict.why.starts_with(&(url + "?*** (try 1): ")) && !verdict.why.contains("S3CRET"),
        "{}",
        verdict.why
    );
}

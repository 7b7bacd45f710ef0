//! One server's HTTP: a request under a deadline, an answer of bounded size, and what an answer that is none means. It does
//! not know what bodies say.

use crate::Setup;
use serde_json::Value;
use std::time::Duration;
use ureq::Agent;

/// Bytes of an answer that are read; more is none.
pub(crate) const MAX_ANSWER: u64 = 64 << 20;

/// vLLM closes an idle connection after 5 s; one that is taken from the pool must be younger than that.
const MAX_IDLE: Duration = Duration::from_secs(2);

/// The longest pause that a busy server may ask for.
const MAX_PAUSE: Duration = Duration::from_mins(1);

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Failure {
    /// Nothing listens there, the connection broke, or the server says that it is dead (503).
    Unreachable(String),
    /// The deadline passed.
    Late,
    /// It has too much to do (429), and may have said for how long.
    Busy(Option<Duration>),
    /// It failed (5xx), or what it sent is no answer.
    Broken(String),
    /// What was named is not there (404).
    Missing(String),
    /// It will not do it (4xx).
    Refused(u16, String),
}

impl Failure {
    /// For people.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Unreachable(why) | Self::Broken(why) => why.clone(),
            Self::Late => "no answer before the deadline".to_owned(),
            Self::Busy(_) => "too busy (status 429)".to_owned(),
            Self::Missing(said) => format!("status 404: {said}"),
            Self::Refused(status, said) => format!("status {status}: {said}"),
        }
    }
}

/// A server's address with what goes along.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    url: String,
    key: Option<Secret>,
    admin_key: Option<Secret>,
}

/// A key that no message shows.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Of a key of visible ASCII; anything else is no value of a header.
    pub fn new(key: &str) -> Option<Self> {
        let key = key.trim();
        (!key.is_empty() && key.chars().all(|c| c.is_ascii_graphic())).then(|| Self(key.to_owned()))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Whose key a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// What any client may do.
    Use,
    /// What changes the server.
    Admin,
}

impl Client {
    pub(crate) fn new(url: &str, setup: &Setup) -> Self {
        Self::with(url, setup.config.max_requests, setup.key.clone(), setup.admin_key.clone())
    }

    pub(crate) fn with(url: &str, requests: usize, key: Option<Secret>, admin_key: Option<Secret>) -> Self {
        let connections = requests.saturating_add(8);
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // A POST that is sent elsewhere would become a GET, and take the key along.
            .max_redirects(0)
            // What is trained on hangs on the recipe, not on the environment.
            .proxy(None)
            .timeout_connect(Some(Duration::from_secs(10)))
            .max_idle_age(MAX_IDLE)
            .max_idle_connections(connections)
            .max_idle_connections_per_host(connections)
            .build()
            .new_agent();
        let url = url.trim_end_matches('/').to_owned();
        Self { agent, url, key, admin_key }
    }

    /// A GET.
    pub(crate) fn get(&self, path: &str, deadline: Duration) -> Result<Vec<u8>, Failure> {
        let mut request = self.agent.get(format!("{}{path}", self.url));
        if let Some(Secret(key)) = self.key_of(Right::Use) {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        self.read(request.config().timeout_global(Some(deadline)).build().call())
    }

    /// A POST with a body of JSON; of `Null`, without one.
    pub(crate) fn post(
        &self,
        path: &str,
        body: &Value,
        right: Right,
        deadline: Duration,
    ) -> Result<Vec<u8>, Failure> {
        let mut request = self.agent.post(format!("{}{path}", self.url)).content_type("application/json");
        if let Some(Secret(key)) = self.key_of(right) {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let request = request.config().timeout_global(Some(deadline)).build();
        self.read(if body.is_null() { request.send_empty() } else { request.send(body.to_string()) })
    }

    fn key_of(&self, right: Right) -> Option<&Secret> {
        match right {
            Right::Admin => self.admin_key.as_ref().or(self.key.as_ref()),
            Right::Use => self.key.as_ref(),
        }
    }

    fn read(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Vec<u8>, Failure> {
        let mut answer = answer.map_err(|error| self.failure(error))?;
        let status = answer.status().as_u16();
        let pause = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let pause = pause.map(|seconds: u64| Duration::from_secs(seconds).min(MAX_PAUSE));
        let body = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        if status == 200 {
            return body.map_err(|error| self.failure(error));
        }
        let said = self.without_keys(&said(&body.unwrap_or_default()));
        Err(match status {
            404 => Failure::Missing(said),
            429 => Failure::Busy(pause),
            503 => Failure::Unreachable(format!("status 503: {said}")),
            408 => Failure::Late,
            400..=499 => Failure::Refused(status, said),
            _ => Failure::Broken(format!("status {status}: {said}")),
        })
    }

    fn failure(&self, error: ureq::Error) -> Failure {
        match error {
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                Failure::Unreachable("no connection within 10 s".to_owned())
            }
            ureq::Error::Timeout(_) => Failure::Late,
            ureq::Error::BodyExceedsLimit(limit) => {
                Failure::Broken(format!("an answer of more than {limit} bytes"))
            }
            ureq::Error::Io(_) | ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => {
                Failure::Unreachable(self.without_keys(&error.to_string()))
            }
            other => Failure::Broken(self.without_keys(&other.to_string())),
        }
    }

    /// A text without the keys, which a server may repeat in it.
    fn without_keys(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for Secret(key) in self.key.iter().chain(&self.admin_key) {
            text = text.replace(key.as_str(), "***");
        }
        text
    }
}

/// What a server says of a failure, in one short line.
fn said(body: &[u8]) -> String {
    let message = serde_json::from_slice::<Value>(body).ok().and_then(|value| {
        let error = value.get("error").unwrap_or(&value);
        error.get("message").or(Some(error)).and_then(Value::as_str).map(str::to_owned)
    });
    let text = message.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::{Secret, said};

    #[test]
    fn what_a_server_says_is_one_short_line() {
        assert_eq!(said(br#"{"error": {"message": "Token id 9 is\nout"}}"#), "Token id 9 is out");
        assert_eq!(said(br#"{"message": "no"}"#), "no");
        assert_eq!(said(b"<html>\n\xff"), "<html> \u{fffd}");
        assert_eq!(said(&[b'a'; 1000]).len(), 300);
    }

    #[test]
    fn a_key_is_visible_ascii_and_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::new(" sk-1 ")), "Some(***)");
        for key in ["", " ", "a b", "ä"] {
            assert!(Secret::new(key).is_none(), "{key:?}");
        }
    }
}

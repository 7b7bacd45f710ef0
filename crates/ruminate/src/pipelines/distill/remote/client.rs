//! The client: a POST with the key, where the recipe names one, and a reading of its status.

use super::{Ask, Reply};
use crate::error::Refusal;
use crate::recipe::Recipe;
use anyhow::Result;
use std::time::Duration;
use ureq::Agent;

/// Bytes of an answer that are read; more is none.
const MAX_ANSWER: u64 = 64 << 20;

/// The longest pause that a server may ask for.
const MAX_PAUSE: Duration = Duration::from_mins(1);

/// An agent with the server's address and key.
pub(super) struct Client {
    agent: Agent,
    url: String,
    key: Option<String>,
}

impl Client {
    /// # Errors
    /// With exit code 2 when the variable of the key is not set.
    pub(super) fn new(recipe: &Recipe, url: &str) -> Result<Self> {
        let distill = &recipe.distill;
        let key = match &distill.remote_key_env {
            None => None,
            Some(name) => {
                let key = std::env::var(name).ok().map(|key| key.trim().to_owned());
                let key = key.filter(|key| !key.is_empty() && key.chars().all(|c| c.is_ascii_graphic()));
                Some(key.ok_or_else(|| {
                    Refusal::usage(format!(
                        "`distill.remote_key_env` is {name}, and the environment has no key in a variable of that name"
                    ))
                })?)
            }
        };
        let mut config = Agent::config_builder()
            .timeout_global(Some(Duration::from_millis(distill.remote_timeout_ms)))
            .http_status_as_error(false)
            // A POST that is sent elsewhere would become a GET, and take the key along.
            .max_redirects(0);
        if key.is_some() && !url.starts_with("https://") {
            // Unencrypted, a key stays on this machine: a proxy of the environment would be sent it.
            config = config.proxy(None);
        }
        let agent = config.build().new_agent();
        Ok(Self { agent, url: format!("{url}/chat/completions"), key })
    }

    /// A message without the key, which a server may have repeated in it.
    fn without_key(&self, message: String) -> String {
        match &self.key {
            Some(key) => message.replace(key.as_str(), "***"),
            None => message,
        }
    }
}

impl Ask for Client {
    fn ask(&self, body: &str) -> Reply {
        let later =
            |error: ureq::Error| Reply::Later { why: self.without_key(error.to_string()), pause: None };
        let mut request = self.agent.post(&self.url).content_type("application/json");
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let mut answer = match request.send(body) {
            Ok(answer) => answer,
            Err(error @ (ureq::Error::BadUri(_) | ureq::Error::Http(_))) => {
                return Reply::Never(self.without_key(error.to_string()));
            }
            Err(error) => return later(error),
        };
        let status = answer.status().as_u16();
        let pause = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let pause = pause.map(|seconds: u64| Duration::from_secs(seconds).min(MAX_PAUSE));
        let body = answer.body_mut().with_config().limit(MAX_ANSWER).lossy_utf8(true).read_to_string();
        match (status, body) {
            (200, Ok(body)) => Reply::Body(body),
            (200, Err(error)) => later(error),
            (_, body) => {
                let said: String = body.unwrap_or_default().chars().take(300).collect();
                let why = self.without_key(format!("status {status}: {}", said.trim()));
                let passing = status == 408 || status == 429 || status >= 500;
                if passing { Reply::Later { why, pause } } else { Reply::Never(why) }
            }
        }
    }
}

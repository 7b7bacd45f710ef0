//! A reward that is a server of the user's: a POST for each completion. It is not trusted to answer, or to answer
//! sense.

use crate::Error;
use crate::external::address::{Bearer, check_address, shown_address};
use crate::external::protocol::{self, MAX_ANSWER};
use crate::verifier::{Response, Verifier};
use ruminate_data::{Task, Verdict};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;
use ureq::Agent;

/// Which server is asked, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpOptions {
    /// Where to post; `https` needs this crate's feature of that name. No user, no password and no key may stand in it.
    pub url: String,
    /// The environment variable with a key, which is sent as `Authorization: Bearer KEY`. The key itself is written
    /// nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_env: Option<String>,
    /// The time for one answer, in milliseconds, connection included.
    pub timeout_ms: u64,
    /// How often a request is made again when the connection fails, or the server is busy (429) or fails (5xx).
    pub max_retries: u32,
    /// The pause before the first retry, in milliseconds; it doubles with each.
    pub backoff_ms: u64,
}

impl Default for HttpOptions {
    /// 30 s an answer, 3 retries after 0.25, 0.5 and 1 s.
    fn default() -> Self {
        Self { url: String::new(), key_env: None, timeout_ms: 30_000, max_retries: 3, backoff_ms: 250 }
    }
}

/// The verdict of a server: it gets and gives what a [`CommandReward`](crate::CommandReward) does, as the body of a
/// POST and of its answer, with status 200. Any other end of the retries is unscored. A retry has the `id` of the
/// first try.
#[derive(Debug)]
pub struct HttpReward {
    name: String,
    options: HttpOptions,
    agent: Agent,
    key: Option<Key>,
    next_id: AtomicU64,
}

/// A secret.
struct Key(String);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why a try has no answer.
struct Refusal {
    why: String,
    /// Whether another try may help.
    passing: bool,
}

impl HttpReward {
    /// The reward under the name with which it is reported. No connection is made yet.
    ///
    /// # Errors
    /// [`Error::Option`] when the URL is none that can be asked or has a secret in it, a key would leave this machine
    /// unencrypted or is not in the environment, or there is no time.
    pub fn new(name: impl Into<String>, options: HttpOptions) -> Result<Self, Error> {
        let schemes: &[&str] = if cfg!(feature = "https") { &["http://", "https://"] } else { &["http://"] };
        let is_url = schemes
            .iter()
            .any(|scheme| options.url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
        if !is_url {
            let reason = format!(
                "expected a URL that begins with {}, found {:?}",
                schemes.join(" or "),
                shown_address(&options.url)
            );
            return Err(Error::Option { kind: "http", key: "url", reason });
        }
        let bearer = if options.key_env.is_some() { Bearer::Key } else { Bearer::None };
        check_address(&options.url, bearer, "key_env").map_err(|reason| Error::Option {
            kind: "http",
            key: "url",
            reason,
        })?;
        let key = options.key_env.as_deref().map(Key::of).transpose()?;
        if options.timeout_ms == 0 {
            let reason = "expected a whole number from 1, found 0".to_owned();
            return Err(Error::Option { kind: "http", key: "timeout_ms", reason });
        }
        let agent = Agent::config_builder()
            .timeout_global(Some(Duration::from_millis(options.timeout_ms)))
            .http_status_as_error(false)
            // A POST that is sent elsewhere would become a GET.
            .max_redirects(0)
            // What is trained on hangs on the recipe, not on the environment.
            .proxy(None)
            .build()
            .new_agent();
        Ok(Self { name: name.into(), options, agent, key, next_id: AtomicU64::new(0) })
    }

    fn judge(&self, task: &Task, response: &Response<'_>) -> Result<Verdict, String> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let request = protocol::request(id, task, response)?;
        let mut pause = Duration::from_millis(self.options.backoff_ms);
        let mut tries = 0;
        loop {
            tries += 1;
            match self.post(&request) {
                Ok(body) => return protocol::answer(&body, id),
                Err(refusal) if refusal.passing && tries <= self.options.max_retries => {
                    sleep(pause);
                    pause *= 2;
                }
                Err(refusal) => {
                    let url = shown_address(&self.options.url);
                    return Err(format!("{url} (try {tries}): {}", refusal.why));
                }
            }
        }
    }

    fn post(&self, request: &str) -> Result<String, Refusal> {
        let failed = |error: ureq::Error| {
            // A server that took all the time once would take it again.
            let passing = matches!(
                error,
                ureq::Error::Io(_) | ureq::Error::ConnectionFailed | ureq::Error::HostNotFound
            );
            // It may quote the address.
            let why = error.to_string().replace(&self.options.url, &shown_address(&self.options.url));
            Refusal { why, passing }
        };
        let mut post = self.agent.post(&self.options.url).content_type("application/json");
        if let Some(Key(key)) = &self.key {
            post = post.header("Authorization", format!("Bearer {key}"));
        }
        let mut answer = post.send(request).map_err(failed)?;
        let status = answer.status().as_u16();
        if status != 200 {
            let passing = status == 429 || status >= 500;
            return Err(Refusal { why: format!("expected status 200, found {status}"), passing });
        }
        let body = answer.body_mut().with_config().limit(MAX_ANSWER as u64).lossy_utf8(true).read_to_string();
        body.map(|body| self.without_key(body)).map_err(failed)
    }

    /// A text without the key, which a server may repeat in it.
    fn without_key(&self, text: String) -> String {
        match &self.key {
            Some(Key(key)) => text.replace(key.as_str(), "***"),
            None => text,
        }
    }
}

impl Key {
    /// The key in the environment variable of that name.
    fn of(name: &str) -> Result<Self, Error> {
        let key = std::env::var(name).unwrap_or_default().trim().to_owned();
        // Anything else is no value of a header.
        if !key.is_empty() && key.chars().all(|c| c.is_ascii_graphic()) {
            return Ok(Self(key));
        }
        let reason =
            format!("expected a key in the environment variable {name:?}, found none of visible ASCII");
        Err(Error::Option { kind: "http", key: "key_env", reason })
    }
}

impl Verifier for HttpReward {
    fn name(&self) -> &str {
        &self.name
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        self.judge(task, response).unwrap_or_else(Verdict::unscored)
    }
}

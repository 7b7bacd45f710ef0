//! A reward that is a server of the user's: a POST for each completion. It is not trusted to answer, or to answer
//! sense.

use crate::Error;
use crate::exchange::{self, MAX_ANSWER};
use crate::verifier::{Response, Verifier, unscored};
use ruminate_data::{Task, Verdict};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;
use ureq::Agent;

/// Which server is asked, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpOptions {
    /// Where to post; `https` needs this crate's feature of that name.
    pub url: String,
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
        Self { url: String::new(), timeout_ms: 30_000, max_retries: 3, backoff_ms: 250 }
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
    next_id: AtomicU64,
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
    /// [`Error::Option`] when the URL is none that can be asked, or there is no time.
    pub fn new(name: impl Into<String>, options: HttpOptions) -> Result<Self, Error> {
        let schemes: &[&str] = if cfg!(feature = "https") { &["http://", "https://"] } else { &["http://"] };
        let is_url = schemes
            .iter()
            .any(|scheme| options.url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
        if !is_url {
            let reason =
                format!("expected a URL that begins with {}, found {:?}", schemes.join(" or "), options.url);
            return Err(Error::Option { kind: "http", key: "url", reason });
        }
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
        Ok(Self { name: name.into(), options, agent, next_id: AtomicU64::new(0) })
    }

    fn judge(&self, task: &Task, response: &Response<'_>) -> Result<Verdict, String> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let request = exchange::request(id, task, response)?;
        let mut pause = Duration::from_millis(self.options.backoff_ms);
        let mut tries = 0;
        loop {
            tries += 1;
            match self.post(&request) {
                Ok(body) => return exchange::answer(&body, id),
                Err(refusal) if refusal.passing && tries <= self.options.max_retries => {
                    sleep(pause);
                    pause *= 2;
                }
                Err(refusal) => return Err(format!("{} (try {tries}): {}", self.options.url, refusal.why)),
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
            Refusal { why: error.to_string(), passing }
        };
        let sent = self.agent.post(&self.options.url).content_type("application/json").send(request);
        let mut answer = sent.map_err(failed)?;
        let status = answer.status().as_u16();
        if status != 200 {
            let passing = status == 429 || status >= 500;
            return Err(Refusal { why: format!("expected status 200, found {status}"), passing });
        }
        answer
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER as u64)
            .lossy_utf8(true)
            .read_to_string()
            .map_err(failed)
    }
}

impl Verifier for HttpReward {
    fn name(&self) -> &str {
        &self.name
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        self.judge(task, response).unwrap_or_else(unscored)
    }
}

//! Asking until there is an answer that makes sense: a server that is busy, late or talks nonsense is asked again, after pauses
//! that double.

use crate::interrupt;
use crate::recipe::Distill;
use ruminate_data::Seed;
use std::time::Duration;

/// What a server gave to one request.
#[cfg_attr(not(feature = "remote"), allow(dead_code, reason = "no server is asked without the feature"))]
pub(super) enum Reply {
    /// The body of an answer with status 200.
    Body(String),
    /// None, and why. After a pause there may be one.
    Later { why: String, pause: Option<Duration> },
    /// None, and asking again will not help.
    Never(String),
}

/// Posts a request's body to the server.
pub(super) trait Ask: Sync {
    fn ask(&self, body: &str) -> Reply;
}

/// Why there is no answer, and how often it was asked for again.
#[derive(Debug, PartialEq)]
pub(super) struct GaveUp {
    pub(super) why: String,
    pub(super) retries: usize,
}

/// What `read` makes of the first answer that it can read. The jitter of pauses is from `seed`.
///
/// # Errors
/// The last reason, after `remote_max_retries`, or after an answer that says that asking again will not help.
pub(super) fn ask<T>(
    client: &dyn Ask,
    body: &str,
    read: impl Fn(&str) -> Result<T, String>,
    distill: &Distill,
    seed: Seed,
) -> Result<T, GaveUp> {
    let mut backoff = Duration::from_millis(distill.remote_backoff_ms);
    let mut retries = 0;
    loop {
        let (why, pause) = match client.ask(body) {
            Reply::Body(body) => match read(&body) {
                Ok(answer) => return Ok(answer),
                Err(why) => (why, None),
            },
            Reply::Later { why, pause } => (why, pause),
            Reply::Never(why) => return Err(GaveUp { why, retries }),
        };
        if retries == distill.remote_max_retries {
            return Err(GaveUp { why, retries });
        }
        // Up to half as long again, so that not all come back at once.
        let jitter = (seed.index(retries as u64).value() >> 11) as f64 / (1_u64 << 54) as f64;
        wait(pause.unwrap_or(backoff).mul_f64(1.0 + jitter));
        backoff *= 2;
        retries += 1;
    }
}

/// Sleeps, unless the run is to stop.
fn wait(pause: Duration) {
    const STEP: Duration = Duration::from_millis(100);
    let mut left = pause;
    while !left.is_zero() && !interrupt::requested() {
        let now = left.min(STEP);
        std::thread::sleep(now);
        left -= now;
    }
}

#[cfg(test)]
mod tests {
    use super::{Ask, GaveUp, Reply, ask};
    use crate::recipe::Distill;
    use ruminate_data::Seed;
    use std::sync::Mutex;
    use std::time::Duration;

    /// Says these things one after the other.
    struct Script(Mutex<Vec<Reply>>);

    impl Ask for Script {
        fn ask(&self, _: &str) -> Reply {
            self.0.lock().expect("not poisoned").remove(0)
        }
    }

    fn asked(replies: Vec<Reply>) -> (Result<u8, GaveUp>, usize) {
        let distill = Distill { remote_max_retries: 2, remote_backoff_ms: 0, ..Distill::default() };
        let script = Script(Mutex::new(replies));
        let read = |body: &str| body.parse().map_err(|_| "no number".to_owned());
        let answer = ask(&script, "", read, &distill, Seed::new(0));
        (answer, script.0.into_inner().expect("not poisoned").len())
    }

    fn body(text: &str) -> Reply {
        Reply::Body(text.to_owned())
    }

    fn later(why: &str) -> Reply {
        Reply::Later { why: why.to_owned(), pause: Some(Duration::ZERO) }
    }

    fn gave_up(why: &str, retries: usize) -> Result<u8, GaveUp> {
        Err(GaveUp { why: why.to_owned(), retries })
    }

    #[test]
    fn who_is_busy_or_makes_no_sense_is_asked_again() {
        assert_eq!(asked(vec![later("busy"), body("four"), body("4")]), (Ok(4), 0));
    }

    #[test]
    fn no_server_is_asked_for_ever() {
        let replies = vec![later("busy"), later("busy"), body("four"), body("4")];
        assert_eq!(asked(replies), (gave_up("no number", 2), 1));
    }

    #[test]
    fn what_no_second_question_helps_is_asked_once() {
        assert_eq!(
            asked(vec![Reply::Never("no such model".to_owned()), body("4")]),
            (gave_up("no such model", 0), 1)
        );
    }
}

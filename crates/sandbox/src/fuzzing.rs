//! What a fuzz target reaches of the inside; compiled for it alone.

use crate::job::{Ended, Failure};
use crate::order::Answer;
use crate::supervisor::{Outcome, written};

/// What a caller gets of the bytes that a jail has written, by way of the supervisor.
///
/// # Errors
/// No program was started, or the job did not run.
pub fn reply(received: &[u8], nonce: u64) -> Result<Ended, Failure> {
    let failed = |reason: String| Failure::Helper { helper: String::new(), reason };
    match written(received, nonce, None)? {
        Outcome::Ending(ending) => Ok(Ended { ending, stdout: String::new(), stderr: String::new() }),
        Outcome::Reply(reply) => match crate::read(&reply, nonce).map_err(failed)?? {
            Answer::Ended(ended) => Ok(ended),
            Answer::Layers(_) => Err(failed("it answered another question".to_owned())),
        },
    }
}

//! Why a fleet of servers gives no completions.

/// Everything that can go wrong in this crate.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// A server is not what the run needs: another model or tokenizer, too short, or other log-probabilities.
    #[error("the server {server} cannot serve this run: {message}")]
    Refused {
        /// Its address.
        server: String,
        /// What differs, both sides by name, and what to do.
        message: String,
    },
    /// What is asked for has another meaning on a server.
    #[error("{0}")]
    Sampling(String),
    /// No server was usable for too long.
    #[error(
        "no server was usable for {waited_s:.0} s (`fleet.patience_s`): {states}. Start a server (docs/servers.md) and go on \
         with --resume auto"
    )]
    NoServer {
        /// Seconds that were waited.
        waited_s: f64,
        /// Each server with the reason.
        states: String,
    },
    /// Every server that was reached computes other numbers than the trainer.
    #[error(
        "no server computes the trainer's numbers after a push of weights: {states}. docs/servers.md says what a failed canary \
         means (`fleet.max_canary_kl` is the limit)"
    )]
    Mismatch {
        /// Each server with its canary.
        states: String,
    },
    /// A server understood a request and refused it; asking again does not help.
    #[error("the server {server} refuses a request with status {status}: {message}")]
    Request {
        /// Its address.
        server: String,
        /// The status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// A teacher gives no log-probabilities.
    #[error("the teacher {server} did not answer ({message}), after {retries} retries")]
    Teacher {
        /// Its address.
        server: String,
        /// Why.
        message: String,
        /// How often it was asked again.
        retries: usize,
    },
    /// The addresses of the servers cannot be had.
    #[error("{0}")]
    Servers(String),
    /// The caller stopped the wait for servers.
    #[error("stopped while waiting for servers")]
    Stopped,
}

//! The recipe's table `[fleet]`: which servers sample, and how long they may take.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Servers that sample for a run, where `rollout.engine` is "vllm" or "sglang".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Addresses of the servers, without a path, like "http://10.0.0.2:8000".
    pub servers: Vec<String>,
    /// A file with one address per line, which is read again every 30 s: servers may join and leave a run. Relative
    /// to the current folder.
    pub servers_file: Option<PathBuf>,
    /// A folder that trainer and servers reach under the same path; each run gets a folder in it, and each version
    /// of the weights one in that. Relative to the current folder. Without it, `weights/` of the run folder.
    pub folder: Option<PathBuf>,
    /// The environment variable with the key of the servers' `--api-key`, sent as `Authorization: Bearer KEY`.
    pub key_env: Option<String>,
    /// The environment variable with the key of SGLang's `--admin-api-key`, sent with pushes of weights.
    pub admin_key_env: Option<String>,
    /// Seconds that the run waits for a server while none is usable; then it saves a checkpoint and ends.
    pub patience_s: f64,
    /// Least seconds that a completion may take. A longer deadline follows from the slowest completion seen.
    pub request_timeout_s: f64,
    /// Seconds that each call of a push, and the canary behind it, may take.
    pub push_timeout_s: f64,
    /// How often a completion is asked for again, after answers that cannot be used; then its group is unscored.
    pub max_retries: usize,
    /// Requests in flight at one server, from 1.
    pub max_requests: usize,
    /// Largest k3 estimate of KL between server and trainer, in nats per token, on the canary after a push. Without it,
    /// 1e-3 where `rollout.dtype` is "float32", else 2e-2.
    pub max_canary_kl: Option<f64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            servers_file: None,
            folder: None,
            key_env: None,
            admin_key_env: None,
            patience_s: 600.0,
            request_timeout_s: 600.0,
            push_timeout_s: 300.0,
            max_retries: 4,
            max_requests: 256,
            max_canary_kl: None,
        }
    }
}

/// A key of the table whose value cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`fleet.{key}` is {found}; expected {expected}")]
pub struct ConfigError {
    /// The key.
    pub key: &'static str,
    /// Its value.
    pub found: String,
    /// What would be right.
    pub expected: &'static str,
}

impl Config {
    /// Checks the ranges. That there are servers is checked where they are needed.
    ///
    /// # Errors
    /// Names the first key out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let error = |key, found: String, expected| Err(ConfigError { key, found, expected });
        for (key, seconds) in [
            ("patience_s", self.patience_s),
            ("request_timeout_s", self.request_timeout_s),
            ("push_timeout_s", self.push_timeout_s),
        ] {
            if !(seconds > 0.0 && seconds <= MOST_SECONDS) {
                return error(key, seconds.to_string(), "a number of seconds above 0 and at most 1e6");
            }
        }
        if self.max_requests == 0 {
            return error("max_requests", "0".to_owned(), "at least 1");
        }
        match self.max_canary_kl {
            Some(kl) if !(kl > 0.0 && kl.is_finite()) => {
                error("max_canary_kl", kl.to_string(), "a number above 0, in nats")
            }
            _ => Ok(()),
        }
    }

    /// Whether any server is named.
    pub fn names_servers(&self) -> bool {
        !self.servers.is_empty() || self.servers_file.is_some()
    }
}

/// Eleven days; a clock cannot add any number of seconds.
const MOST_SECONDS: f64 = 1e6;

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn a_value_out_of_range_is_refused_by_its_key() {
        let default = Config::default();
        assert_eq!(default.validate(), Ok(()));
        for (key, config) in [
            ("patience_s", Config { patience_s: f64::NAN, ..default.clone() }),
            ("request_timeout_s", Config { request_timeout_s: 0.0, ..default.clone() }),
            ("push_timeout_s", Config { push_timeout_s: 1e300, ..default.clone() }),
            ("max_requests", Config { max_requests: 0, ..default.clone() }),
            ("max_canary_kl", Config { max_canary_kl: Some(-1.0), ..default.clone() }),
        ] {
            assert_eq!(config.validate().expect_err(key).key, key);
        }
    }
}

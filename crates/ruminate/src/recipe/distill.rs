//! The table `[distill]`: teacher, student, and how the one learns from the other.

use super::Model;
use super::eval::from_one;
use crate::error::Refusal;
use anyhow::Result;
use ruminate_distill::Method;
use ruminate_reward::{Bearer, check_address};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Teacher, student, and how many traces are sampled.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Distill {
    /// The teacher: a model folder, or the base URL of a server (`http://host:port/v1`): for
    /// `method = "traces"` of one that speaks OpenAI's chat protocol, for `"on_policy"` of a vLLM or SGLang
    /// that scores given tokens (docs/servers.md). Without it the final policy of `train-rl`, which is run
    /// first where it is missing.
    pub(crate) teacher: Option<PathBuf>,
    /// The student. Without it `traces` ends with the traces.
    pub(crate) student: Option<Model>,
    /// Tokenizer of a student that is made from a table.
    pub(crate) tokenizer: StudentTokenizer,
    /// Steps of `[pretrain]` for a student that is made from a table, before it learns from the teacher; 0
    /// starts from random weights.
    pub(crate) pretrain_steps: usize,
    /// Problems for which the teacher is sampled, or with `on_policy` the student; from 1.
    pub(crate) prompts: usize,
    /// More evaluation sets, as JSONL files. A trace that shares 10 words in a row with a problem of theirs
    /// is left out, as with one of the recipe's own.
    pub(crate) decontaminate: Vec<PathBuf>,
    /// For a server as teacher: the name of its model, needed there.
    pub(crate) remote_model: Option<String>,
    /// For a server and `method = "on_policy"`: which words it understands.
    #[serde(skip_serializing_if = "RemoteEngine::is_vllm")]
    pub(crate) remote_engine: RemoteEngine,
    /// For a server: the environment variable that holds its key. The key is written nowhere, and goes over
    /// `http://` to this machine only. Without it no key is sent.
    pub(crate) remote_key_env: Option<String>,
    /// For a server: requests at the same time, from 1.
    pub(crate) remote_concurrency: usize,
    /// For a server: milliseconds that one answer may take.
    pub(crate) remote_timeout_ms: u64,
    /// For a server: further attempts when it is overloaded, fails, or does not answer in time; 0 makes none.
    pub(crate) remote_max_retries: usize,
    /// For a server: milliseconds before the first further attempt; the pause doubles with each.
    pub(crate) remote_backoff_ms: u64,
    /// How the student learns; samples a problem, and which of them are learned.
    #[serde(flatten)]
    pub(crate) learning: ruminate_distill::Config,
}

/// What a server that scores tokens is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RemoteEngine {
    /// A vLLM, by its `prompt_logprobs`.
    #[default]
    Vllm,
    /// An SGLang 0.5: written to its schema, never run.
    Sglang,
}

impl RemoteEngine {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    fn is_vllm(&self) -> bool {
        *self == Self::Vllm
    }
}

/// Whose tokenizer a new student gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StudentTokenizer {
    /// The embedded one: printable ASCII by character.
    #[default]
    Embedded,
    /// The teacher's; needs a teacher in a folder, and `pretrain_steps = 0`.
    Teacher,
}

impl Default for Distill {
    fn default() -> Self {
        Self {
            teacher: None,
            student: None,
            tokenizer: StudentTokenizer::Embedded,
            pretrain_steps: 0,
            prompts: 1000,
            decontaminate: Vec::new(),
            remote_model: None,
            remote_engine: RemoteEngine::Vllm,
            remote_key_env: None,
            remote_concurrency: 8,
            remote_timeout_ms: 300_000,
            remote_max_retries: 5,
            remote_backoff_ms: 500,
            learning: ruminate_distill::Config::default(),
        }
    }
}

impl Distill {
    pub(crate) fn validate(&self) -> Result<()> {
        from_one("prompts", self.prompts)?;
        from_one("remote_concurrency", self.remote_concurrency)?;
        self.learning.validate()?;
        let method = self.learning.method;
        if method == Method::Logits && self.remote_url().is_some() {
            return Err(Refusal::usage(
                "`distill.teacher` is a server, which says what it thinks of given tokens at best, not of all others: expected \
                 `method = \"traces\"` or `\"on_policy\"`, or a teacher's folder",
            ));
        }
        if let Some(url) = self.remote_url() {
            let bearer = if self.remote_key_env.is_some() { Bearer::Key } else { Bearer::None };
            check_address(url, bearer, "distill.remote_key_env")
                .map_err(|problem| Refusal::usage(format!("`distill.teacher`: {problem}")))?;
        }
        if self.remote_url().is_some() && self.remote_model.is_none() {
            return Err(Refusal::usage(
                "`distill.teacher` is a server: expected the name of its model in `remote_model`",
            ));
        }
        if self.tokenizer == StudentTokenizer::Teacher {
            if self.remote_url().is_some() {
                return Err(Refusal::usage(
                    "`distill.tokenizer` is \"teacher\", and a server gives none away: expected a student's folder, or \
                     \"embedded\"",
                ));
            }
            if self.pretrain_steps > 0 {
                return Err(Refusal::usage(
                    "`distill.pretrain_steps` pretrains with the embedded tokenizer: expected 0 with `tokenizer = \
                     \"teacher\"`",
                ));
            }
        }
        Ok(())
    }

    /// The base URL of the teacher, where it is a server.
    pub(crate) fn remote_url(&self) -> Option<&str> {
        let url = self.teacher.as_ref()?.to_str()?;
        (url.starts_with("http://") || url.starts_with("https://")).then(|| url.trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::Distill;

    #[test]
    fn what_contradicts_itself_is_refused_by_its_key() {
        for (toml, says) in [
            ("prompts = 0", "prompts"),
            ("beta = 2.0", "beta"),
            ("teacher = 'http://a:1/v1'", "remote_model"),
            ("teacher = 'http://a:1/v1'\nremote_model = 'm'\nmethod = 'logits'", "not of all others"),
            ("teacher = 'http://a:1/v1'\nremote_model = 'm'\ntokenizer = 'teacher'", "gives none away"),
            ("tokenizer = 'teacher'\npretrain_steps = 3", "pretrain_steps"),
            ("teacher = 'http://a:1/v1'\nremote_model = 'm'\nremote_concurrency = 0", "remote_concurrency"),
            ("teacher = 'http://a:1/v1'\nremote_model = 'm'\nremote_key_env = 'KEY'", "expected https"),
            ("teacher = 'http://me:secret@a:1/v1'\nremote_model = 'm'", "`distill.remote_key_env`"),
        ] {
            let distill: Distill = toml::from_str(toml).expect("well-formed");
            let message = format!("{:#}", distill.validate().expect_err(toml));
            assert!(message.contains(says) && !message.contains("secret"), "{toml}: {message}");
        }
        assert!(toml::from_str::<Distill>("methode = 'logits'").is_err());
        assert!(toml::from_str::<Distill>("method = 'logitz'").is_err());
    }

    #[test]
    fn a_url_is_a_server_and_a_path_is_none() {
        let remote = |teacher: &str| {
            let distill = Distill { teacher: Some(teacher.into()), ..Distill::default() };
            distill.remote_url().map(str::to_owned)
        };
        assert_eq!(remote("http://localhost:8000/v1/").as_deref(), Some("http://localhost:8000/v1"));
        assert_eq!(remote("https://api.example.org/v1").as_deref(), Some("https://api.example.org/v1"));
        assert_eq!(remote("runs/teacher/final"), None);
        assert_eq!(remote("httpd/model"), None);
    }
}

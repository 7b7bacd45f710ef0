//! A server as the teacher of on-policy distillation: it scores what the student writes.

use super::settings::{TEXTS, secret};
use super::{CANARY, interrupted};
use crate::error::Refusal;
use crate::recipe::{Distill, Recipe, RemoteEngine};
use anyhow::Result;
use ruminate_distill::Error;
use ruminate_distill::on_policy::Teacher;
use ruminate_fleet::{self as fleet, Canary, Kind, TeacherSetup};
use ruminate_reward::shown_address;
use ruminate_rollout as rollout;
use ruminate_text::Renderer;
use std::sync::Arc;
use std::time::Duration;

/// A teacher that has passed its checks.
#[derive(Debug)]
pub(crate) struct RemoteTeacher(fleet::Teacher);

/// Whether the recipe's keys go with a server that scores, as far as they say.
///
/// # Errors
/// With exit code 2, and the key.
pub(crate) fn check(recipe: &Recipe, url: &str) -> Result<()> {
    let temperature = recipe.rollout.temperature;
    if temperature != 1.0 {
        return Err(Refusal::usage(format!(
            "`rollout.temperature` is {temperature}, and `distill.teacher` is a server, which scores given tokens at \
             temperature 1 alone; expected 1, or a teacher in a folder"
        )));
    }
    if url.starts_with("https://") && !cfg!(feature = "remote") {
        return Err(Refusal::usage(
            "`distill.teacher` begins with https://, and this binary was built without the feature `remote`; build it with \
             `--features remote`",
        ));
    }
    Ok(())
}

impl RemoteTeacher {
    /// Asks the server of a recipe what it is; a student of `vocab_size` token ids learns from it, and has sequences of at most
    /// `max_tokens`.
    ///
    /// # Errors
    /// With exit code 2 for a server that cannot teach this student, and says why; 6 for one that does not answer.
    pub(crate) fn hello(
        recipe: &Recipe,
        url: &str,
        renderer: &Renderer,
        vocab_size: usize,
        max_tokens: usize,
    ) -> Result<Self> {
        let distill = &recipe.distill;
        let key = secret("distill.remote_key_env", distill.remote_key_env.as_deref())?;
        let encode = |text: &str| Some((text.to_owned(), renderer.tokenizer.encode(text).ok()?));
        let setup = TeacherSetup {
            // The chat protocol of the other methods lies below /v1, tokens do not.
            url: url.trim_end_matches('/').trim_end_matches("/v1").to_owned(),
            kind: kind(distill),
            model: distill.remote_model.clone(),
            key,
            max_tokens,
            tokenizer: TEXTS.iter().copied().filter_map(encode).collect(),
            canary: Canary::sequence(&renderer.tokenizer.encode(CANARY)?, vocab_size),
            timeout: Duration::from_millis(distill.remote_timeout_ms),
            max_retries: distill.remote_max_retries,
            backoff: Duration::from_millis(distill.remote_backoff_ms),
            concurrency: distill.remote_concurrency,
            interrupted: Arc::new(interrupted),
        };
        let teacher = fleet::Teacher::hello(setup).map_err(|error| match error {
            fleet::Error::Refused { message, .. } => Refusal::usage(format!(
                "the teacher {} cannot teach this student: {message}",
                shown_address(url)
            )),
            error => of_teacher(error).into(),
        })?;
        notice!(
            "  the teacher {} gives the canary's tokens {:.2} nats each (docs/servers.md)",
            shown_address(url),
            teacher.canary_logprob()
        );
        Ok(Self(teacher))
    }
}

impl Teacher for RemoteTeacher {
    fn positions(&self) -> usize {
        self.0.max_len().unwrap_or(usize::MAX)
    }

    fn score(&self, pairs: &[(&[u32], &[u32])], _: f64) -> Result<Vec<Vec<f32>>, Error> {
        let sequences: Vec<Vec<u32>> = pairs.iter().map(|(prompt, ids)| [*prompt, *ids].concat()).collect();
        let mut scores = self.0.score(&sequences).map_err(of_teacher)?;
        for (scores, (prompt, _)) in scores.iter_mut().zip(pairs) {
            scores.drain(..prompt.len() - 1); // a prompt is never empty, and its first token has no score
        }
        Ok(scores)
    }
}

fn kind(distill: &Distill) -> Kind {
    match distill.remote_engine {
        RemoteEngine::Vllm => Kind::Vllm,
        RemoteEngine::Sglang => Kind::Sglang,
    }
}

fn of_teacher(error: fleet::Error) -> Error {
    match error {
        fleet::Error::Stopped => rollout::Error::Stopped { finished: 0, requested: 0 }.into(),
        error => Error::Teacher(format!("{error}; start it again, and go on with --resume auto")),
    }
}

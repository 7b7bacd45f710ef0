//! A component of the reward, `[[reward.components]]`: a verifier or a group reward by its kind, with its
//! options.

use super::any_of::AnyOf;
use super::per_task::PerTask;
use crate::Error;
use ruminate_data::procedural::PER_TASK;
use ruminate_reward::{
    EXTERNAL_KINDS, GROUP_REWARDS, Named, Verifier, check_options, external, in_sandbox, with_options,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// A component of the reward.
///
/// Programs of the kind `code` run in a sandbox whose helper is this program: its `main` must begin with
/// [`helper_main`](ruminate_sandbox::helper_main).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// A verifier or group reward; docs/rewards.md lists them, and docs/cli.md has `code`, `command` and
    /// `http`.
    pub kind: String,
    /// Weight of the part in the sum; 0 only reports it.
    #[serde(default = "one")]
    pub weight: f64,
    /// Name under which the part is reported; needed where a kind occurs twice. Group rewards have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The options of the kind.
    #[serde(flatten)]
    pub options: Map<String, Value>,
}

/// A verifier with its weight.
pub(super) type Weighted = (Box<dyn Verifier>, f64);

fn one() -> f64 {
    1.0
}

impl Component {
    pub(super) fn is_shaping(&self) -> bool {
        GROUP_REWARDS.contains(&self.kind.as_str())
    }

    /// What running a policy's programs on this system means, or that it cannot be done here.
    pub(super) fn warning(&self) -> Result<String, Error> {
        let code = in_sandbox(&self.options, &helper()?)?;
        code.warning().map_err(Error::Sandbox)
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        if EXTERNAL_KINDS.contains(&self.kind.as_str()) || (self.kind == PER_TASK && self.options.is_empty())
        {
            return Ok(()); // refused with its options, where it is made
        }
        let kind = || self.kind.clone();
        check_options(&self.kind, self.options.keys().map(String::as_str))
            .map_err(|error| Error::Component { kind: kind(), error: Box::new(error) })?;
        match &self.name {
            Some(_) if self.is_shaping() => Err(Error::NamedGroupReward { kind: kind() }),
            _ => Ok(()),
        }
    }

    /// The verifier that it names.
    pub(super) fn verifier(&self) -> Result<Weighted, Error> {
        self.check()?;
        let verifier: Box<dyn Verifier> = if self.kind == PER_TASK {
            Box::new(PerTask::new()?)
        } else {
            match external(&self.kind, &self.options, &helper()?) {
                Some(verifier) => verifier?,
                None => with_options(&self.kind, &self.options)?,
            }
        };
        let verifier: Box<dyn Verifier> =
            if EXTERNAL_KINDS.contains(&self.kind.as_str()) { verifier } else { Box::new(AnyOf(verifier)) };
        let named = match &self.name {
            Some(name) => Box::new(Named::new(name, verifier)),
            None => verifier,
        };
        Ok((named, self.weight))
    }
}

/// The sandbox's helper: this program.
fn helper() -> Result<PathBuf, Error> {
    std::env::current_exe().map_err(Error::Helper)
}

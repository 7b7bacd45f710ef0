//! Why reinforcement could not go on.

use crate::verdicts::MAX_REWARD;
use ruminate_train::alarms::IN_A_ROW;

/// Everything that can go wrong in this crate.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key of the recipe has a value that cannot be.
    #[error("`grpo.{key}` is {found}; expected {expected}")]
    Range {
        /// The key, by its name in the recipe's table.
        key: &'static str,
        /// Its value.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// Two keys of the recipe ask for different losses.
    #[error("`grpo.{key} = {found}` does not go with `grpo.{other} = {stated}`: {advice}")]
    Conflict {
        /// The key to change, by its name in the recipe's table.
        key: &'static str,
        /// Its value.
        found: String,
        /// The key that it does not go with.
        other: &'static str,
        /// The value of that key.
        stated: String,
        /// What would be right.
        advice: String,
    },
    /// A training problem could not be had.
    #[error("training problem {index}: {source}")]
    Problem {
        /// Its index.
        index: u64,
        /// Why.
        source: ruminate_data::SourceError,
    },
    /// A sampling parameter is out of range.
    #[error("`rollout`: {0}")]
    Sampling(#[from] ruminate_data::SamplingError),
    /// Learning cannot work from greedy completions: a group of equals has no advantage.
    #[error("`rollout.temperature` is 0; expected a number above 0: equal completions teach nothing")]
    Greedy,
    /// The sampler cuts its distribution and does not say what it kept, so that the probabilities that are trained would be
    /// those of another distribution.
    #[error(
        "`rollout.{key}` is {found}, which cuts the sampler's distribution, and the engine does not record what it kept, so that \
         the cut policy cannot be learned; expected {expected}, or an engine that records it"
    )]
    CutUnseen {
        /// The key.
        key: &'static str,
        /// Its value.
        found: f64,
        /// The value that keeps all.
        expected: f64,
    },
    /// An engine said that it records what it kept, and did not.
    #[error(
        "completion {completion} of task {task} (both counted from 0) was drawn from a distribution that was cut, and {found}; \
         expected of the engine, for each token, the kept tokens, the drawn one among them, and of all tokens or none their probability"
    )]
    KeptSet {
        /// Index of the task.
        task: usize,
        /// Index of the completion in its group.
        completion: usize,
        /// What is missing.
        found: String,
    },
    /// Nothing could be sampled.
    #[error("`rollout`: {0}")]
    Rollout(#[from] ruminate_rollout::Error),
    /// Nearly all that an engine gave was sampled by weights that are too old.
    #[error(
        "step {step}: {dropped} groups were sampled by weights that are more than {max_staleness} steps old, and none of them \
         counts; expected completions of the weights that the engine was given (`grpo.max_staleness` says how old they may be)"
    )]
    Stale {
        /// The step, counted from 1.
        step: usize,
        /// Groups that were dropped.
        dropped: usize,
        /// `grpo.max_staleness`.
        max_staleness: usize,
    },
    /// A completion's reward is no number that a group can be compared by.
    #[error(
        "step {step}: a completion has the reward {reward:e}{}; expected a finite number of at most {max:e} in size: fix \
         what gives it, or scale it down, in `[reward]`",
        component.as_ref().map(|name| format!(", of the component `{name}`")).unwrap_or_default(),
        max = MAX_REWARD
    )]
    Reward {
        /// The step, counted from 1.
        step: usize,
        /// The reward.
        reward: f64,
        /// The component of it that is out of range itself, where there is one.
        component: Option<String>,
    },
    /// The trainer finds no finite log-probability of anything that was sampled.
    #[error(
        "step {step}: the policy has no finite log-probability for any of the {tokens} sampled tokens that were compared; its \
         weights are damaged or an activation overflows: check the model folder and the checkpoint that the run began from"
    )]
    NotFinite {
        /// The step, counted from 1.
        step: usize,
        /// Tokens that were compared.
        tokens: usize,
    },
    /// Most completions have had no verdict for too long.
    #[error(
        "step {step}: {unscored} of {completions} completions could not be scored, and most could not for {in_a_row} steps in a \
         row; the most frequent reason: {why}. These steps do not count: the newest checkpoint is from before them. \
         Fix the reward and go on with --resume auto (`alarms.unscored` says how many may be unscored)",
        in_a_row = IN_A_ROW
    )]
    Unscored {
        /// The step, counted from 1.
        step: usize,
        /// Completions without a verdict.
        unscored: usize,
        /// All of the step's.
        completions: usize,
        /// What most of the verdicts say.
        why: String,
    },
    /// Nothing that was sampled for too long could teach anything.
    #[error(
        "step {step}: for {in_a_row} steps in a row every group had equal rewards and none of a step's {completions} completions \
         was right, so that nothing was learned; the most frequent reason: {why}. Give problems that are solved sometimes \
         (`data`), a prompt that asks for the form that the reward reads, or another model, as a new run (`alarms.all_wrong` \
         says how many steps may be like this, or `false`)"
    )]
    AllWrong {
        /// The step, counted from 1.
        step: usize,
        /// Steps in a row, this one included.
        in_a_row: usize,
        /// Completions of the step.
        completions: usize,
        /// What most of the verdicts say.
        why: String,
    },
    /// A step was asked of a trainer of which an earlier one failed.
    #[error("an earlier step of this trainer failed; expected a new one, from a checkpoint")]
    Spent,
    /// The training step failed.
    #[error(transparent)]
    Train(#[from] ruminate_train::Error),
}

impl Error {
    /// Whether an engine outside this process failed, or the wait for it was stopped: the state is as good as before.
    pub(crate) fn is_of_engine(&self) -> bool {
        use ruminate_rollout::Error as E;
        matches!(
            self,
            Self::Stale { .. }
                | Self::Rollout(E::Engine { .. } | E::EngineMismatch { .. } | E::Stopped { .. })
        )
    }
}

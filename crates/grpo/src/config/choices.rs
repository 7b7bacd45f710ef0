//! Choices of `[grpo]` by their names in a recipe.

use serde::{Deserialize, Serialize};

/// The loss of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossType {
    /// PPO's clip of each token's ratio; `reduction` is `"token_mean"` unless it is given.
    Clip,
    /// The clip of each sequence's ratio, the geometric mean of its tokens' (GSPO, arXiv 2507.18071);
    /// `reduction` is `"sequence_mean"` unless it is given.
    Gspo,
    /// The log-probability, weighted by the cut ratio (CISPO, arXiv 2506.13585); `reduction` is `"token_mean"`
    /// unless it is given.
    Cispo,
    /// The clip of each sequence's ratio, with the gradient of each token's own log-probability (GSPO-token,
    /// eq. 13-14; verl's and Tinker's form); `reduction` is `"sequence_mean"` unless it is given.
    GspoToken,
    /// The clip of the product of a sequence's ratios (RLOO, arXiv 2402.14740; TRL's `RLOOTrainer`);
    /// `reduction` is `"sequence_mean"` unless it is given.
    SequenceClip,
    /// A soft gate in place of the clip (SAPO, arXiv 2511.20347); `reduction` is `"sequence_mean"` unless it
    /// is given.
    Sapo,
    /// The ratio of tokens whose probability has not moved too far (DPPO with total variation, arXiv
    /// 2602.04879; prime-rl's default); `reduction` is `"token_mean"` unless it is given.
    DppoTv,
    /// The same by the KL divergence of that token against all others.
    DppoKl,
    /// The log-probability, weighted by a smooth function of the sequence's ratio (VESPO, arXiv 2602.10693);
    /// `reduction` is `"token_mean"` unless it is given.
    Vespo,
    /// The geometric mean of clipped ratios (GMPO, arXiv 2507.20673); `reduction` is `"sequence_mean"` unless
    /// it is given. `epsilon` is of ln ratio; the paper has 0.4.
    GeoMean,
    /// The log-probability less the squared log-ratio (DRO, arXiv 2405.19107); `reduction` is `"token_mean"`
    /// unless it is given.
    Dro,
    /// Each token's ratio without a clip; `reduction` is `"token_mean"` unless it is given.
    ImportanceSampling,
    /// The log-probability without a ratio (REINFORCE); `reduction` is `"token_mean"` unless it is given.
    Reinforce,
    /// `clip` without tokens whose log-probability and advantage vary together (arXiv 2505.22617);
    /// `reduction` is `"token_mean"` unless it is given.
    ClipCov,
    /// Each token's ratio, and a KL term on tokens whose log-probability and advantage vary together (arXiv
    /// 2505.22617); `reduction` is `"token_mean"` unless it is given.
    KlCov,
    /// `gspo` with `reduction = "sequence_sum"` (LUSPO, arXiv 2602.05261).
    Luspo,
    /// `clip` with `reduction = "sequence_mean"`.
    Grpo,
    /// `clip` with `reduction = "microbatch_mean"`.
    Bnpo,
    /// `clip` with `reduction = "token_mean"`.
    #[default]
    Dapo,
    /// `clip` with `reduction = "constant"`.
    DrGrpo,
}

/// What centred rewards are divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Standard deviation of the group (the paper): `advantage = "group"`.
    #[default]
    Group,
    /// Standard deviation of the whole step: `advantage = "batch"`.
    Batch,
    /// Nothing (Dr. GRPO): `advantage = "unscaled"`. No weight on problems that are nearly always or never
    /// solved.
    None,
}

/// How a reward of several parts becomes an advantage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// The weighted sum is normalised, as `scale_rewards` says: a part that varies little counts little.
    #[default]
    SumThenNormalize,
    /// Each part is normalised within its group, then the weighted sum over the step (GDPO, arXiv
    /// 2601.05242): `advantage = "gdpo"`. Weights alone say what counts. Needs `scale_rewards = "group"`.
    NormalizeThenSum,
}

/// What a ratio is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportanceLevel {
    /// Each token has its own.
    #[default]
    Token,
    /// The geometric mean over the sequence: `gspo`.
    Sequence,
}

/// How training routes the tokens of a mixture of experts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouterReplay {
    /// To the sampler's experts where its numbers or the trainer's are rounded, which changes near ties; else by the trainer's own router.
    #[default]
    Auto,
    /// By the trainer's own router.
    Off,
    /// To the experts that the sampler chose; weights come from the trainer's scores.
    On,
}

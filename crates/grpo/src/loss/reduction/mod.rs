//! Reductions: what `grpo.reduction` chooses. A file per choice; each gives the weight of a token in `loss = Σ_t w_t l_t`.

mod constant;
mod microbatch_mean;
mod sequence_mean;
mod sequence_sum;
mod sum;
mod token_mean;

use serde::{Deserialize, Serialize};

/// How the losses of tokens become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// Mean over sequences of each one's token mean (the paper; TRL's `grpo`): tokens of short completions
    /// weigh more.
    SequenceMean,
    /// Sum over the tokens of a microbatch, divided by their number; the mean over microbatches (TRL's
    /// `bnpo`).
    MicrobatchMean,
    /// Sum over all tokens of the update, divided by their number (arXiv 2503.14476; TRL's `dapo`).
    #[default]
    TokenMean,
    /// Sum over all tokens, divided by sequences times the length limit (arXiv 2503.20783; TRL's `dr_grpo`):
    /// no length bias.
    Constant,
    /// Mean over sequences of each one's sum (LUSPO, arXiv 2602.05261; verl's `seq-mean-token-sum`): long
    /// completions weigh more.
    SequenceSum,
    /// Sum over all tokens. The learning rate has to suit their number; `train.max_grad_norm` clips the sum.
    Sum,
}

/// What an update and one of its microbatches hold.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Sequences of the update.
    pub sequences: usize,
    /// Loss tokens of the update.
    pub tokens: usize,
    /// Loss tokens of this microbatch.
    pub microbatch_tokens: usize,
    /// Microbatches of the update.
    pub microbatches: usize,
    /// The length limit of completions, in tokens.
    pub max_completion_length: usize,
}

impl Reduction {
    /// The weight of each token of a completion with `length` loss tokens.
    pub fn weight(self, length: usize, counts: &Counts) -> f64 {
        match self {
            Self::SequenceMean => sequence_mean::weight(length, counts),
            Self::MicrobatchMean => microbatch_mean::weight(counts),
            Self::TokenMean => token_mean::weight(counts),
            Self::Constant => constant::weight(counts),
            Self::SequenceSum => sequence_sum::weight(counts),
            Self::Sum => sum::weight(),
        }
    }

    /// Whether a weight depends on what else is computed in the same microbatch.
    pub(crate) fn counts_the_microbatch(self) -> bool {
        self == Self::MicrobatchMean
    }
}

fn share(count: usize) -> f64 {
    1.0 / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::{Counts, Reduction};

    #[test]
    fn weights_are_those_of_the_formulas() {
        let counts = Counts {
            sequences: 4,
            tokens: 20,
            microbatch_tokens: 10,
            microbatches: 2,
            max_completion_length: 8,
        };
        for (reduction, expected) in [
            (Reduction::SequenceMean, 1.0 / (4.0 * 5.0)),
            (Reduction::MicrobatchMean, 1.0 / (10.0 * 2.0)),
            (Reduction::TokenMean, 1.0 / 20.0),
            (Reduction::Constant, 1.0 / 32.0),
            (Reduction::SequenceSum, 1.0 / 4.0),
            (Reduction::Sum, 1.0),
        ] {
            let weight = reduction.weight(5, &counts);
            assert!((weight - expected).abs() < 1e-15, "{reduction:?}: {weight}");
        }
    }
}

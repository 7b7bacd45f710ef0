//! Do sampler and trainer mean the same policy? Both computed the same tokens, one by one with a cache and all at
//! once; what they disagree by would bias every ratio.

use ruminate_data::{Completion, Group, Routing, SamplingParams, Stop};
use ruminate_model::read::{Place, floats};
use ruminate_model::{Decoder, LayerRouting, Routes};
use ruminate_train::packing::{Continuation, Packed, ROW_LENGTH, pack_completions};
use ruminate_train::{ExpertLoad, drawn_logprobs};

/// Completions on which sampler and trainer are compared at every step, at least.
pub(crate) const PROBED: usize = 8;

/// How far sampler and trainer are apart on the same tokens: sums over what was compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mismatch {
    /// Tokens compared, and the sum of their k3 estimates of KL(sampler || trainer), in nats.
    tokens: usize,
    kl: f64,
    /// Largest difference of a log-probability.
    pub(crate) logprob_diff_max: f64,
    /// (token, MoE layer) pairs, and those whose chosen experts differ; tokens of a shared prompt count once.
    pairs: usize,
    differing: usize,
    /// Tokens whose sampler log-probability is missing or not finite.
    pub(crate) absent: usize,
    /// The trainer's expert load on the compared sequences, for the alarm of a collapsed router: measured at every
    /// step, also when no group has anything to teach.
    pub(crate) load: ExpertLoad,
}

/// Compares both on up to `count` completions, spread over the groups, by a forward pass of their own.
pub(crate) fn probe(
    policy: &Decoder,
    groups: &[Group],
    count: usize,
    sampling: &SamplingParams,
    stop: &Stop,
) -> Mismatch {
    let all: Vec<&Completion> = groups.iter().flat_map(|group| &group.completions).collect();
    let stride = all.len().div_ceil(count.max(1)).max(1);
    // An engine may have given one up: then there is nothing to compare.
    let probed: Vec<&Completion> =
        all.into_iter().step_by(stride).filter(|completion| !completion.ids.is_empty()).collect();
    let packed = pack_completions(&Continuation::of_all(&probed), ROW_LENGTH);
    if packed.loss_tokens() == 0 {
        return Mismatch::default();
    }
    let output = policy.forward(&packed.batch, Routes::Choose);
    let trainer = drawn_logprobs(policy, output.hidden, &packed, &probed, sampling, stop).logprobs;
    let trainer = floats(trainer, Place::Logprobs);
    Mismatch::of(&probed, &packed, &trainer, &output.routing)
}

impl Mismatch {
    /// Of packed completions and what the trainer's forward pass, on the weights that they were sampled from and with
    /// routes of its own, says of them.
    ///
    /// # Shapes
    /// - `trainer`: `[N]`, log-probabilities over the loss tokens
    pub(crate) fn of(
        completions: &[&Completion],
        packed: &Packed,
        trainer: &[f32],
        routing: &[LayerRouting],
    ) -> Self {
        let mut mismatch = Self::default();
        mismatch.load.add(routing, &packed.batch);
        let of_trained = |completion: &&Completion| completion.of_trained(&completion.drawn_logprobs());
        let sampler: Vec<Vec<f32>> = completions.iter().map(of_trained).collect();
        for (sampler, trainer) in packed.over_loss_places(&sampler).into_iter().zip(trainer) {
            let difference = f64::from(*trainer) - f64::from(sampler);
            if !difference.is_finite() {
                mismatch.absent += 1;
                continue;
            }
            mismatch.tokens += 1;
            mismatch.kl += difference.exp() - difference - 1.0;
            mismatch.logprob_diff_max = mismatch.logprob_diff_max.max(difference.abs());
        }
        for (index, completion) in completions.iter().enumerate() {
            let Some(sampled) = &completion.routing else { continue };
            let places = packed.places_of(index).enumerate().skip(packed.shared_with_previous(index));
            mismatch.add_disagreement(sampled, routing, places);
        }
        mismatch
    }

    /// Adds what other completions of the step gave.
    pub(crate) fn add(&mut self, other: &Self) {
        self.tokens += other.tokens;
        self.kl += other.kl;
        self.logprob_diff_max = self.logprob_diff_max.max(other.logprob_diff_max);
        self.pairs += other.pairs;
        self.differing += other.differing;
        self.absent += other.absent;
        self.load.merge(&other.load);
    }

    /// How many tokens were compared, where none of them has a finite log-probability on both sides.
    pub(crate) fn blind(&self) -> Option<usize> {
        (self.tokens == 0 && self.absent > 0).then_some(self.absent)
    }

    /// k3 estimate of KL(sampler || trainer), in nats a token.
    pub(crate) fn kl(&self) -> f64 {
        self.kl / self.tokens.max(1) as f64
    }

    /// Share of (token, MoE layer) pairs whose chosen experts differ.
    pub(crate) fn routing_disagreement(&self) -> f64 {
        self.differing as f64 / self.pairs.max(1) as f64
    }

    /// Compares the experts at positions of a sequence, each with its place in the trainer's rows.
    fn add_disagreement(
        &mut self,
        sampled: &Routing,
        trained: &[LayerRouting],
        places: impl Iterator<Item = (usize, usize)>,
    ) {
        let (chosen, layers) = (sampled.experts_per_token, sampled.moe_layers);
        let as_set = |experts: &[u16]| {
            let mut experts = experts.to_vec();
            experts.sort_unstable();
            experts
        };
        for (position, place) in places {
            for (layer, trained) in trained.iter().enumerate() {
                let pair = (position * layers + layer) * chosen;
                // The sampler never fed a last token.
                let Some(experts) = sampled.experts.get(pair..pair + chosen) else { return };
                let other = &trained.experts[place * chosen..(place + 1) * chosen];
                self.pairs += 1;
                self.differing += usize::from(as_set(experts) != as_set(other));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Mismatch;

    #[test]
    fn a_comparison_is_blind_where_no_token_could_be_compared() {
        assert_eq!(Mismatch::default().blind(), None);
        assert_eq!(Mismatch { absent: 3, ..Mismatch::default() }.blind(), Some(3));
        assert_eq!(Mismatch { absent: 3, tokens: 1, ..Mismatch::default() }.blind(), None);
    }
}

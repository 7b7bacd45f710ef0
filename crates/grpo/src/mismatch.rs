//! Do sampler and trainer mean the same policy? Both computed the same tokens, one by one with a cache and all at
//! once; what they disagree by would bias every ratio.

use ruminate_data::{Completion, Group, Routing};
use ruminate_model::{Decoder, LayerRouting, Routes};
use ruminate_train::ExpertLoad;
use ruminate_train::logprobs::token_logprobs;
use ruminate_train::packing::{Sequence, one_a_row};

/// How far sampler and trainer are apart on the same tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mismatch {
    /// k3 estimate of KL(sampler || trainer), in nats a token.
    pub(crate) kl: f64,
    /// Largest difference of a log-probability.
    pub(crate) logprob_diff_max: f64,
    /// Share of (token, MoE layer) pairs whose chosen experts differ.
    pub(crate) routing_disagreement: f64,
    /// Tokens whose sampler log-probability is missing or not finite.
    pub(crate) absent: usize,
    /// The trainer's expert load on the compared sequences, for the alarm of a collapsed router: measured at every
    /// step, also when no group has anything to teach.
    pub(crate) load: ExpertLoad,
}

/// Compares both on up to `count` completions, spread over the groups.
pub(crate) fn measure(policy: &Decoder, groups: &[Group], count: usize, temperature: f64) -> Mismatch {
    let all: Vec<&Completion> = groups.iter().flat_map(|group| &group.completions).collect();
    let stride = all.len().div_ceil(count.max(1)).max(1);
    let probe: Vec<&Completion> = all.into_iter().step_by(stride).collect();
    let samples: Vec<_> = probe
        .iter()
        .map(|completion| ruminate_data::Sample::completion_only(&completion.prompt_ids, &completion.ids))
        .collect();
    let sequences: Vec<Sequence> = samples.iter().map(Sequence::from).collect();
    let packed = one_a_row(&sequences);
    if packed.loss_tokens() == 0 {
        return Mismatch::default();
    }
    let output = policy.forward(&packed.batch, Routes::Choose);
    let trainer = token_logprobs(policy, output.hidden, &packed, temperature).logprobs;
    let trainer = trainer.try_into_vec_as::<f32>().expect("log-probabilities are floats");
    let sampler: Vec<&[f32]> = probe.iter().map(|completion| completion.logprobs.as_slice()).collect();

    let mut mismatch = Mismatch::default();
    mismatch.load.add(&output.routing, &packed.batch);
    let mut compared = 0_usize;
    for (sampler, trainer) in packed.over_loss_places(&sampler).into_iter().zip(trainer) {
        let difference = f64::from(trainer) - f64::from(sampler);
        if !difference.is_finite() {
            mismatch.absent += 1;
            continue;
        }
        compared += 1;
        mismatch.kl += difference.exp() - difference - 1.0;
        mismatch.logprob_diff_max = mismatch.logprob_diff_max.max(difference.abs());
    }
    mismatch.kl /= compared.max(1) as f64;
    let [_, length] = packed.batch.shape;
    let (mut differing, mut pairs) = (0_usize, 0_usize);
    for (row, completion) in probe.iter().enumerate() {
        let Some(routing) = &completion.routing else { continue };
        let (d, p) = disagreement(routing, &output.routing, row * length);
        differing += d;
        pairs += p;
    }
    mismatch.routing_disagreement = differing as f64 / pairs.max(1) as f64;
    mismatch
}

/// Differing and all (position, layer) pairs of one sequence whose first place is `start`.
fn disagreement(sampled: &Routing, trained: &[LayerRouting], start: usize) -> (usize, usize) {
    let chosen = sampled.experts_per_token;
    let as_set = |experts: &[u16]| {
        let mut experts = experts.to_vec();
        experts.sort_unstable();
        experts
    };
    let mut differing = 0;
    let pairs = sampled.experts.chunks_exact(chosen);
    let count = pairs.len();
    for (pair, experts) in pairs.enumerate() {
        let (position, layer) = (pair / sampled.moe_layers, pair % sampled.moe_layers);
        let place = start + position;
        let other = &trained[layer].experts[place * chosen..(place + 1) * chosen];
        differing += usize::from(as_set(experts) != as_set(other));
    }
    (differing, count)
}

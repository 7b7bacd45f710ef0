//! Log-probabilities of completions under the distributions that their tokens were drawn from: after penalties and forbidden
//! words, which follow from what was written, and over the tokens that top-k, top-p or min-p kept, which the sampler
//! recorded. Where nothing shapes the distribution, they are those of [`token_logprobs`].

// N places with loss, D hidden

use crate::Error;
use crate::logprobs::{rows, score, scored, token_logprobs};
use crate::packing::{Continuation, Packed};
use burn::tensor::Tensor;
use ruminate_data::{Completion, History, SamplingParams, Stop};
use ruminate_kernels::{LogitEdit, Shaping, TokenStatistics, shaped_logprobs};
use ruminate_model::Decoder;

/// What the policy says of each loss token of packed completions, as [`token_logprobs`], under the distribution that it was
/// drawn from: π(x) / π(S) for a token x that was drawn from a set S (the "keep sampling mask" of DeepSeek-V3.2, arXiv
/// 2512.02556). The sets are constants of the gradient.
///
/// A completion without sets counts as drawn from the whole distribution.
///
/// # Shapes
/// - `hidden`: `[B * T, D]`, [`Output::hidden`](ruminate_model::Decoder::forward) of `packed.batch`
/// - result: `[N]`, in the order of `packed.loss_places`
///
/// # Panics
/// When no place has loss, or a token is not in its set.
pub fn drawn_logprobs(
    decoder: &Decoder,
    hidden: Tensor<2>,
    packed: &Packed,
    completions: &[&Completion],
    sampling: &SamplingParams,
    stop: &Stop,
) -> TokenStatistics {
    if !is_shaped(sampling, stop) {
        return token_logprobs(decoder, hidden, packed, sampling.temperature);
    }
    let shaping = shaping(packed, completions, sampling, stop, Completion::is_trained);
    shaped(decoder, hidden, packed, &shaping, sampling.temperature)
}

/// Log-probabilities in nats of completions, one per token, under the distributions that they were drawn from. For reference
/// models: nothing is tracked, whatever device the decoder is on. At most `max_sequences` sequences are computed at once.
///
/// # Errors
/// As [`score`].
pub fn score_drawn(
    decoder: &Decoder,
    completions: &[&Completion],
    sampling: &SamplingParams,
    stop: &Stop,
    max_sequences: usize,
) -> Result<Vec<Vec<f32>>, Error> {
    let pairs: Vec<(&[u32], &[u32])> = completions
        .iter()
        .map(|completion| (completion.prompt_ids.as_slice(), completion.ids.as_slice()))
        .collect();
    if !is_shaped(sampling, stop) {
        return score(decoder, &pairs, sampling.temperature, max_sequences);
    }
    let all: Vec<Continuation> = pairs
        .iter()
        .map(|&(prompt, completion)| Continuation { prompt, completion, trained: None })
        .collect();
    scored(decoder, &all, max_sequences, |decoder, hidden, packed, members| {
        let shaping = shaping(packed, &completions[members], sampling, stop, |_, _| true);
        shaped(decoder, hidden, packed, &shaping, sampling.temperature).logprobs
    })
}

/// Whether tokens are drawn from anything but the softmax at the temperature.
fn is_shaped(sampling: &SamplingParams, stop: &Stop) -> bool {
    sampling.cuts() || History::matters(sampling, stop)
}

fn shaped(
    decoder: &Decoder,
    hidden: Tensor<2>,
    packed: &Packed,
    shaping: &Shaping,
    temperature: f64,
) -> TokenStatistics {
    let hidden = rows(decoder, hidden, &packed.loss_places);
    shaped_logprobs(hidden, decoder.head(), &packed.loss_targets, shaping, temperature)
}

/// A row for each loss token, in the order of `packed.loss_places`.
fn shaping(
    packed: &Packed,
    completions: &[&Completion],
    sampling: &SamplingParams,
    stop: &Stop,
    has_loss: impl Fn(&Completion, usize) -> bool,
) -> Shaping {
    let of_sequence = |(sequence, completion): (usize, &&Completion)| -> Vec<(usize, usize)> {
        (0..completion.ids.len())
            .filter(|&token| has_loss(completion, token))
            .map(|token| (sequence, token))
            .collect()
    };
    let by_sequence: Vec<Vec<(usize, usize)>> = completions.iter().enumerate().map(of_sequence).collect();
    let history = |sequence: usize| History::new(sampling, stop, &completions[sequence].prompt_ids);
    let matters = History::matters(sampling, stop);
    let mut shaping = Shaping::default();
    let mut current: Option<(usize, usize, History)> = None;
    // The tokens of a sequence come one after the other.
    for (sequence, token) in packed.over_loss_places(&by_sequence) {
        let completion = completions[sequence];
        let kept = if completion.kept.is_empty() { &[] } else { completion.kept.at(token) };
        if !matters {
            shaping.push([], kept);
            continue;
        }
        let (_, pushed, history) = match &mut current {
            Some(current) if current.0 == sequence => current,
            other => other.insert((sequence, 0, history(sequence))),
        };
        completion.ids[*pushed..token].iter().for_each(|&id| history.push(id));
        *pushed = token;
        let edits = history.edits().into_iter();
        let edit = |ruminate_data::LogitEdit { id, scale, minus }| LogitEdit { id, scale, minus };
        shaping.push(edits.map(edit), kept);
    }
    shaping
}

//! Log-probabilities of the tokens that matter: only places with loss reach the output head, a chunk at a time.

// N places with loss, D hidden, K candidates

use crate::Error;
use crate::packing::{Continuation, Packed, ROW_LENGTH, completion_microbatches, pack_completions};
use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};
use ruminate_kernels::read::{Place, floats};
use ruminate_kernels::{TokenStatistics, TopLogprobs};
use ruminate_model::{Decoder, Routes};
use std::ops::Range;

/// What the policy says of each loss token: its log-probability in nats, with gradient, and the entropy there.
/// Logits are divided by the temperature that the tokens were sampled at.
///
/// # Shapes
/// - `hidden`: `[B * T, D]`, [`Output::hidden`](ruminate_model::Decoder::forward) of `packed.batch`
/// - result: `[N]`, in the order of `packed.loss_places`
///
/// # Panics
/// When no place has loss: ask [`Packed::loss_tokens`] first.
pub fn token_logprobs(
    decoder: &Decoder,
    hidden: Tensor<2>,
    packed: &Packed,
    temperature: f64,
) -> TokenStatistics {
    at_places(decoder, hidden, &packed.loss_places, &packed.loss_targets, temperature)
}

/// The entropy of the next-token distribution at each place with loss, in nats and with gradient:
/// `H = -Σ_v p_v ln p_v`. All logits are in memory at once, and what they become: where no gradient is wanted,
/// [`token_logprobs`] has the entropy without.
///
/// # Shapes
/// - `hidden`: as in [`token_logprobs`]; result: `[N]`
///
/// # Panics
/// When no place has loss.
pub fn token_entropies(decoder: &Decoder, hidden: Tensor<2>, packed: &Packed, temperature: f64) -> Tensor<1> {
    let hidden = rows(decoder, hidden, &packed.loss_places);
    let [places, _] = hidden.dims();
    let logits = ruminate_kernels::linear(hidden, decoder.head()).div_scalar(temperature);
    let all = log_softmax(logits, 1); // [N, V]
    (all.clone().exp() * all).sum_dim(1).neg().reshape([places])
}

/// [`token_logprobs`] for any places and targets.
pub(crate) fn at_places(
    decoder: &Decoder,
    hidden: Tensor<2>,
    places: &[u32],
    targets: &[u32],
    temperature: f64,
) -> TokenStatistics {
    ruminate_kernels::token_logprobs(rows(decoder, hidden, places), decoder.head(), targets, temperature)
}

/// What the policy says of K candidates at each place with loss, and of all other tokens together, in nats and with
/// gradient.
///
/// # Shapes
/// - `hidden`: as in [`token_logprobs`], `candidates`: `N K` ids, row-major, none twice at a place
/// - result: `[N, K + 1]`, the others in the last column
///
/// # Panics
/// When no place has loss.
pub fn candidate_logprobs(
    decoder: &Decoder,
    hidden: Tensor<2>,
    packed: &Packed,
    candidates: &[u32],
    temperature: f64,
) -> Tensor<2> {
    let hidden = rows(decoder, hidden, &packed.loss_places);
    ruminate_kernels::candidate_logprobs(hidden, decoder.head(), candidates, temperature)
}

/// The `count` most probable tokens at each place with loss among the first `vocabulary` ids, and the rest of these as one
/// number. Nothing is tracked.
///
/// # Panics
/// When no place has loss, or `count` is 0 or above `vocabulary`.
pub fn top_logprobs(
    decoder: &Decoder,
    packed: &Packed,
    count: usize,
    vocabulary: usize,
    temperature: f64,
) -> TopLogprobs {
    let decoder = decoder.valid();
    let hidden = decoder.forward(&packed.batch, Routes::Choose).hidden;
    let hidden = rows(&decoder, hidden, &packed.loss_places);
    let head = decoder.head().narrow(0, 0, vocabulary);
    ruminate_kernels::top_logprobs(hidden, head, count, temperature)
}

/// The rows of some places, an operand of the decoder's products.
pub(crate) fn rows(decoder: &Decoder, hidden: Tensor<2>, places: &[u32]) -> Tensor<2> {
    assert!(!places.is_empty(), "no place has loss");
    let rows: Vec<i32> = places.iter().map(|&place| place as i32).collect();
    let rows = Tensor::<1, Int>::from_ints(rows.as_slice(), &hidden.device());
    decoder.compute_dtype().operand(hidden.select(0, rows)) // [N, D]
}

/// Log-probabilities in nats of given completions, one a completion token, in the given order. For reference models
/// and for scoring: nothing is tracked, whatever device the decoder is on.
///
/// At most `max_sequences` sequences are computed at once; a prompt that neighbours share, once for all of them.
///
/// # Errors
/// [`Error::EmptyPrompt`] when nothing comes before a completion's first token, [`Error::NotANumber`] when the model says NaN.
pub fn score(
    decoder: &Decoder,
    sequences: &[(&[u32], &[u32])],
    temperature: f64,
    max_sequences: usize,
) -> Result<Vec<Vec<f32>>, Error> {
    let completions: Vec<Continuation> = sequences
        .iter()
        .map(|&(prompt, completion)| Continuation { prompt, completion, trained: None })
        .collect();
    scored(decoder, &completions, max_sequences, |decoder, hidden, packed, _| {
        token_logprobs(decoder, hidden, packed, temperature).logprobs
    })
}

/// The log-probabilities that `logprobs` gives of completions in microbatches: of a decoder without graph, its states, the
/// packed completions, and which ones they are.
pub(crate) fn scored(
    decoder: &Decoder,
    completions: &[Continuation],
    max_sequences: usize,
    logprobs: impl Fn(&Decoder, Tensor<2>, &Packed, Range<usize>) -> Tensor<1>,
) -> Result<Vec<Vec<f32>>, Error> {
    let is_empty = |c: &Continuation| c.prompt.is_empty() && !c.completion.is_empty();
    if let Some(sequence) = completions.iter().position(is_empty) {
        return Err(Error::EmptyPrompt { sequence });
    }
    let decoder = decoder.valid();
    let mut scores = Vec::with_capacity(completions.len());
    for members in completion_microbatches(completions, usize::MAX, max_sequences) {
        let packed = pack_completions(&completions[members.clone()], ROW_LENGTH);
        if packed.loss_tokens() == 0 {
            scores.extend(packed.by_sequence(&[]));
            continue;
        }
        let hidden = decoder.forward(&packed.batch, Routes::Choose).hidden;
        let values = floats(logprobs(&decoder, hidden, &packed, members), Place::Logprobs);
        scores.extend(packed.by_sequence(&values));
    }
    let not_a_number = |(sequence, logprobs): (usize, &Vec<f32>)| {
        logprobs
            .iter()
            .position(|logprob| logprob.is_nan())
            .map(|token| Error::NotANumber { sequence, token })
    };
    match scores.iter().enumerate().find_map(not_a_number) {
        Some(error) => Err(error),
        None => Ok(scores),
    }
}

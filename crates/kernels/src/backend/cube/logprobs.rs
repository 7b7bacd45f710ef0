//! Log-probabilities of given tokens: a product for as many tokens as have 512 MiB of logits, then one kernel for their
//! softmax, entropy and targets. The backward pass computes the logits again and turns them into their gradients in place.

// N tokens, n of them at once, D hidden, V vocabulary

use super::launch::{addresses, cube, cubes, empty_beside, rows_of, units_of_row, upload};
use super::product::{Operands, product};
use super::reduce::{cube_max, cube_sum};
use crate::backend::{Differentiable, Operation};
use crate::logprobs::TargetLogprobs;
use burn::backend::Cube;
use burn::backend::ops::FloatTensorOps;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

/// Logits in memory at once.
const LOGITS: usize = 1 << 27;

impl Operation<Cube, 2, 2> for TargetLogprobs {
    fn covers(&self) -> bool {
        self.shaping.is_none()
    }

    fn forward(&self, [hidden, head]: [CubeTensor; 2]) -> [CubeTensor; 2] {
        forward(self, &Operands::new(hidden, head))
    }
}

impl Differentiable<Cube, 2, 2> for TargetLogprobs {
    /// Hidden states, head, entropies and log-sums.
    type Kept = [CubeTensor; 3];

    fn forward_tracked(&self, inputs: [CubeTensor; 2], _: [bool; 2]) -> ([CubeTensor; 2], Self::Kept) {
        let [logprobs, besides] = Operation::<Cube, _, _>::forward(self, inputs.clone());
        let [hidden, head] = inputs;
        ([logprobs, besides.clone()], [hidden, head, besides])
    }

    fn backward(
        &self,
        [hidden, head, besides]: Self::Kept,
        upstream: CubeTensor,
        learns: [bool; 2],
    ) -> [Option<CubeTensor>; 2] {
        backward(self, &Operands::new(hidden, head), &besides, &upstream, learns)
    }
}

/// Ranges of tokens whose logits are in memory at once.
fn chunks(tokens: usize, vocabulary: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let at_once = (LOGITS / vocabulary.max(1)).max(1);
    (0..tokens).step_by(at_once).map(move |start| start..(start + at_once).min(tokens))
}

/// `ln p(target)`, `[N]`, and the entropy and log-sum of each token, `[N, 2]`.
fn forward(operation: &TargetLogprobs, operands: &Operands) -> [CubeTensor; 2] {
    let [tokens, vocabulary] = operands.dims();
    let beside = &operands.rows;
    let (logprobs, besides) = (empty_beside(beside, [tokens]), empty_beside(beside, [tokens, 2]));
    let targets = upload(beside, operation.targets.clone());
    for chunk in chunks(tokens, vocabulary) {
        let logits = product(rows_of(&operands.rows, &chunk), operands.weight_transposed());
        let units = units_of_row(&logits, vocabulary);
        statistics::launch(
            &logits.client.clone(),
            cubes(chunk.len()),
            cube(units),
            addresses([&logits, &logprobs, &besides]),
            logits.into_tensor_arg(),
            targets.clone().into_tensor_arg(),
            logprobs.clone().into_tensor_arg(),
            besides.clone().into_tensor_arg(),
            chunk.start,
            operation.plan.temperature.recip() as f32,
            units,
        );
    }
    [logprobs, besides]
}

/// The gradients of `hidden` and `head`, that of the head only where it learns.
fn backward(
    operation: &TargetLogprobs,
    operands: &Operands,
    besides: &CubeTensor,
    upstream: &CubeTensor,
    [hidden_learns, head_learns]: [bool; 2],
) -> [Option<CubeTensor>; 2] {
    let [tokens, vocabulary] = operands.dims();
    let targets = upload(&operands.rows, operation.targets.clone());
    let (mut d_hidden, mut d_head) = (Vec::new(), None);
    for chunk in chunks(tokens, vocabulary) {
        let rows = rows_of(&operands.rows, &chunk);
        let logits = product(rows.clone(), operands.weight_transposed());
        let units = units_of_row(&logits, vocabulary);
        logit_gradients::launch(
            &logits.client.clone(),
            cubes(chunk.len()),
            cube(units),
            addresses([&logits, besides, upstream]),
            logits.clone().into_tensor_arg(),
            targets.clone().into_tensor_arg(),
            besides.clone().into_tensor_arg(),
            upstream.clone().into_tensor_arg(),
            chunk.start,
            operation.plan.temperature.recip() as f32,
            units,
        );
        let d_logits = operands.rounded(logits); // [n, V]
        if hidden_learns {
            d_hidden.push(product(d_logits.clone(), operands.weight.clone()));
        }
        if head_learns {
            let of_chunk = product(Cube::float_swap_dims(d_logits, 0, 1), rows);
            d_head = Some(match d_head {
                None => of_chunk,
                Some(sum) => Cube::float_add(sum, of_chunk),
            });
        }
    }
    let d_hidden = hidden_learns.then(|| match d_hidden.len() {
        1 => d_hidden.remove(0),
        _ => Cube::float_cat(d_hidden, 0),
    });
    [d_hidden, d_head]
}

/// A cube goes once over the logits of a token: each unit keeps the largest of its own, and the sums of
/// `e^(x - largest)` and of `e^(x - largest) (x - largest)`, which are put together at the end.
#[allow(clippy::too_many_arguments, reason = "of a kernel")]
#[cube(launch, address_type = "dynamic")]
pub(super) fn statistics(
    logits: &Tensor<f32>,
    targets: &Tensor<u32>,
    logprobs: &mut Tensor<f32>,
    besides: &mut Tensor<f32>,
    first: usize,
    inverse_temperature: f32,
    #[comptime] units: usize,
) {
    let (rows, vocabulary) = (logits.shape(0), logits.shape(1));
    let mut shared = Shared::<[f32]>::new_slice(units);
    for row in range_stepped(CUBE_POS, rows, CUBE_COUNT) {
        let mut largest = f32::min_value();
        let mut sum = 0.0f32;
        let mut moment = 0.0f32;
        for id in range_stepped(UNIT_POS as usize, vocabulary, units) {
            let logit = logits[row * logits.stride(0) + id * logits.stride(1)] * inverse_temperature;
            if logit > largest {
                let down = largest - logit;
                let factor = down.exp();
                moment = factor * (moment + sum * down.max(-1e30f32));
                sum *= factor;
                largest = logit;
            }
            let weight = (logit - largest).exp();
            sum += weight;
            moment += weight * (logit - largest);
        }
        let of_all = cube_max(largest, &mut shared, units);
        let down = (largest - of_all).max(-1e30f32); // a unit without logits has the smallest number there is
        let factor = down.exp();
        let total_moment = cube_sum(factor * (moment + sum * down), &mut shared, units);
        let total = cube_sum(factor * sum, &mut shared, units);
        if UNIT_POS == 0 {
            let token = first + row;
            let of_target = logits[row * logits.stride(0) + targets[token] as usize * logits.stride(1)];
            let log_total = total.ln();
            logprobs[token] = of_target * inverse_temperature - of_all - log_total;
            besides[2 * token] = log_total - total_moment / total;
            besides[2 * token + 1] = of_all + log_total;
        }
    }
}

/// In place: `d logit[n, v] = upstream[n] (1[v = target] - p[v]) / temperature`.
#[allow(clippy::too_many_arguments, reason = "of a kernel")]
#[cube(launch, address_type = "dynamic")]
pub(super) fn logit_gradients(
    logits: &mut Tensor<f32>,
    targets: &Tensor<u32>,
    besides: &Tensor<f32>,
    upstream: &Tensor<f32>,
    first: usize,
    inverse_temperature: f32,
    #[comptime] units: usize,
) {
    let (rows, vocabulary) = (logits.shape(0), logits.shape(1));
    for row in range_stepped(CUBE_POS, rows, CUBE_COUNT) {
        let token = first + row;
        let scale = upstream[token * upstream.stride(0)] * inverse_temperature;
        let log_sum = besides[2 * token + 1];
        let target = targets[token] as usize;
        for id in range_stepped(UNIT_POS as usize, vocabulary, units) {
            let at = row * logits.stride(0) + id * logits.stride(1);
            let mut gradient = -scale * (logits[at] * inverse_temperature - log_sum).exp();
            if id == target {
                gradient += scale;
            }
            logits[at] = gradient;
        }
    }
}

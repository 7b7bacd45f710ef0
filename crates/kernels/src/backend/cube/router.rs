//! The router: scores in strict f32, which a product of Burn's would round to TF32 on a GPU with tensor cores, so that near
//! ties fell to other experts; and the weights of the chosen.

// N places, D hidden, E experts, K chosen experts per token

use super::launch::{addresses, cube, cubes, empty_beside, of_elements, units_of_row, upload};
use super::reduce::{cube_max, cube_sum};
use crate::backend::{Differentiable, Operation};
use crate::router::{Normalisation, RouteWeights, RouterScores, SUM_EPSILON, Scoring};
use burn::backend::Cube;
use burn::backend::ops::FloatTensorOps;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

impl Operation<Cube, 2, 1> for RouterScores {
    fn forward(&self, [x, weight]: [CubeTensor; 2]) -> [CubeTensor; 1] {
        [scores(x, weight, self.scoring)]
    }
}

impl Differentiable<Cube, 2, 1> for RouterScores {
    /// The input, the weight, the scores.
    type Kept = [CubeTensor; 3];

    fn forward_tracked(&self, [x, weight]: [CubeTensor; 2], _: [bool; 2]) -> ([CubeTensor; 1], Self::Kept) {
        let scores = scores(x.clone(), weight.clone(), self.scoring);
        ([scores.clone()], [x, weight, scores])
    }

    /// The choice is made, so its products may round: they are Burn's.
    fn backward(
        &self,
        [x, weight, scores]: Self::Kept,
        upstream: CubeTensor,
        [x_learns, weight_learns]: [bool; 2],
    ) -> [Option<CubeTensor>; 2] {
        let d_logits = d_logits(scores, upstream, self.scoring); // [N, E]
        let d_x = x_learns.then(|| Cube::float_matmul(d_logits.clone(), weight));
        let d_weight = weight_learns.then(|| Cube::float_matmul(Cube::float_swap_dims(d_logits, 0, 1), x));
        [d_x, d_weight]
    }
}

impl Operation<Cube, 1, 1> for RouteWeights {
    fn forward(&self, [scores]: [CubeTensor; 1]) -> [CubeTensor; 1] {
        let [places, _] = scores.meta.shape().dims();
        let per_token = self.experts.len() / places.max(1);
        let out = empty_beside(&scores, [places, per_token]);
        let ids = self.ids(&scores);
        let (count, dim) = of_elements(&scores, 1, places);
        route_weights::launch(
            &scores.client.clone(),
            count,
            dim,
            addresses([&scores, &out]),
            scores.into_tensor_arg(),
            ids.into_tensor_arg(),
            out.clone().into_tensor_arg(),
            self.factor as f32,
            SUM_EPSILON,
            self.normalisation == Normalisation::Sum,
        );
        [out]
    }
}

impl RouteWeights {
    /// The chosen experts, on the device of the scores.
    fn ids(&self, scores: &CubeTensor) -> CubeTensor {
        upload(scores, self.experts.iter().map(|&expert| u32::from(expert)).collect())
    }
}

impl Differentiable<Cube, 1, 1> for RouteWeights {
    /// The scores.
    type Kept = CubeTensor;

    fn forward_tracked(&self, [scores]: [CubeTensor; 1], _: [bool; 1]) -> ([CubeTensor; 1], CubeTensor) {
        (Operation::<Cube, _, _>::forward(self, [scores.clone()]), scores)
    }

    fn backward(&self, scores: CubeTensor, upstream: CubeTensor, _: [bool; 1]) -> [Option<CubeTensor>; 1] {
        let [places, n_experts] = scores.meta.shape().dims();
        let out = empty_beside(&scores, [places, n_experts]);
        let ids = self.ids(&scores);
        let (count, dim) = of_elements(&scores, 1, places);
        route_weights_backward::launch(
            &scores.client.clone(),
            count,
            dim,
            addresses([&scores, &upstream, &out]),
            scores.into_tensor_arg(),
            ids.into_tensor_arg(),
            upstream.into_tensor_arg(),
            out.clone().into_tensor_arg(),
            self.factor as f32,
            SUM_EPSILON,
            self.normalisation == Normalisation::Sum,
        );
        [Some(out)]
    }
}

/// `[N, E]`
fn scores(x: CubeTensor, weight: CubeTensor, scoring: Scoring) -> CubeTensor {
    let ([rows, width], [n_experts, _]) = (x.meta.shape().dims(), weight.meta.shape().dims());
    let out = empty_beside(&x, [rows, n_experts]);
    let units = units_of_row(&x, width);
    let address = addresses([&x, &weight, &out]);
    router_scores::launch(
        &x.client.clone(),
        cubes(rows),
        cube(units),
        address,
        x.into_tensor_arg(),
        weight.into_tensor_arg(),
        out.clone().into_tensor_arg(),
        units,
        scoring == Scoring::Softmax,
    );
    out
}

/// The gradient of the logits: through sigmoid `s (1 - s) g`, through softmax `s (g - s . g)`.
fn d_logits(scores: CubeTensor, upstream: CubeTensor, scoring: Scoring) -> CubeTensor {
    let [rows, n_experts] = scores.meta.shape().dims();
    let out = empty_beside(&scores, [rows, n_experts]);
    let units = units_of_row(&scores, n_experts);
    let address = addresses([&scores, &upstream, &out]);
    router_scores_backward::launch(
        &scores.client.clone(),
        cubes(rows),
        cube(units),
        address,
        scores.into_tensor_arg(),
        upstream.into_tensor_arg(),
        out.clone().into_tensor_arg(),
        units,
        scoring == Scoring::Softmax,
    );
    out
}

/// A cube computes the scores of a row, one logit after the other with all units, then the softmax or sigmoids.
#[cube(launch, address_type = "dynamic")]
pub(super) fn router_scores(
    x: &Tensor<f32>,
    weight: &Tensor<f32>,
    out: &mut Tensor<f32>,
    #[comptime] units: usize,
    #[comptime] softmax: bool,
) {
    let (rows, width, experts) = (x.shape(0), x.shape(1), weight.shape(0));
    let unit = UNIT_POS as usize;
    let mut shared = Shared::<[f32]>::new_slice(units);
    for row in range_stepped(CUBE_POS, rows, CUBE_COUNT) {
        let target = row * out.stride(0);
        for expert in 0..experts {
            let mut product = 0.0f32;
            for column in range_stepped(unit, width, units) {
                product += x[row * x.stride(0) + column * x.stride(1)]
                    * weight[expert * weight.stride(0) + column * weight.stride(1)];
            }
            let logit = cube_sum(product, &mut shared, units);
            if unit == expert % units {
                out[target + expert] = logit; // the unit that reads it below
            }
        }
        if comptime!(softmax) {
            let mut largest = f32::min_value();
            for expert in range_stepped(unit, experts, units) {
                largest = largest.max(out[target + expert]);
            }
            let largest = cube_max(largest, &mut shared, units);
            let mut sum = 0.0f32;
            for expert in range_stepped(unit, experts, units) {
                let part = (out[target + expert] - largest).exp();
                out[target + expert] = part;
                sum += part;
            }
            let sum = cube_sum(sum, &mut shared, units);
            for expert in range_stepped(unit, experts, units) {
                out[target + expert] = out[target + expert] / sum;
            }
        } else {
            for expert in range_stepped(unit, experts, units) {
                out[target + expert] = 1.0f32 / (1.0f32 + (-out[target + expert]).exp());
            }
        }
    }
}

#[cube(launch, address_type = "dynamic")]
pub(super) fn router_scores_backward(
    scores: &Tensor<f32>,
    upstream: &Tensor<f32>,
    out: &mut Tensor<f32>,
    #[comptime] units: usize,
    #[comptime] softmax: bool,
) {
    let (rows, experts) = (scores.shape(0), scores.shape(1));
    let unit = UNIT_POS as usize;
    let mut shared = Shared::<[f32]>::new_slice(units);
    for row in range_stepped(CUBE_POS, rows, CUBE_COUNT) {
        let mut mean = 0.0f32;
        if comptime!(softmax) {
            for expert in range_stepped(unit, experts, units) {
                mean += scores[row * scores.stride(0) + expert * scores.stride(1)]
                    * upstream[row * upstream.stride(0) + expert * upstream.stride(1)];
            }
            mean = cube_sum(mean, &mut shared, units);
        }
        for expert in range_stepped(unit, experts, units) {
            let score = scores[row * scores.stride(0) + expert * scores.stride(1)];
            let gradient = upstream[row * upstream.stride(0) + expert * upstream.stride(1)];
            let at = row * out.stride(0) + expert;
            if comptime!(softmax) {
                out[at] = score * (gradient - mean);
            } else {
                out[at] = score * (1.0f32 - score) * gradient;
            }
        }
    }
}

/// `w_k = factor p_k / (sum p_k + epsilon)`, or without the sum; a unit computes a row.
#[cube(launch, address_type = "dynamic")]
pub(super) fn route_weights(
    scores: &Tensor<f32>,
    ids: &Tensor<u32>,
    out: &mut Tensor<f32>,
    factor: f32,
    epsilon: f32,
    #[comptime] sum: bool,
) {
    let row = ABSOLUTE_POS_X as usize;
    let chosen = out.shape(1);
    if row < scores.shape(0) {
        let mut divisor = 1.0f32;
        if comptime!(sum) {
            divisor = epsilon;
            for k in 0..chosen {
                divisor += scores[row * scores.stride(0) + ids[row * chosen + k] as usize * scores.stride(1)];
            }
        }
        for k in 0..chosen {
            let score = scores[row * scores.stride(0) + ids[row * chosen + k] as usize * scores.stride(1)];
            out[row * chosen + k] = score / divisor * factor;
        }
    }
}

/// With `s` the divisor: `dp_k = factor (g_k - sum_j g_j p_j / s) / s`, added up where an expert is named twice.
#[cube(launch, address_type = "dynamic")]
pub(super) fn route_weights_backward(
    scores: &Tensor<f32>,
    ids: &Tensor<u32>,
    upstream: &Tensor<f32>,
    out: &mut Tensor<f32>,
    factor: f32,
    epsilon: f32,
    #[comptime] sum: bool,
) {
    let row = ABSOLUTE_POS_X as usize;
    let (experts, chosen) = (scores.shape(1), upstream.shape(1));
    if row < scores.shape(0) {
        for expert in 0..experts {
            out[row * experts + expert] = 0.0f32;
        }
        let mut divisor = 1.0f32;
        let mut pull = 0.0f32;
        if comptime!(sum) {
            divisor = epsilon;
            for k in 0..chosen {
                let id = ids[row * chosen + k] as usize;
                let score = scores[row * scores.stride(0) + id * scores.stride(1)];
                divisor += score;
                pull += score * upstream[row * upstream.stride(0) + k * upstream.stride(1)];
            }
            pull = pull / divisor;
        }
        for k in 0..chosen {
            let gradient = upstream[row * upstream.stride(0) + k * upstream.stride(1)];
            let at = row * experts + ids[row * chosen + k] as usize;
            out[at] += factor * (gradient - pull) / divisor;
        }
    }
}

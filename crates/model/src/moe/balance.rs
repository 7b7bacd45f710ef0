//! The sequence-wise balance loss of DeepSeek-V3 (arXiv 2412.19437, eq. 17-20).

use super::LayerRouting;
use crate::Batch;
use burn::tensor::{Tensor, TensorData};

/// `sum_e f_e P_e`, averaged over the sequences of the batch; the caller multiplies by alpha.
///
/// `f_e` is the share of the sequence's choices that fell on expert e, times E; `P_e` the mean of its scores
/// normalised over experts. Perfect balance gives 1. Padding counts for nothing.
///
/// # Shapes
/// - `routing`: one MoE layer over `batch`; result: `[1]`
pub fn balance_loss(routing: &LayerRouting, batch: &Batch) -> Tensor<1> {
    let [places, n_experts] = routing.scores.dims();
    let chosen = routing.experts.len() / places;
    let sequences = sequences(batch);
    let count = sequences.len().max(1);

    let mut frequency = vec![0.0_f32; count * n_experts];
    let mut average = vec![0.0_f32; count * places];
    for (s, members) in sequences.iter().enumerate() {
        let share = 1.0 / members.len() as f32;
        for &place in members {
            average[s * places + place] = share;
            for &expert in &routing.experts[place * chosen..(place + 1) * chosen] {
                frequency[s * n_experts + usize::from(expert)] += share * n_experts as f32 / chosen as f32;
            }
        }
    }
    let device = routing.scores.device();
    let frequency = Tensor::<2>::from_data(TensorData::new(frequency, [count, n_experts]), &device);
    let average = Tensor::<2>::from_data(TensorData::new(average, [count, places]), &device);
    let normalised = routing.scores.clone() / (routing.scores.clone().sum_dim(1) + 1e-20);
    (average.matmul(normalised) * frequency).sum().div_scalar(count as f64)
}

/// The places of each sequence: those with the same non-zero segment in the same row.
fn sequences(batch: &Batch) -> Vec<Vec<usize>> {
    let [_, length] = batch.shape;
    let mut sequences: Vec<Vec<usize>> = Vec::new();
    let mut last = None;
    for (place, &segment) in batch.segments.iter().enumerate() {
        if segment == 0 {
            last = None;
            continue;
        }
        let key = Some((place / length, segment));
        match sequences.last_mut() {
            Some(members) if key == last => members.push(place),
            _ => sequences.push(vec![place]),
        }
        last = key;
    }
    sequences
}

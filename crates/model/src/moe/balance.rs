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

#[cfg(test)]
mod tests {
    use super::balance_loss;
    use crate::Batch;
    use crate::moe::LayerRouting;
    use burn::tensor::{Tensor, TensorData};
    use ruminate_testkit as testkit;

    /// Scores `[N, E]` that differ everywhere, and the two first experts of a place that moves through them.
    fn routing(places: std::ops::Range<usize>, n_experts: usize) -> LayerRouting {
        let count = places.len();
        let (mut experts, mut scores) = (Vec::new(), Vec::new());
        for place in places {
            experts.extend([place % n_experts, (place * place + 1) % n_experts].map(|expert| expert as u16));
            scores.extend((0..n_experts).map(|e| 0.1 + ((place * 7 + e * 3) % 11) as f32 / 11.0));
        }
        let scores = Tensor::from_data(TensorData::new(scores, [count, n_experts]), &testkit::device());
        LayerRouting { experts, scores }
    }

    fn joined(parts: &[LayerRouting]) -> LayerRouting {
        LayerRouting {
            experts: parts.iter().flat_map(|part| part.experts.clone()).collect(),
            scores: Tensor::cat(parts.iter().map(|part| part.scores.clone()).collect(), 0),
        }
    }

    fn loss(routing: &LayerRouting, batch: &Batch) -> f32 {
        testkit::floats(balance_loss(routing, batch))[0]
    }

    #[test]
    fn perfect_balance_is_one_and_collapse_is_the_number_of_experts_over_the_chosen() {
        let batch = Batch::from_rows(&[vec![1_u32; 4]]);
        let even = LayerRouting {
            experts: vec![0, 1, 2, 3, 0, 1, 2, 3],
            scores: Tensor::full([4, 4], 0.3, &testkit::device()),
        };
        assert!((loss(&even, &batch) - 1.0).abs() < 1e-6);

        let certain = [[0.5_f32, 0.5, 0.0, 0.0]; 4];
        let collapsed = LayerRouting {
            experts: vec![0, 1, 0, 1, 0, 1, 0, 1],
            scores: Tensor::from_floats(certain, &testkit::device()),
        };
        assert!((loss(&collapsed, &batch) - 2.0).abs() < 1e-6);
    }

    #[test]
    fn padding_counts_for_nothing() {
        let alone = loss(&routing(0..5, 4), &Batch::from_rows(&[vec![1_u32; 5]]));
        let mut padded = Batch::from_rows(&[vec![1_u32; 8]]);
        padded.segments[5..].fill(0);
        let filled = joined(&[routing(0..5, 4), routing(20..23, 4)]);
        assert!((loss(&filled, &padded) - alone).abs() < 1e-6);

        let nothing = Batch { segments: vec![0; 8], ..padded };
        assert_eq!(loss(&filled, &nothing), 0.0);
    }

    #[test]
    fn packing_changes_nothing() {
        let (first, second) = (routing(0..5, 4), routing(5..8, 4));
        // Two rows of one sequence each; the second row has two places of padding.
        let rows = Batch::from_rows(&[vec![1_u32; 5], vec![1; 3]]);
        let apart = loss(&joined(&[first.clone(), second.clone(), routing(30..32, 4)]), &rows);
        let one_row = Batch {
            tokens: vec![1; 8],
            positions: (0..5).chain(0..3).collect(),
            segments: [vec![1; 5], vec![2; 3]].concat(),
            trees: [vec![1; 5], vec![2; 3]].concat(),
            shape: [1, 8],
        };
        let packed = loss(&joined(&[first.clone(), second.clone()]), &one_row);
        assert!((packed - apart).abs() < 1e-6, "{packed} {apart}");

        let single = |routing, length| loss(routing, &Batch::from_rows(&[vec![1_u32; length]]));
        let mean = f32::midpoint(single(&first, 5), single(&second, 3));
        assert!((packed - mean).abs() < 1e-6, "{packed} {mean}");
    }
}

//! How many tokens each expert received, padding left out: what moves the router biases, and the alarm of a
//! collapsed router.

use ruminate_model::{Batch, LayerRouting};

/// Tokens by expert, one entry a MoE layer, summed over the microbatches of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpertLoad {
    /// `[moe layers][experts]`
    pub layers: Vec<Vec<u64>>,
}

impl ExpertLoad {
    /// Counts the routing of one batch in.
    pub fn add(&mut self, routing: &[LayerRouting], batch: &Batch) {
        self.layers.resize(routing.len(), Vec::new());
        for (load, layer) in self.layers.iter_mut().zip(routing) {
            let [places, n_experts] = layer.scores.dims();
            load.resize(n_experts, 0);
            let chosen = layer.experts.len() / places;
            for (experts, &segment) in layer.experts.chunks_exact(chosen).zip(&batch.segments) {
                if segment != 0 {
                    for &expert in experts {
                        load[usize::from(expert)] += 1;
                    }
                }
            }
        }
    }

    /// Adds what another microbatch counted.
    pub fn merge(&mut self, other: &Self) {
        self.layers.resize(self.layers.len().max(other.layers.len()), Vec::new());
        for (load, others) in self.layers.iter_mut().zip(&other.layers) {
            load.resize(load.len().max(others.len()), 0);
            for (tokens, more) in load.iter_mut().zip(others) {
                *tokens += more;
            }
        }
    }

    /// The largest load of an expert over the mean load of its layer, the worst layer's: 1 is perfect balance, the
    /// number of experts over the chosen a token is collapse. None without a MoE layer.
    pub fn max_over_mean(&self) -> Option<f64> {
        let ratio = |load: &Vec<u64>| {
            let total = load.iter().sum::<u64>();
            let largest = load.iter().max().copied().unwrap_or(0);
            if total == 0 { 1.0 } else { (largest * load.len() as u64) as f64 / total as f64 }
        };
        self.layers.iter().map(ratio).reduce(f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::ExpertLoad;
    use burn::tensor::Tensor;
    use ruminate_model::{Batch, LayerRouting};

    #[test]
    fn padding_counts_for_nothing_and_batches_add_up() {
        let scores = Tensor::<2>::zeros([3, 4], &ruminate_testkit::device());
        let routing = [LayerRouting { experts: vec![0, 1, 0, 2, 3, 3], scores }];
        let mut batch = Batch::from_rows(&[vec![7_u32, 8, 9]]);
        batch.segments[2] = 0;
        let mut load = ExpertLoad::default();
        load.add(&routing, &batch);
        let mut sum = ExpertLoad::default();
        sum.merge(&load);
        load.add(&routing, &batch);
        sum.merge(&sum.clone());
        assert_eq!(sum, load);
        assert_eq!(load.layers, [vec![4, 2, 2, 0]]);
        assert_eq!(load.max_over_mean(), Some(2.0));
        assert_eq!(ExpertLoad::default().max_over_mean(), None);
    }
}

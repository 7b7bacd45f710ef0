//! Reads from the device to the host. Each waits for everything that the device still has to compute, so that they are all
//! here, counted by what is read.

use burn::tensor::{Int, Tensor};
use std::fmt::{self, Display, Formatter};
use std::sync::atomic::{AtomicU64, Ordering};

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Logits that tokens are drawn from.
    Logits,
    /// A router's scores, which experts are chosen by.
    RouterScores,
    /// A router's balancing bias.
    RouterBias,
    /// Log-probabilities of tokens that are there.
    Logprobs,
    /// The value of a loss, or of a part of one.
    Loss,
    /// What is only reported.
    Statistics,
    /// The norm of a gradient.
    GradientNorm,
    /// Weights and an optimizer's state, to be saved or packed.
    Weights,
}

impl Place {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::Logits,
        Self::RouterScores,
        Self::RouterBias,
        Self::Logprobs,
        Self::Loss,
        Self::Statistics,
        Self::GradientNorm,
        Self::Weights,
    ];
}

impl Display for Place {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Logits => "logits",
            Self::RouterScores => "router_scores",
            Self::RouterBias => "router_bias",
            Self::Logprobs => "logprobs",
            Self::Loss => "loss",
            Self::Statistics => "statistics",
            Self::GradientNorm => "gradient_norm",
            Self::Weights => "weights",
        })
    }
}

static COUNTS: [AtomicU64; Place::ALL.len()] = [const { AtomicU64::new(0) }; Place::ALL.len()];

/// How often each thing was read by this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads([u64; Place::ALL.len()]);

impl Reads {
    /// Up to now.
    pub fn so_far() -> Self {
        Self(std::array::from_fn(|at| COUNTS[at].load(Ordering::Relaxed)))
    }

    /// Those since an earlier time.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] - earlier.0[at]))
    }

    /// How often one thing was read.
    pub fn of(&self, what: Place) -> u64 {
        self.0[what as usize]
    }

    /// All of them together.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// The numbers of a tensor, in row-major order, as f32. A tensor that is tracked is read without its graph.
///
/// # Panics
/// When the device fails.
pub fn floats<const D: usize>(tensor: Tensor<D>, what: Place) -> Vec<f32> {
    COUNTS[what as usize].fetch_add(1, Ordering::Relaxed);
    tensor.detach().try_into_vec_as::<f32>().expect("a float tensor reads as f32")
}

/// The whole numbers of a tensor, in row-major order.
///
/// # Panics
/// When the device fails.
pub fn ints<const D: usize>(tensor: Tensor<D, Int>, what: Place) -> Vec<i32> {
    COUNTS[what as usize].fetch_add(1, Ordering::Relaxed);
    tensor.try_into_vec_as::<i32>().expect("an integer tensor reads as i32")
}

/// The number of a tensor of one.
///
/// # Panics
/// When there is another count of numbers, or the device fails.
pub fn scalar<const D: usize>(tensor: Tensor<D>, what: Place) -> f64 {
    let values = floats(tensor, what);
    assert_eq!(values.len(), 1, "a tensor of one number");
    f64::from(values[0])
}

#[cfg(test)]
mod tests {
    use super::{Place, Reads, floats, scalar};
    use burn::tensor::Tensor;
    use ruminate_testkit as testkit;

    #[test]
    fn what_is_read_is_what_is_there_and_is_counted_by_what_it_is() {
        let before = Reads::so_far();
        let tensor = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, -4.5]], &testkit::autodiff_device());
        assert_eq!(floats(tensor.clone().require_grad(), Place::Weights), [1.0, 2.0, 3.0, -4.5]);
        assert!((scalar(tensor.sum(), Place::Weights) - 1.5).abs() < 1e-12);
        let reads = Reads::so_far().since(&before);
        assert!(reads.of(Place::Weights) >= 2 && reads.total() >= 2, "{reads:?}");
        assert_eq!(Place::ALL.map(|read| read as usize), [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}

//! Gradients by Hugging Face name, summed over microbatches. It refuses to know what is done with them.

use crate::config::RouterTraining;
use crate::tracked_loss::Objective;
use burn::tensor::Tensor;
use ruminate_kernels::read::{Place, floats, scalar};
use ruminate_kernels::sum_of_squares;
use ruminate_model::{Decoder, ParameterVisitor};
use std::collections::BTreeMap;

/// The summed gradients of one optimizer step, and the summed loss.
///
/// Tensors are flat (`[n]`, on the device without autodiff): the optimizer treats every element alike, and one
/// contiguous copy of a transposed gradient costs less than walking it with strides in every operation.
#[derive(Clone, Debug, Default)]
pub struct Gradients {
    pub(crate) by_name: BTreeMap<String, Tensor<1>>,
    /// `[1]` each, without a graph; they are read when their sum is asked for.
    losses: Vec<Tensor<1>>,
    router: RouterTraining,
}

impl Gradients {
    /// None yet. A frozen router's weights will be left out.
    pub fn new(router: RouterTraining) -> Self {
        Self { router, ..Self::default() }
    }

    /// Computes the gradients of a loss of `decoder` and adds them. Nothing is read from the device.
    ///
    /// For a mean over several microbatches divide each loss by the count of all of them beforehand.
    pub fn backward(&mut self, decoder: &Decoder, objective: impl Into<Objective>) {
        let Objective { loss, checkpoints } = objective.into();
        self.losses.push(loss.clone().inner());
        let mut add = |computed: &mut burn::tensor::Gradients| {
            decoder.visit_parameters(&mut Add { computed, sum: self });
        };
        match checkpoints {
            None => add(&mut loss.backward()),
            Some(checkpoints) => checkpoints.backward(decoder, &loss, add),
        }
    }

    /// Adds what another microbatch gave.
    pub fn merge(&mut self, other: Self) {
        self.losses.extend(other.losses);
        for (name, gradient) in other.by_name {
            self.insert(name, gradient);
        }
    }

    fn insert(&mut self, name: String, gradient: Tensor<1>) {
        let sum = match self.by_name.remove(&name) {
            Some(sum) => sum + gradient,
            None => gradient,
        };
        self.by_name.insert(name, sum);
    }

    /// The sum of the losses so far. Reads them from the device, all at once.
    pub fn loss(&self) -> f64 {
        sum_of(&self.losses)
    }

    /// Whether no parameter has a gradient.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The norm over all elements of all gradients.
    pub fn norm(&self) -> f64 {
        let squares: Vec<Tensor<1>> = self.by_name.values().cloned().map(sum_of_squares).collect();
        if squares.is_empty() {
            return 0.0;
        }
        scalar(Tensor::cat(squares, 0).sum_dim(0).sqrt(), Place::GradientNorm)
    }
}

/// The sum of tensors `[1]`, in f64 and in their order; reads them from the device, all at once.
pub(crate) fn sum_of(values: &[Tensor<1>]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    floats(Tensor::cat(values.to_vec(), 0), Place::Loss).into_iter().map(f64::from).sum()
}

struct Add<'a> {
    computed: &'a mut burn::tensor::Gradients,
    sum: &'a mut Gradients,
}

impl ParameterVisitor for Add<'_> {
    fn visit<const D: usize>(&mut self, name: &str, tensor: &Tensor<D>, _: bool) {
        if self.sum.router == RouterTraining::Freeze && name.ends_with(".mlp.gate.weight") {
            return;
        }
        // What took no part in the loss, or wants no gradient, has none.
        let Some(gradient) = tensor.grad_remove(self.computed) else { return };
        self.sum.insert(name.to_owned(), gradient.flatten::<1>(0, D - 1));
    }
}

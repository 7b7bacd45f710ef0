//! AdamW as an operation of the backends that have it fused.

use super::{AdamWState, AdamWStep, flex};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

/// The fused operations, of backends that have them.
#[backend_extension(Flex)]
pub(crate) trait OptimizerOps: Backend {
    /// Parameter, mean and square after one update; all `[n]`.
    fn adamw(
        parameter: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        square: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        step: AdamWStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// `[n]` -> `[1]`
    fn sum_of_squares(values: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl OptimizerOps for Flex {
    fn adamw(
        parameter: FlexTensor,
        mean: FlexTensor,
        square: FlexTensor,
        gradient: FlexTensor,
        step: AdamWStep,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        flex::adamw(parameter, mean, square, &gradient, step)
    }

    fn sum_of_squares(values: FlexTensor) -> FlexTensor {
        flex::sum_of_squares(&values)
    }
}

/// The fused form on tensors.
pub(super) fn fused(state: AdamWState, gradient: Tensor<1>, step: AdamWStep) -> AdamWState {
    let (parameter, mean, square) = Dispatch::adamw(
        state.parameter.into_dispatch(),
        state.mean.into_dispatch(),
        state.square.into_dispatch(),
        gradient.into_dispatch(),
        step,
    );
    AdamWState {
        parameter: Tensor::from_dispatch(parameter),
        mean: Tensor::from_dispatch(mean),
        square: Tensor::from_dispatch(square),
    }
}

/// The fused form on tensors.
pub(super) fn sum_of_squares(values: Tensor<1>) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::sum_of_squares(values.into_dispatch()))
}

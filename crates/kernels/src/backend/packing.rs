//! Weights in a backend's own layout, made once for many products. No gradient flows through them.

// N rows, D inner dimension, O outputs, K chosen experts per token

use super::dispatch::backend_of;
use crate::experts::{ExpertWeights, Permutation};
use crate::prepared::Precision;
use burn::backend::DispatchDevice;
use burn::tensor::Tensor;
use std::fmt::Debug;
use std::sync::Arc;

/// A weight `[O, D]`, or several stacked.
pub(crate) trait PackedWeight: Debug + Send + Sync {
    /// `x W^T`: `[N, D]` -> `[N, O]`
    fn times(&self, x: Tensor<2>) -> Tensor<2>;
}

/// The weights of all experts of a layer.
pub(crate) trait PackedExperts: Debug + Send + Sync {
    /// As [`experts`](crate::experts()): `x` `[N, D]`, `route_weights` `[N, K]` -> `[N, D]`
    fn forward(&self, x: Tensor<2>, permutation: &Permutation, route_weights: Tensor<2>) -> Tensor<2>;
}

/// A backend that packs weights.
pub(crate) trait Packing {
    /// Whether it does. Where it does not, weights stay as they are, and nothing else here is called.
    const FUSED: bool = true;

    /// Packs weights `[O_i, D]` as one, whose outputs follow each other.
    fn pack_weight(weights: Vec<Tensor<2>>, precision: Precision) -> Arc<dyn PackedWeight>;

    /// Packs the weights of a layer's experts.
    fn pack_experts(weights: ExpertWeights, precision: Precision) -> Arc<dyn PackedExperts>;
}

/// `packs_nothing!(Backend)`: weights stay as they are there, and moments in 8 bits are updated by reference.
#[cfg(any(feature = "cube", all(test, feature = "second-backend")))] // the partial backends
macro_rules! packs_nothing {
    ($backend:ident) => {
        impl $crate::backend::Packing for $backend {
            const FUSED: bool = false;

            fn pack_weight(
                _: Vec<burn::tensor::Tensor<2>>,
                _: $crate::prepared::Precision,
            ) -> std::sync::Arc<dyn $crate::backend::PackedWeight> {
                unreachable!("this backend packs nothing")
            }

            fn pack_experts(
                _: $crate::experts::ExpertWeights,
                _: $crate::prepared::Precision,
            ) -> std::sync::Arc<dyn $crate::backend::PackedExperts> {
                unreachable!("this backend packs nothing")
            }
        }

        impl $crate::backend::Int8Moments for $backend {
            fn adamw_int8(
                _: $crate::adamw_int8::AdamWInt8State,
                _: burn::tensor::Tensor<1>,
                _: $crate::adamw::AdamWStep,
            ) -> $crate::adamw_int8::AdamWInt8State {
                unreachable!("where nothing is packed, moments are updated by reference")
            }
        }
    };
}
#[cfg(any(feature = "cube", all(test, feature = "second-backend")))]
pub(crate) use packs_nothing;

/// Packs weights in the layout of the backend that they are on, which has fused forms.
pub(crate) fn pack_weight(weights: Vec<Tensor<2>>, precision: Precision) -> Arc<dyn PackedWeight> {
    let device = weights.first().expect("a weight").device();
    with_backends!(pack_with! { backend_of(&device), pack_weight(weights, precision) })
}

/// As [`pack_weight`].
pub(crate) fn pack_experts(weights: ExpertWeights, precision: Precision) -> Arc<dyn PackedExperts> {
    let device = weights.down.device();
    with_backends!(pack_with! { backend_of(&device), pack_experts(weights, precision) })
}

/// Calls a function of the [`Packing`] of a device's backend.
macro_rules! pack_with {
    (
        [$($(#[cfg $condition:tt])? $backend:ident),+]
        { $device:expr, $function:ident $arguments:tt }
    ) => {
        match $device {
            $(
                $(#[cfg $condition])?
                DispatchDevice::$backend(_) => <burn::backend::$backend as Packing>::$function $arguments,
            )+
            #[allow(unreachable_patterns, reason = "reachable when another backend is compiled in")]
            device => unreachable!("{device:?} has no fused forms"),
        }
    };
}
pub(crate) use pack_with;

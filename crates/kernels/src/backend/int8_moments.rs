//! AdamW on moments in 8 bits as a backend computes it. It has no gradient, and takes whole numbers beside floats.

// n elements of one parameter

use super::dispatch::backend_of;
use crate::adamw::AdamWStep;
use crate::adamw_int8::AdamWInt8State;
use burn::backend::DispatchDevice;
use burn::tensor::Tensor;

/// A backend that updates moments in 8 bits.
pub(crate) trait Int8Moments {
    /// As [`adamw_int8`](crate::adamw_int8()), with a gradient `[n]`. A tensor that nothing else holds may be written
    /// in place.
    fn adamw_int8(state: AdamWInt8State, gradient: Tensor<1>, step: AdamWStep) -> AdamWInt8State;
}

/// The update of the backend that the tensors are on, which has fused forms.
pub(crate) fn adamw_int8_of_backend(
    state: AdamWInt8State,
    gradient: Tensor<1>,
    step: AdamWStep,
) -> AdamWInt8State {
    let device = gradient.device();
    with_backends!(update_with! { backend_of(&device), adamw_int8(state, gradient, step) })
}

/// Calls a function of the [`Int8Moments`] of a device's backend.
macro_rules! update_with {
    (
        [$($(#[cfg $condition:tt])? $backend:ident),+]
        { $device:expr, $function:ident $arguments:tt }
    ) => {
        match $device {
            $(
                $(#[cfg $condition])?
                DispatchDevice::$backend(_) => <burn::backend::$backend as Int8Moments>::$function $arguments,
            )+
            #[allow(unreachable_patterns, reason = "reachable when another backend is compiled in")]
            device => unreachable!("{device:?} has no fused forms"),
        }
    };
}
pub(crate) use update_with;

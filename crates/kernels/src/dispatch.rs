//! The one place that decides which form of an operation runs.

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Tensor};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the process wants no fused form.
static FUSED_DISABLED: AtomicBool = AtomicBool::new(false);

/// Computes with the compositions of Burn operations from now on, in the whole process: for a program that measures what
/// the fused forms are worth, or looks for a fault in them. To be called before the first tensor is made.
pub fn disable_fused() {
    FUSED_DISABLED.store(true, Ordering::Relaxed);
}

/// The forms that an operation can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Compositions of Burn operations: any backend, any float, Burn's own backward.
    Reference,
    /// Fused loops on the CPU with a backward by hand; f32.
    Flex,
}

/// The form for tensors like this one.
pub(crate) fn form<const D: usize>(tensor: &Tensor<D>) -> Form {
    let device = tensor.device();
    let flex = match device.as_dispatch() {
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Autodiff(device) => matches!(**device, DispatchDevice::Flex(_)),
        #[allow(unreachable_patterns, reason = "reachable when another backend is compiled in")]
        _ => false,
    };
    let fused = flex && tensor.dtype() == DType::F32 && !FUSED_DISABLED.load(Ordering::Relaxed);
    if fused { Form::Flex } else { Form::Reference }
}

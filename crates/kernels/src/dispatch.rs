//! The one place that decides which form of an operation runs.

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Tensor};

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
    if flex && tensor.dtype() == DType::F32 { Form::Flex } else { Form::Reference }
}

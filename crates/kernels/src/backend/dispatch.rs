//! The one place that decides which form of an operation runs.

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, Tensor};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether fused forms are turned off in this process.
static FUSED_DISABLED: AtomicBool = AtomicBool::new(false);

/// Turns fused forms off in the whole process: from now on operations are compositions of Burn operations. For a
/// program that measures what the fused forms are worth, or looks for a fault in them. To be called before the first
/// tensor is made.
pub fn disable_fused() {
    FUSED_DISABLED.store(true, Ordering::Relaxed);
}

/// The forms that an operation can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A composition of Burn operations: any backend, any float, Burn's own backward.
    Reference,
    /// Code of the tensors' backend with a backward by hand; f32, and bfloat16 where products take it.
    Fused,
}

/// The form for tensors like this one.
pub(crate) fn form<const D: usize>(tensor: &Tensor<D>) -> Form {
    form_of(tensor, &[DType::F32])
}

/// The form of an operation whose products take the dtype of this operand.
pub(crate) fn form_of_products<const D: usize>(operand: &Tensor<D>) -> Form {
    form_of(operand, &[DType::F32, DType::BF16])
}

fn form_of<const D: usize>(tensor: &Tensor<D>, dtypes: &[DType]) -> Form {
    let fused = dtypes.contains(&tensor.dtype())
        && !FUSED_DISABLED.load(Ordering::Relaxed)
        && with_backends!(is_one_of! { backend_of(&tensor.device()) });
    if fused { Form::Fused } else { Form::Reference }
}

/// The device without autodiff.
pub(super) fn backend_of(device: &Device) -> &DispatchDevice {
    let device = device.as_dispatch();
    if let DispatchDevice::Autodiff(device) = device { device } else { device }
}

/// Whether a device is one of the backends.
macro_rules! is_one_of {
    ([$($(#[cfg $condition:tt])? $backend:ident),+] { $device:expr }) => {
        match $device {
            $($(#[cfg $condition])? DispatchDevice::$backend(_) => true,)+
            #[allow(unreachable_patterns, reason = "reachable when another backend is compiled in")]
            _ => false,
        }
    };
}
pub(crate) use is_one_of;

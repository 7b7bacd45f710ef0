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

/// The form of what is no single operation (packed weights) for tensors like this one. An operation has its own
/// function of that name.
pub(crate) fn form<const D: usize>(tensor: &Tensor<D>) -> Form {
    form_where(tensor, &[DType::F32], |device| with_backends!(is_packing! { device }))
}

/// The fused form for tensors like this one, of one of these dtypes, where it is not turned off and their backend has it.
pub(crate) fn form_where<const D: usize>(
    tensor: &Tensor<D>,
    dtypes: &[DType],
    has_form: impl FnOnce(&DispatchDevice) -> bool,
) -> Form {
    let fused = dtypes.contains(&tensor.dtype())
        && !FUSED_DISABLED.load(Ordering::Relaxed)
        && has_form(backend_of(&tensor.device()));
    if fused { Form::Fused } else { Form::Reference }
}

/// The device without autodiff.
pub(super) fn backend_of(device: &Device) -> &DispatchDevice {
    let device = device.as_dispatch();
    if let DispatchDevice::Autodiff(device) = device { device } else { device }
}

/// Whether the backend of a device packs weights.
macro_rules! is_packing {
    ([$($(#[cfg $condition:tt])? $backend:ident),+] { $device:expr }) => {
        match $device {
            $(
                $(#[cfg $condition])?
                DispatchDevice::$backend(_) => <burn::backend::$backend as $crate::backend::Packing>::FUSED,
            )+
            #[allow(unreachable_patterns, reason = "reachable when another backend is compiled in")]
            _ => false,
        }
    };
}
pub(crate) use is_packing;

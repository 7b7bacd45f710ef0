//! Devices by way of wgpu: opened once a process, named on standard error, never exchanged for another graphics API
//! than the one that was asked for.

use super::Device;
use crate::error::Refusal;
use anyhow::Result;
use burn::tensor::wgpu::WgpuBackend;
use burn::tensor::{Device as BurnDevice, DeviceKind};
use std::sync::{Mutex, PoisonError};

/// wgpu refuses to set up a device twice, and a command of several stages opens its device in each.
static OPENED: Mutex<Vec<(Device, BurnDevice)>> = Mutex::new(Vec::new());

/// Sets the device up, or returns it when this process has.
///
/// # Errors
/// [`Refusal::usage`] when no driver of that graphics API offers such a device.
pub(super) fn open(name: Device, api: WgpuBackend, index: Option<usize>) -> Result<BurnDevice> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, device)) = opened.iter().find(|(known, _)| *known == name) {
        return Ok(device.clone());
    }
    let kind = index.map_or(DeviceKind::DefaultDevice, DeviceKind::DiscreteGpu);
    let (device, setup) =
        BurnDevice::wgpu_options().device_kind(kind).graphics_api(api).init_with_setup().map_err(|error| {
            Refusal::usage(format!(
                "--device {name}: {error}; install a driver (Debian and Ubuntu: mesa-vulkan-drivers, which also \
                 computes on the CPU), or use `--device flex`"
            ))
        })?;
    let adapter = setup.adapter.get_info();
    notice!("device {name}: {} ({:?}, {:?})", adapter.name, adapter.backend, adapter.device_type);
    opened.push((name, device.clone()));
    Ok(device)
}

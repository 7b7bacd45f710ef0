//! Devices: the one place of the library that names backends.

#[cfg(any(feature = "vulkan", feature = "wgpu"))]
mod wgpu;

use crate::error::Refusal;
use anyhow::Result;
use burn::tensor::Device as BurnDevice;
#[cfg(any(feature = "vulkan", feature = "wgpu"))]
use burn::tensor::wgpu::WgpuBackend;
use std::fmt;
use std::str::FromStr;

/// Where to compute, by the name that people give it: `"cuda:1".parse()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Device {
    /// The CPU, always there.
    #[default]
    Flex,
    /// An NVIDIA GPU by its index.
    Cuda(usize),
    /// A Vulkan device: the best one, or a discrete GPU by its index.
    Vulkan(Option<usize>),
    /// Whatever graphics API the system has.
    Wgpu,
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, index) = match text.split_once(':') {
            None => (text, None),
            Some((kind, index)) => {
                let index = index.parse().map_err(|_| format!("{index:?} is not the number of a device"))?;
                (kind, Some(index))
            }
        };
        match (kind, index) {
            ("flex", None) => Ok(Self::Flex),
            ("cuda", index) => Ok(Self::Cuda(index.unwrap_or(0))),
            ("vulkan", index) => Ok(Self::Vulkan(index)),
            ("wgpu", None) => Ok(Self::Wgpu),
            ("flex" | "wgpu", Some(_)) => Err(format!("`{kind}` takes no number")),
            _ => Err("expected flex, cuda[:N], vulkan[:N] or wgpu".to_owned()),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flex => f.write_str("flex"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Vulkan(None) => f.write_str("vulkan"),
            Self::Vulkan(Some(index)) => write!(f, "vulkan:{index}"),
            Self::Wgpu => f.write_str("wgpu"),
        }
    }
}

impl Device {
    /// The CPU, which every build has.
    pub const fn cpu() -> Self {
        Self::Flex
    }

    /// An NVIDIA GPU by its index, where the feature `cuda` is on.
    pub const fn cuda(index: usize) -> Self {
        Self::Cuda(index)
    }

    /// A Vulkan device, where the feature `vulkan` is on: a discrete GPU by its index, or the best device.
    pub const fn vulkan(index: Option<usize>) -> Self {
        Self::Vulkan(index)
    }

    /// A device of whatever graphics API the system has, where the feature `wgpu` is on.
    pub const fn wgpu() -> Self {
        Self::Wgpu
    }

    /// The device without gradients; `.autodiff()` of it is the one to train on. The CPU computes with as many threads as
    /// [`set_threads`] said before, or one a core.
    ///
    /// # Errors
    /// When this binary was built without the backend, or the machine has no such device.
    pub(crate) fn open(self) -> Result<BurnDevice> {
        match self {
            Self::Flex => {
                set_threads(0);
                Ok(BurnDevice::flex())
            }
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => {
                let found = BurnDevice::enumerate(burn::tensor::DeviceType::Cuda).len();
                if index >= found {
                    return Err(Refusal::usage(format!("{self}: found {found} CUDA devices")));
                }
                Ok(BurnDevice::cuda(index))
            }
            // By way of WGSL: Burn's own SPIR-V crashes Mesa's lavapipe 22.3 and computes wrong numbers on SwiftShader.
            #[cfg(feature = "vulkan")]
            Self::Vulkan(index) => wgpu::open(self, WgpuBackend::Vulkan, index),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => wgpu::open(self, WgpuBackend::Auto, None),
            #[allow(unreachable_patterns, reason = "reachable unless every feature is on")]
            absent => {
                let name = absent.to_string();
                let feature = name.split(':').next().unwrap_or_default();
                Err(Refusal::usage(format!(
                    "--device {name}: this binary was built without that backend; build it with `cargo build \
                     --release -p ruminate-cli --features {feature}`, as `cargo xtask` does by itself"
                )))
            }
        }
    }
}

impl Device {
    /// Microbatches that it pays to compute at the same time: small tensors leave a CPU's cores idle, a GPU's queue
    /// is one.
    pub(crate) fn workers(self, threads: usize) -> usize {
        if self == Self::Flex { threads_in_use(threads) } else { 1 }
    }
}

/// The threads to use where a recipe asks for so many: not more than there are cores, which is told. More would only take
/// turns on them: a thousand threads take a hundred times as long as two.
pub(crate) fn threads(asked: usize) -> usize {
    let cores = threads_in_use(0);
    if asked > cores {
        notice!(
            "warning: `threads` is {asked}, and this machine has {cores} cores for it: {cores} threads are used"
        );
    }
    asked.min(cores)
}

/// What `threads` of a recipe means: 0 is one a core.
fn threads_in_use(threads: usize) -> usize {
    if threads > 0 { threads } else { std::thread::available_parallelism().map_or(1, usize::from) }
}

/// Sets the number of threads that the CPU computes with; 0 leaves it at the number of cores. The first call counts.
///
/// Results do not depend on it. To be called before the first tensor is made, by the thread that will compute: it is one
/// of them. Otherwise every operation that is shared out would wake two others and put this one to sleep, which is
/// hundreds of times a token.
pub(crate) fn set_threads(threads: usize) {
    // A pool that exists already (a second stage in one process) keeps its size.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread().build_global();
}

#[cfg(test)]
mod tests {
    use super::Device;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in ["flex", "cuda:0", "cuda:3", "vulkan", "vulkan:1", "wgpu"] {
            assert_eq!(name.parse::<Device>().map(|device| device.to_string()), Ok(name.to_owned()));
        }
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
        for name in ["tpu", "flex:1", "cuda:x", "cuda:", ""] {
            assert!(name.parse::<Device>().is_err(), "{name}");
        }
    }
}

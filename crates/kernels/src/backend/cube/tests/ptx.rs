//! Every kernel compiled to PTX for Hopper, as the CUDA runtime compiles it, without a device. With the variable
//! `RUMINATE_PTX_DIR` they are written there, for `ptxas`.

use super::super::{adamw, decode, embedding, logprobs, norm, reduce, rope, router, swiglu};
use burn_cubecl::cubecl::ir::features::Features;
use burn_cubecl::cubecl::ir::nvidia::SmArch;
use burn_cubecl::cubecl::ir::{
    AddressType, DeviceIdentity, DeviceProperties, HardwareProperties, MemoryDeviceProperties,
    TargetProperties,
};
use burn_cubecl::cubecl::prelude::{
    BufferCompilationArg, CubeDim, KernelSettings, TensorCompilationArg, TensorMetaCompilationArg, VectorSize,
};
use burn_cubecl::cubecl::profile::TimingMethod;
use burn_cubecl::cubecl::{Compiler, CubeKernel, ExecutionMode};
use cubecl_llvm::nvptx::ptx_version::PtxVersion;
use cubecl_llvm::{LlvmTarget, PlironArtifact, PlironCompiler, PlironOptions};
use std::path::PathBuf;
use std::sync::Arc;

/// Units of a cube, as rows of a thousand columns have them.
const UNITS: usize = 256;
/// CUDA 12.9, whose `ptxas` reads what this version writes.
const DRIVER: i32 = 12_090;

/// What a GPU says of itself that kernels are compiled by: an H200's.
fn properties() -> Arc<DeviceProperties> {
    let hardware = HardwareProperties {
        load_width: 128,
        vector_register_count: None,
        plane_size_min: 32,
        plane_size_max: 32,
        max_bindings: 1024,
        max_shared_memory_size: 227 * 1024,
        max_cube_count: (i32::MAX as u32, u32::from(u16::MAX), u32::from(u16::MAX)),
        max_units_per_cube: 1024,
        max_cube_dim: (1024, 1024, 64),
        num_streaming_multiprocessors: Some(132),
        num_tensor_cores: None,
        min_tensor_cores_dim: None,
        num_cpu_cores: None,
        last_level_cache_size: None,
        max_vector_size: VectorSize::MAX,
        cube_mma_reserved_shared_memory: 0,
    };
    let identity =
        DeviceIdentity { name: "offline".to_owned(), fingerprint: "offline".to_owned(), physical: None };
    Arc::new(DeviceProperties::new(
        Features::default(),
        MemoryDeviceProperties::new(u64::MAX, 256),
        hardware,
        TimingMethod::Device,
        identity,
    ))
}

fn tensor() -> TensorCompilationArg {
    TensorCompilationArg {
        meta: TensorMetaCompilationArg { len: (), rank: () },
        buffer: BufferCompilationArg { inplace: None },
    }
}

/// The PTX of a kernel, and its bytes of shared memory.
fn compiled(kernel: &dyn CubeKernel) -> (String, usize) {
    let options = PlironOptions {
        sm_arch: Some(SmArch::new(90, true)),
        ptx_version: PtxVersion::for_driver(DRIVER),
        grid_constants: true,
        ..PlironOptions::default()
    };
    let mut compiler = PlironCompiler { target: LlvmTarget::Nvptx };
    let artifact = compiler.compile(kernel.define(), &options).expect("a kernel of ours compiles");
    let PlironArtifact::NvptxCode(module) = artifact else { panic!("NVPTX gives PTX") };
    let text = module.ptx.iter().map(|&byte| byte as u8).take_while(|&byte| byte != 0).collect();
    (String::from_utf8(text).expect("PTX is ASCII"), module.shared_memory_size)
}

/// A kernel by name, from its type and its arguments after those of the device: tensors, numbers (`()`), constants.
macro_rules! kernels {
    ($($module:ident::$function:ident::$kernel:ident($($argument:expr),*)),+ $(,)?) => {
        vec![$((
            stringify!($function),
            Box::new($module::$function::$kernel::new(
                KernelSettings::new(*CubeDim::new_1d(UNITS as u32), ExecutionMode::Checked, AddressType::U32),
                properties(),
                Arc::new(TargetProperties::default()),
                $($argument),*
            )) as Box<dyn CubeKernel>,
        )),+]
    };
}

fn kernels() -> Vec<(&'static str, Box<dyn CubeKernel>)> {
    let t = tensor;
    kernels![
        norm::rms_norm::RmsNorm(t(), t(), t(), t(), (), UNITS),
        norm::rms_norm_backward::RmsNormBackward(t(), t(), t(), t(), t(), t(), UNITS),
        reduce::column_sums::ColumnSums(t(), t()),
        swiglu::swiglu::Swiglu(t(), t(), t()),
        swiglu::swiglu_backward::SwigluBackward(t(), t(), t(), t(), t()),
        rope::rope::Rope(t(), t(), t(), t(), (), (), (), (), ()),
        embedding::embedding::Embedding(t(), t(), t()),
        embedding::embedding_backward::EmbeddingBackward(t(), t(), t(), t(), t()),
        router::router_scores::RouterScores(t(), t(), t(), UNITS, true),
        router::router_scores_backward::RouterScoresBackward(t(), t(), t(), UNITS, true),
        router::route_weights::RouteWeights(t(), t(), t(), (), (), true),
        router::route_weights_backward::RouteWeightsBackward(t(), t(), t(), t(), (), (), true),
        logprobs::statistics::Statistics(t(), t(), t(), t(), (), (), UNITS),
        logprobs::logit_gradients::LogitGradients(t(), t(), t(), t(), (), (), UNITS),
        decode::decode_attention::DecodeAttention(
            t(),
            t(),
            t(),
            t(),
            t(),
            t(),
            t(),
            (),
            UNITS,
            64,
            64,
            false
        ),
        adamw::adamw::Adamw(t(), t(), t(), t(), (), (), (), (), (), (), (), ()),
    ]
}

#[test]
fn every_kernel_compiles_for_hopper_and_keeps_nothing_in_local_memory() {
    if std::env::var_os("CUDA_PATH").is_none() {
        eprintln!("SKIPPED: exp and ln of PTX are in libdevice; CUDA_PATH names no toolkit");
        return;
    }
    let folder = std::env::var_os("RUMINATE_PTX_DIR").map(PathBuf::from);
    for (name, kernel) in kernels() {
        let (ptx, shared) = compiled(kernel.as_ref());
        assert!(ptx.contains(".target sm_90a"), "{name}:\n{ptx}");
        assert!(!ptx.contains("ld.local") && !ptx.contains("st.local"), "{name}:\n{ptx}");
        assert!(shared <= 4 * (2 * UNITS + 128), "{name}: {shared} bytes of shared memory");
        if let Some(folder) = &folder {
            std::fs::write(folder.join(name).with_extension("ptx"), ptx).expect("a folder to write to");
        }
    }
}

//! `bench ceiling`: what this machine can do at most, to hold the other benches against. No kernel of
//! ours is in it: a large product of matrices and one pass over memory bound them all.

use crate::device::Device;
use anyhow::Result;
use burn::tensor::{Device as BurnDevice, Distribution, Tensor};
use rayon::prelude::*;
use ruminate_model::read::{self, Place};
use serde::Serialize;
use std::hint::black_box;
use std::time::Instant;

/// Rows and columns of the multiplied matrices: 48 MiB together, and enough arithmetic to hide their reading.
const SIDE: usize = 2048;

/// Bytes that are read, far beyond any cache.
const READ: usize = 256 << 20;

/// Timed repetitions, of which the best counts: a ceiling is what was reached once.
const REPEATS: usize = 12;

/// What the machine can do at most.
#[derive(Serialize)]
pub(super) struct Ceiling {
    product_gflops: f64,
    read_gb_s: f64,
    threads: usize,
    device: String,
    dtype: &'static str,
}

pub(super) fn measure(on: Device) -> Result<Ceiling> {
    let device = on.open()?;
    Ok(Ceiling {
        product_gflops: product(&device),
        read_gb_s: match on {
            Device::Flex => read_host(),
            _ => read_device(&device),
        },
        threads: rayon::current_num_threads(),
        device: on.to_string(),
        dtype: "float32",
    })
}

/// GFLOP/s of the library's product of square matrices.
fn product(device: &BurnDevice) -> f64 {
    let [a, b] =
        [(); 2].map(|()| Tensor::<2>::random([SIDE, SIDE], Distribution::Uniform(-1.0, 1.0), device));
    let flop = 2.0 * (SIDE as f64).powi(3);
    flop / best(|| {
        let product = a.clone().matmul(b.clone());
        // A number on the host: the device has computed.
        read::scalar(product.slice([0..1, 0..1]), Place::Statistics)
    }) / 1e9
}

/// GB/s at which all threads together read the host's memory.
fn read_host() -> f64 {
    let words: Vec<u64> = (0..READ as u64 / 8).into_par_iter().collect();
    let sum = |part: &[u64]| part.iter().fold(0_u64, |sum, word| sum.wrapping_add(*word));
    let seconds = best(|| words.par_chunks(1 << 17).map(sum).reduce(|| 0, u64::wrapping_add));
    READ as f64 / seconds / 1e9
}

/// GB/s at which a device reads its own memory to sum it.
fn read_device(device: &BurnDevice) -> f64 {
    let values = Tensor::<1>::ones([READ / 4], device);
    READ as f64 / best(|| read::scalar(values.clone().sum(), Place::Statistics)) / 1e9
}

/// The least seconds of a call, after one that is not counted.
fn best<T>(mut call: impl FnMut() -> T) -> f64 {
    black_box(call());
    let mut least = f64::INFINITY;
    for _ in 0..REPEATS {
        let start = Instant::now();
        black_box(call());
        least = least.min(start.elapsed().as_secs_f64());
    }
    least
}

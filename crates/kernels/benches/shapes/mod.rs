//! The sizes that all benches of this crate are run at, those of three models, and what they share. A bench is named
//! `operation/form/shape`, where the form is `fused` or `composed`; its throughput counts operations (`Elements`, so
//! that criterion's Gelem/s are GFLOP/s) or bytes moved at the least. `cargo xtask benchmarks` reads both.

#![allow(dead_code, reason = "each bench takes its part")]

use burn::tensor::{Device, Distribution, Tensor};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use std::time::Duration;

/// A model's sizes, and a batch that it learns from.
#[derive(Clone, Copy)]
pub(crate) struct Model {
    pub(crate) name: &'static str,
    /// Sequences and their tokens.
    pub(crate) batch: usize,
    pub(crate) tokens: usize,
    pub(crate) width: usize,
    pub(crate) heads: usize,
    /// Of queries and keys: the rotary part comes last.
    pub(crate) head_width: usize,
    pub(crate) rotary: usize,
    /// Of the widest feed-forward layer.
    pub(crate) inner: usize,
    pub(crate) vocabulary: usize,
}

/// The policy of `recipes/default.toml`, and a minibatch of its GRPO.
pub(crate) const EMBEDDED_DEFAULT: Model = Model {
    name: "default",
    batch: 256,
    tokens: 32,
    width: 96,
    heads: 4,
    head_width: 32,
    rotary: 16,
    inner: 192,
    vocabulary: 105,
};

/// `bench/smollm2-135m`
pub(crate) const SMOLLM2: Model = Model {
    name: "SmolLM2",
    batch: 8,
    tokens: 128,
    width: 576,
    heads: 9,
    head_width: 64,
    rotary: 64,
    inner: 1536,
    vocabulary: 49_152,
};

/// `bench/moe-27m`
pub(crate) const MOE_27M: Model = Model {
    name: "moe-27m",
    batch: 16,
    tokens: 128,
    width: 256,
    heads: 4,
    head_width: 48,
    rotary: 16,
    inner: 768,
    vocabulary: 4096,
};

pub(crate) const MODELS: [Model; 3] = [EMBEDDED_DEFAULT, SMOLLM2, MOE_27M];

impl Model {
    /// Tokens of the whole batch.
    pub(crate) fn rows(&self) -> usize {
        self.batch * self.tokens
    }

    /// `SmolLM2 8 x 128`
    pub(crate) fn shape(&self) -> String {
        format!("{} {} x {}", self.name, self.batch, self.tokens)
    }
}

/// Short runs: the ratios that matter here are far above a percent.
pub(crate) fn short() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .nresamples(2000)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(700))
}

/// One bench. On the CPU the result is there when the call returns.
pub(crate) fn bench<T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    form: &str,
    shape: &str,
    throughput: Throughput,
    call: impl FnMut() -> T,
) {
    let mut call = call;
    group.throughput(throughput);
    group.bench_function(BenchmarkId::new(form, shape), |bencher| bencher.iter(&mut call));
}

pub(crate) fn flop(count: usize) -> Throughput {
    Throughput::Elements(count as u64)
}

/// Bytes of so many f32.
pub(crate) fn floats(count: usize) -> Throughput {
    Throughput::Bytes(4 * count as u64)
}

pub(crate) fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), device)
}

//! How much memory a training step will take, before any is taken: from the architecture and the shape of its
//! microbatches. An estimate for people, of f32 on the fused forms; it refuses nothing.

use crate::Config;
use ruminate_model::Config as Model;
use std::fmt;

/// What a step computes at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Places of a microbatch, padding included.
    pub tokens: usize,
    /// Those of them that predict a token with loss.
    pub loss_tokens: usize,
    /// Microbatches of a step.
    pub microbatches: usize,
}

/// Bytes by what holds them. Not all are held at the same moment: [`MemoryPlan::peak`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Parameters.
    pub weights: u64,
    /// AdamW's two moments of each.
    pub moments: u64,
    /// Sums over the microbatches, where there are several.
    pub sums: u64,
    /// Gradients of the microbatches that are computed at the same time.
    pub gradients: u64,
    /// What their forward passes keep.
    pub activations: u64,
    /// The logits of a chunk, and the gradients of the output head and the embedding, which come first and last.
    pub head: u64,
    /// Caches of decoding.
    pub caches: u64,
}

/// The program, its tokenizer and its threads.
const PROGRAM: u64 = 64 << 20;

/// Logits that are in memory at once.
const LOGITS: u64 = 64 << 20;

/// The plan of a trainer's steps.
pub fn memory_plan(model: &Model, shape: Shape, config: &Config) -> MemoryPlan {
    let bytes = |numbers: usize| 4 * numbers as u64;
    let weights = bytes(model.parameters().all);
    let width = model.hidden_size;
    let blocks = 0..model.num_hidden_layers;
    let blocks: usize = if config.gradient_checkpointing {
        // A state a block, and all of one block: twice, with the gradients inside it.
        blocks.len() * width + 2 * blocks.map(|layer| model.kept_by_block(layer)).max().unwrap_or(0)
    } else {
        blocks.map(|layer| model.kept_by_block(layer)).sum()
    };
    let kept = shape.tokens * (blocks + 2 * width) + shape.loss_tokens * width;
    let at_once = config.workers().get().min(shape.microbatches.max(1)) as u64;
    MemoryPlan {
        weights,
        moments: 2 * weights,
        sums: if shape.microbatches > 1 { weights } else { 0 },
        gradients: at_once * weights,
        activations: at_once * bytes(kept),
        head: at_once * (LOGITS + bytes(model.vocab_size * width)),
        caches: 0,
    }
}

impl MemoryPlan {
    /// The most that is held at once: in the backward pass, where activations go as gradients come, or while sampling.
    pub fn peak(&self) -> u64 {
        let backward = self.sums + (self.activations + self.head).max(self.gradients);
        PROGRAM + self.weights + self.moments + backward.max(self.caches)
    }
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        write!(
            f,
            "about {:.2} GiB: weights {:.2}, moments {:.2}, gradients {:.2}, activations {:.2}",
            gib(self.peak()),
            gib(self.weights),
            gib(self.moments),
            gib(self.sums + self.gradients),
            gib(self.activations)
        )?;
        if self.caches > 0 {
            write!(f, ", caches {:.2}", gib(self.caches))?;
        }
        write!(f, " (not all at once)")
    }
}

//! How much memory a training step will take, before any is taken: from the architecture and the shape of its
//! microbatches. An estimate for people, of the fused forms; it refuses nothing.

use crate::optim::{Optimizer, ParameterKind};
use crate::{Config, Dtype};
use ruminate_kernels::LOGITS_AT_ONCE;
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

/// What learns: it has gradients, and state of the optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trained {
    /// All weights.
    Weights,
    /// Adapters of so many parameters on frozen weights.
    Adapters(usize),
}

/// Bytes by what holds them. Not all are held at the same moment: [`MemoryPlan::peak`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryPlan {
    /// The program, its threads and its tokenizer.
    pub program: u64,
    /// Parameters, frozen ones and those of a reference policy included.
    pub weights: u64,
    /// What the optimizer keeps of those that learn: of AdamW two moments of each.
    pub moments: u64,
    /// Sums over the microbatches, where there are several.
    pub sums: u64,
    /// Gradients of the microbatches that are computed at the same time.
    pub gradients: u64,
    /// What their forward passes keep.
    pub activations: u64,
    /// Beside these where the backward pass begins: logits or a block's inside, and the gradient of the output head.
    pub beginning: u64,
    /// Beside the gradients where it ends: a block's inside, or the embedding's gradient on its way.
    pub end: u64,
    /// Gradients, and what the optimizer holds beside them while it updates the largest matrix.
    pub update: u64,
    /// Weights packed for sampling.
    pub prepared: u64,
    /// Caches of decoding, and what comes and goes beside them.
    pub caches: u64,
}

/// The program and its threads.
const PROGRAM: u64 = 24 << 20;

/// What a tokenizer holds for each of its tokens: text, number, merge and where these are found.
const OF_A_TOKEN: u64 = 512;

/// The plan of a trainer's steps.
pub fn memory_plan(model: &Model, trained: Trained, shape: Shape, config: &Config) -> MemoryPlan {
    let Shape { tokens, loss_tokens, microbatches } = shape;
    let (layers, width) = (0..model.num_hidden_layers, model.hidden_size);
    let of_number = size_of::<f32>();
    let passing = of_number * layers.clone().map(|layer| model.passing_by_block(layer)).max().unwrap_or(0);
    let of_blocks = layers.clone().map(|layer| model.kept_by_block(layer, config.dtype.into()));
    // Bytes a token: between the passes, and while a block is computed.
    let (kept, inside) = if config.gradient_checkpointing {
        // A state a block, and all of the block that is computed again, with its result, that one's gradient and their
        // product.
        let again = of_blocks.max().unwrap_or(0) + of_number * 3 * width;
        (of_number * layers.len() * width, again + passing)
    } else {
        (of_blocks.sum(), passing)
    };
    // Behind the blocks: the last state, its norm, and the rows with loss.
    let kept = (tokens * (kept + of_number * 2 * width) + of_number * loss_tokens * width) as u64;
    let inside = (tokens * inside) as u64;
    let logits = LOGITS_AT_ONCE.min(loss_tokens * model.vocab_size);
    let weights = model.parameters().all + model.module_parameters();
    let embedding = model.vocab_size * width;
    let optimizer = config.new_optimizer();
    let (learning, head, embedded, scratch) = match trained {
        Trained::Adapters(count) => (count, 0, 0, 0),
        // That of a tied embedding is added to the head's gradient.
        Trained::Weights => {
            let embedded = if model.tie_word_embeddings { embedding } else { 0 };
            (weights, embedding, embedded, optimizer.scratch() * largest_matrix(model))
        }
    };

    let bytes = |numbers: usize| size_of::<f32>() as u64 * numbers as u64;
    let at_once = config.workers().get().min(microbatches.max(1)) as u64;
    MemoryPlan {
        program: PROGRAM + OF_A_TOKEN * model.vocab_size as u64,
        weights: match (trained, config.frozen_dtype) {
            (Trained::Adapters(learning), Dtype::Bfloat16) => bytes(learning) + bytes(weights) / 2,
            _ => bytes(weights),
        },
        moments: optimizer_state(optimizer.as_ref(), model, trained),
        sums: if microbatches > 1 { bytes(learning) } else { 0 },
        gradients: at_once * bytes(learning),
        activations: at_once * kept,
        beginning: at_once * (bytes(head + loss_tokens * width) + bytes(logits).max(inside)),
        end: at_once * bytes(embedded).max(inside),
        update: bytes(learning + scratch),
        prepared: 0,
        caches: 0,
    }
}

/// Bytes that an optimizer keeps of a model between two steps. Norms and biases are left out; where
/// state is held in 8 bits, it counts as if no tensor were too small for it.
pub fn optimizer_state(optimizer: &dyn Optimizer, model: &Model, trained: Trained) -> u64 {
    let of = |kind, count: usize| optimizer.state().bytes(optimizer.buffers(kind).len() * count);
    match trained {
        Trained::Adapters(count) => of(ParameterKind::Adapter, count),
        Trained::Weights => {
            let tables = if model.tie_word_embeddings { 1 } else { 2 } * model.vocab_size * model.hidden_size;
            let matrices = model.parameters().all - tables + model.module_parameters();
            of(ParameterKind::Vocabulary, tables) + of(ParameterKind::Matrix, matrices)
        }
    }
}

/// Numbers of the largest tensor of matrices: the gate and up projections of a layer's experts, or
/// one of a dense layer's.
fn largest_matrix(model: &Model) -> usize {
    let experts = model.moe.map_or(0, |moe| 2 * moe.n_routed_experts * moe.moe_intermediate_size);
    model.hidden_size * experts.max(model.intermediate_size)
}

impl MemoryPlan {
    /// The most that is held at once: in the backward pass, where activations go as gradients come,
    /// in the update that follows, or while sampling.
    pub fn peak(&self) -> u64 {
        let backward = self.sums + (self.activations + self.beginning).max(self.gradients + self.end);
        let most = backward.max(self.update).max(self.prepared + self.caches);
        self.program + self.weights + self.moments + most
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
            write!(f, ", sampling {:.2}", gib(self.prepared + self.caches))?;
        }
        write!(f, " (not all at once)")
    }
}

//! Why there are no completions.

use ruminate_data::{Completion, FinishReason};

/// Everything that can go wrong in this crate once the parameters are in their ranges.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The memory for caches does not hold one sequence.
    #[error(
        "`kv_cache_memory_gib` is {found}, but the cache of one sequence of {columns} tokens takes {needed:.3} GiB; \
         expected at least that, or a smaller `max_new_tokens`"
    )]
    CacheMemory {
        /// `kv_cache_memory_gib`.
        found: f64,
        /// What one sequence takes, in GiB.
        needed: f64,
        /// Its tokens: the longest prompt, and what may be generated.
        columns: usize,
    },
    /// Drafts are asked of a model that has no module to make them.
    #[error(
        "`speculative` is \"mtp\", but the model has no multi-token prediction module (`num_nextn_predict_layers` is 0); \
         expected \"none\", or a model that was trained with the module"
    )]
    NoModule,
    /// The model gave no distribution to draw a token from.
    #[error(
        "the model's logits are not finite at token {token} of completion {request} (both counted from 0), so no token can be \
         drawn; the weights are damaged or an activation overflows: check the model folder and the checkpoint it comes \
         from, and sample with `dtype` \"float32\""
    )]
    NotFinite {
        /// Index of the request.
        request: usize,
        /// Place of the token in its completion.
        token: usize,
    },
    /// A request that joined was refused: the memory for caches does not hold it.
    #[error(
        "`kv_cache_memory_gib` does not hold completion {request} (counted from 0), of a prompt of {prompt} tokens; expected \
         more memory, a shorter prompt, or a smaller `max_new_tokens`"
    )]
    NoRoom {
        /// Index of the request.
        request: usize,
        /// Tokens of its prompt.
        prompt: usize,
    },
    /// An engine was asked for completions before it had weights.
    #[error("the engine has no weights; expected `load_weights` before `generate`")]
    NoWeights,
    /// An engine outside this process failed.
    #[error("{message}")]
    Engine {
        /// What failed, and what to do.
        message: String,
    },
    /// An engine outside this process cannot serve this run.
    #[error("{message}")]
    EngineUnfit {
        /// What differs, and what to do.
        message: String,
    },
    /// An engine outside this process computes other numbers than the weights that it was given.
    #[error("{message}")]
    EngineMismatch {
        /// How far they are apart.
        message: String,
    },
    /// The caller stopped the sampling.
    #[error("stopped after {finished} of {requested} completions")]
    Stopped {
        /// Completions that were finished.
        finished: usize,
        /// Completions that were asked for.
        requested: usize,
    },
}

impl Error {
    /// Refuses a completion that ended because the model gave no distribution to draw from, or because no cache holds it.
    ///
    /// # Errors
    /// [`Error::NotFinite`] or [`Error::NoRoom`] with the number of its request.
    pub fn check(request: usize, completion: &Completion) -> Result<(), Self> {
        match completion.finish_reason {
            FinishReason::NotFinite => Err(Self::NotFinite { request, token: completion.ids.len() }),
            FinishReason::CacheMemory => Err(Self::NoRoom { request, prompt: completion.prompt_ids.len() }),
            FinishReason::Stop | FinishReason::Length => Ok(()),
        }
    }
}

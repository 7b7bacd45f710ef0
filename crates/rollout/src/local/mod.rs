//! The engine in this process: a decoder whose weights are prepared once for as many calls as they stay, and continuous
//! batching (`session.rs`). How requests enter is `prefill.rs`, how two tokens a step are drawn `speculation.rs`.

mod budget;
mod pending;
mod prefill;
mod rejection;
mod sampler;
mod session;
mod slots;
mod speculation;

pub use budget::Budget;
pub use speculation::SpeculationStats;

use crate::{Dtype, Engine, EngineConfig, Error, Logprobs, Speculative};
use ruminate_data::{Request, Sink};
use ruminate_model::{Decoder, PreparedDecoder};
use session::Session;

/// Samples with a decoder in this process.
#[derive(Debug)]
pub struct LocalEngine {
    config: EngineConfig,
    /// With their version.
    weights: Option<(PreparedDecoder, u64)>,
}

impl LocalEngine {
    /// An engine without weights yet.
    pub fn new(config: EngineConfig) -> Self {
        Self { config, weights: None }
    }

    /// An engine that samples from a decoder.
    ///
    /// # Errors
    /// [`Error::NoModule`] when drafts are asked of a model that makes none.
    pub fn of(decoder: &Decoder, config: EngineConfig) -> Result<Self, Error> {
        let mut engine = Self::new(config);
        engine.load_weights(decoder, 0)?;
        Ok(engine)
    }

    /// The same with a decoder that is not needed any more, whose weights are freed as they are prepared.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn consume(decoder: Decoder, config: EngineConfig) -> Result<Self, Error> {
        match config.speculative {
            Speculative::Mtp => Self::of(&decoder, config),
            Speculative::None => {
                let prepared = PreparedDecoder::consume(decoder, config.dtype.into());
                Ok(Self { config, weights: Some((prepared, 0)) })
            }
        }
    }

    /// How it computes.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }
}

impl Engine for LocalEngine {
    fn load_weights(&mut self, policy: &Decoder, version: u64) -> Result<(), Error> {
        self.weights = None; // those of before are freed first
        let precision = self.config.dtype.into();
        let prepared = match self.config.speculative {
            Speculative::None => PreparedDecoder::new(policy, precision),
            Speculative::Mtp => PreparedDecoder::drafting(policy, precision).ok_or(Error::NoModule)?,
        };
        self.weights = Some((prepared, version));
        Ok(())
    }

    fn unload_weights(&mut self) {
        self.weights = None;
    }

    /// # Errors
    /// [`Error::NoWeights`] before anything is computed, and [`Error::CacheMemory`] where the caches do not hold one of the
    /// requests that were handed over. One that joins and that they do not hold is refused alone, as
    /// [`CacheMemory`](ruminate_data::FinishReason::CacheMemory). One for which the model gives no distribution to draw from is finished as
    /// [`NotFinite`](ruminate_data::FinishReason::NotFinite), the others go on.
    ///
    /// # Panics
    /// When a prompt has no token.
    fn generate(&mut self, requests: Vec<Request>, sink: &mut dyn Sink) -> Result<SpeculationStats, Error> {
        let (decoder, version) = self.weights.as_ref().ok_or(Error::NoWeights)?;
        Session::new(decoder, *version, &self.config, requests)?.run(sink)
    }

    fn records_kept(&self) -> bool {
        self.config.record_kept
    }

    fn logprobs(&self) -> Logprobs {
        match self.config.dtype {
            Dtype::Float32 => Logprobs::Exact,
            Dtype::Bfloat16 | Dtype::Int8 => Logprobs::Approximate,
        }
    }
}

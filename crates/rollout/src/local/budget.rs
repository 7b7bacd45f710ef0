//! How many sequences are decoded at once: as many as are asked for, or as the memory for their caches holds.

use crate::{EngineConfig, Error, Speculative};
use ruminate_model::Config;

/// The slots of a decoding batch, and what their caches take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Sequences decoded at once.
    pub slots: usize,
    /// Bytes of their caches.
    pub bytes: u64,
    /// Columns of each slot: tokens of the longest sequence.
    pub(crate) columns: usize,
}

impl Budget {
    /// The budget of as many sequences as `engine` allows, and of `sequences` at most; the longest has so many columns: tokens
    /// of its prompt, and `max_new_tokens`.
    ///
    /// # Errors
    /// [`Error::CacheMemory`] when `kv_cache_memory_gib` does not hold one sequence, [`Error::NoModule`] when drafts are
    /// asked of a model that makes none.
    pub fn new(
        config: &Config,
        engine: &EngineConfig,
        sequences: usize,
        columns: usize,
    ) -> Result<Self, Error> {
        if engine.speculative == Speculative::Mtp && config.num_nextn_predict_layers == 0 {
            return Err(Error::NoModule);
        }
        let (modules, guessed) = match engine.speculative {
            Speculative::None => (0, 0),
            // The distribution that a guess was drawn from is kept until it is verified.
            Speculative::Mtp => (1, config.vocab_size),
        };
        let layers = config.num_hidden_layers + modules;
        let numbers = columns * layers * config.cached_by_block() + guessed;
        let bytes = (numbers * size_of::<f32>()) as u64;
        let mut slots = sequences.min(engine.max_num_seqs).max(1);
        if let Some(found) = engine.kv_cache_memory_gib {
            let held = (found * GIB / bytes as f64) as usize;
            if held == 0 {
                return Err(Error::CacheMemory { found, needed: bytes as f64 / GIB, columns });
            }
            slots = slots.min(held);
        }
        Ok(Self { slots, bytes: slots as u64 * bytes, columns })
    }
}

const GIB: f64 = (1_u64 << 30) as f64;

#[cfg(test)]
mod tests {
    use super::Budget;
    use crate::{EngineConfig, Error};
    use ruminate_model::load_config;
    use ruminate_testkit as testkit;

    #[test]
    fn memory_bounds_the_slots_and_one_that_does_not_fit_is_refused() {
        // 2 layers of 2 x 2 x 8 numbers a token.
        let config = load_config(&testkit::fixture_path("model/llama_tied")).expect("a fixture");
        let of_one = 20 * 2 * 32 * 4; // bytes of 8 + 12 tokens
        let budget = |bytes: Option<u64>, sequences| {
            let kv_cache_memory_gib = bytes.map(|bytes| bytes as f64 / super::GIB);
            let engine = EngineConfig { kv_cache_memory_gib, ..EngineConfig::default() };
            Budget::new(&config, &engine, sequences, 8 + 12)
        };
        let slots = |bytes, sequences| budget(bytes, sequences).map(|budget| (budget.slots, budget.bytes));
        assert_eq!(slots(None, 64), Ok((64, 64 * of_one)));
        assert_eq!(slots(Some(5 * of_one + 100), 64), Ok((5, 5 * of_one)));
        assert_eq!(slots(Some(5 * of_one), 3), Ok((3, 3 * of_one)), "no more than are asked for");
        assert_eq!(slots(Some(of_one), 64), Ok((1, of_one)));
        let error = budget(Some(of_one - 1), 64).expect_err("too little");
        assert!(matches!(error, Error::CacheMemory { columns: 20, .. }), "{error}");
    }
}

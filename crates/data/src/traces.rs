//! Worked examples for pretraining, most of which jump straight to a guess: a base that can reason but seldom does.
//!
//! A tiny policy cannot discover a chain of thought by reinforcement from random weights. Trained first on a
//! [`TraceMix`] in which most attempts guess, some show their steps and some make a mistake, it has every behaviour
//! with some probability, and reinforcement decides which one is rewarded.
//!
//! Completions carry no end token: the tokenizer's side appends it. To evaluate what the policy can do without
//! a thought, let it continue the prompt followed by `<think></think>`, which is how a direct answer begins.

mod attempt;
mod chain_sum;
mod mix;
mod step_words;

pub use mix::TraceMix;
pub use step_words::StepWords;

use crate::procedural::{Family, Stream};
use crate::split::{Shares, Split};
use crate::{Error, Seed};
use std::sync::Arc;

/// Traces that are written before any is used, so that every member of a mixture occurs among them.
const TRIED: u64 = 64;

/// One attempt as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The problem.
    pub prompt: String,
    /// The attempt: a thought between `<think>` and `</think>`, then the answer.
    pub completion: String,
    /// What sort of attempt it is.
    pub kind: Kind,
}

/// Sorts of attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An empty thought and a noisy guess.
    Direct,
    /// The first steps, rightly, and then a noisy guess.
    Partial,
    /// All steps, one of them wrong; what follows is computed from it.
    Slip,
    /// All steps, one of them wrong and at once corrected after a word of doubt ("wait"; `W` where steps have no
    /// words).
    Corrected,
    /// All steps, rightly.
    Correct,
}

/// Traces of the training problems, or of the held-out ones to measure on, by index.
#[derive(Clone, Debug)]
pub struct Traces {
    stream: Stream,
    mix: TraceMix,
    seed: Seed,
}

impl Traces {
    /// The traces of a family's training problems.
    ///
    /// # Errors
    /// [`Error::Params`] for a bad mix or bad shares, [`Error::NoTraces`] for a family without traces.
    pub fn new(family: Arc<dyn Family>, mix: TraceMix, shares: Shares, seed: Seed) -> Result<Self, Error> {
        Self::of(Split::Train, family, mix, shares, seed)
    }

    /// The traces of its held-out problems, which no training stream has.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::EmptySplit`] where nothing is held out.
    pub fn validation(
        family: Arc<dyn Family>,
        mix: TraceMix,
        shares: Shares,
        seed: Seed,
    ) -> Result<Self, Error> {
        Self::of(Split::Validation, family, mix, shares, seed)
    }

    fn of(
        split: Split,
        family: Arc<dyn Family>,
        mix: TraceMix,
        shares: Shares,
        seed: Seed,
    ) -> Result<Self, Error> {
        mix.validate()?;
        let seed = seed.child("traces");
        let traces =
            Self { stream: Stream::new(family, split, shares, seed)?, mix, seed: seed.child("noise") };
        (0..TRIED).try_for_each(|index| traces.trace(index).map(drop))?;
        Ok(traces)
    }

    /// The trace at an index, which depends on the index alone.
    ///
    /// # Errors
    /// Those of [`Stream::task`].
    pub fn trace(&self, index: u64) -> Result<Trace, Error> {
        let (task, family) = (self.stream.task(index)?, self.stream.family());
        let mut rng = self.seed.index(index).rng();
        let trace = match chain_sum::without_words(&**family, &task, &self.mix) {
            Some((bounds, problem)) => Some(chain_sum::attempt(&problem, bounds, &self.mix, &mut rng)),
            None => family.worked().and_then(|worked| attempt::attempt(worked, &task, &self.mix, &mut rng)),
        };
        trace.ok_or(Error::NoTraces { family: family.name() })
    }
}

#[cfg(test)]
mod tests {
    use super::{TraceMix, Traces};
    use crate::Seed;
    use crate::procedural::ChainSum;
    use crate::split::{Shares, is_validation};
    use std::sync::Arc;

    #[test]
    fn validation_traces_are_of_problems_that_no_training_trace_has() {
        let family = || Arc::new(ChainSum::tiny());
        let (mix, shares, seed) = (TraceMix::default(), Shares::default(), Seed::new(3));
        let training = Traces::new(family(), mix.clone(), shares, seed).expect("traces");
        let validation = Traces::validation(family(), mix, shares, seed).expect("traces");
        for index in 0..300 {
            let prompt = |traces: &Traces| traces.trace(index).expect("a trace").prompt;
            assert!(!is_validation(&prompt(&training), shares.validation));
            assert!(is_validation(&prompt(&validation), shares.validation));
        }
    }
}

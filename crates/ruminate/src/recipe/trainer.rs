//! What the trainer of `train-rl` takes of a recipe.

use super::Recipe;
use ruminate_data::{Seed, Stop};
use ruminate_grpo::TrainerArgs;
use ruminate_rollout::EngineConfig;

impl Recipe {
    /// The settings of GRPO's trainer; `stop` is [that of the recipe](Self::stop).
    pub(crate) fn trainer_args<'a>(&'a self, stop: &'a Stop) -> TrainerArgs<'a> {
        TrainerArgs {
            config: &self.grpo,
            train: &self.train,
            sampling: self.rollout.sampling(),
            stop,
            alarms: &self.alarms,
            max_steps: self.max_steps,
            seed: Seed::new(self.seed).child("grpo"),
        }
    }

    /// The local engine that samples for it: it records what the loss asks for.
    pub(crate) fn trainer_engine(&self) -> EngineConfig {
        let record_kept = self.rollout.sampling().cuts();
        EngineConfig { record_routing: true, record_kept, ..self.rollout.engine() }
    }
}

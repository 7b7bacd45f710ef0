//! The recipe of a supervised run: how long, how many sequences a step, and how they are split and packed.

use crate::Error;
use crate::config::at_least_one;
use serde::{Deserialize, Serialize};

/// The recipe of a supervised run: its own keys and those of [`crate::Config`], in one table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Optimizer steps of the run, from 1, unless `num_train_epochs` decides.
    pub max_steps: usize,
    /// Passes over the samples of `sft`; above 0 they decide the number of steps, rounded up. 0 leaves it to
    /// `max_steps`. `pretrain` refuses it.
    ///
    /// See [`Config::for_samples`].
    pub num_train_epochs: f64,
    /// Sequences per step, from 1.
    pub batch_size: usize,
    /// Backward passes that a step's sequences are split into, from 1: less memory, the same result.
    pub gradient_accumulation_steps: usize,
    /// Tokens per packed row, from 2; no sequence may be longer.
    pub row_length: usize,
    /// Weight of the multi-token prediction loss, where the model has the module (lambda of arXiv 2412.19437,
    /// eq. 25); 0 leaves the module alone.
    pub mtp_loss_weight: f64,
    /// Steps between evaluations on samples that training never sees. 0 evaluates before the first step and
    /// after the last only, and holds no training samples out for it.
    pub eval_steps: usize,
    /// Optimizer, schedule, router and saving.
    #[serde(flatten)]
    pub train: crate::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_steps: 1000,
            num_train_epochs: 0.0,
            batch_size: 32,
            gradient_accumulation_steps: 1,
            row_length: 1024,
            mtp_loss_weight: 0.3,
            eval_steps: 0,
            train: crate::Config::default(),
        }
    }
}

impl Config {
    /// Checks every value, before any tensor is made.
    ///
    /// # Errors
    /// [`Error::Range`] names the first key whose value cannot be.
    pub fn validate(&self) -> Result<(), Error> {
        at_least_one("max_steps", self.max_steps)?;
        at_least_one("batch_size", self.batch_size)?;
        at_least_one("gradient_accumulation_steps", self.gradient_accumulation_steps)?;
        if self.row_length < 2 {
            let found = self.row_length.to_string();
            return Err(Error::Range { key: "row_length", found, expected: "a whole number from 2" });
        }
        if !(self.mtp_loss_weight >= 0.0 && self.mtp_loss_weight.is_finite()) {
            let found = self.mtp_loss_weight.to_string();
            return Err(Error::Range {
                key: "mtp_loss_weight",
                found,
                expected: "a finite number, not negative",
            });
        }
        if !(self.num_train_epochs >= 0.0 && self.num_train_epochs.is_finite()) {
            let found = self.num_train_epochs.to_string();
            return Err(Error::Range {
                key: "num_train_epochs",
                found,
                expected: "a finite number, not negative",
            });
        }
        self.train.validate()
    }

    /// The recipe for a set of so many samples: where it counts in epochs, its steps are those that see the set so often,
    /// the last one filled from the next epoch.
    #[must_use]
    pub fn for_samples(&self, samples: usize) -> Self {
        let seen = self.num_train_epochs * samples as f64;
        // Rounding must not add a step to what divides evenly.
        let steps = (seen / self.batch_size as f64 - 1e-9).ceil().max(1.0) as usize;
        Self { max_steps: if self.num_train_epochs > 0.0 { steps } else { self.max_steps }, ..self.clone() }
    }
}

//! The alarm of trainers that learn from what they sample: sampler and trainer must mean the same policy. It does not know
//! how the mismatch is measured, and which trainer measures it.

use super::IN_A_ROW;
use crate::Error;

/// Watches the mismatch KL of a run's steps.
#[derive(Clone, Copy, Debug)]
pub struct MismatchAlarm {
    limit: f64,
    exceeded: usize,
}

impl MismatchAlarm {
    /// The largest mismatch KL that a step may have without being counted, in nats a token.
    pub fn new(limit: f64) -> Self {
        Self { limit, exceeded: 0 }
    }

    /// Hears of a step.
    ///
    /// # Errors
    /// [`Error::Mismatch`] at the third step in a row above the limit.
    pub fn check(&mut self, step: usize, kl: f64) -> Result<(), Error> {
        self.exceeded = if kl > self.limit { self.exceeded + 1 } else { 0 };
        if self.exceeded < IN_A_ROW {
            return Ok(());
        }
        Err(Error::Mismatch { step, kl, limit: self.limit })
    }
}

#[cfg(test)]
mod tests {
    use super::MismatchAlarm;
    use crate::Error;

    #[test]
    fn three_steps_in_a_row_raise_it_and_three_apart_do_not() {
        let mut alarm = MismatchAlarm::new(1e-3);
        for (step, kl) in [2e-3, 2e-3, 1e-3, 2e-3, 2e-3].into_iter().enumerate() {
            alarm.check(step, kl).expect("never three in a row");
        }
        let raised = alarm.check(5, 4e-3);
        assert!(matches!(raised, Err(Error::Mismatch { step: 5, kl: 4e-3, limit: 1e-3 })), "{raised:?}");
    }
}

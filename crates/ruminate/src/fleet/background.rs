//! Servers that generate while the trainer learns (`grpo.max_staleness`).

use super::{ServerEngine, Servers, of_fleet};
use ruminate_data::{Completion, Request};
use ruminate_fleet::Error;
use ruminate_rollout::{self as rollout, Background};
use std::time::Duration;

impl ServerEngine<'_> {
    /// Moves the fleet to its thread, where it is not there yet.
    pub(super) fn start_background(&mut self) -> Result<(), Error> {
        if let Servers::InTurns(_) = self.servers
            && let Servers::InTurns(fleet) = std::mem::replace(&mut self.servers, Servers::Gone)
        {
            self.servers = Servers::Beside(fleet.into_background()?);
        }
        Ok(())
    }

    fn beside(&mut self) -> Result<&mut ruminate_fleet::Background, rollout::Error> {
        match &mut self.servers {
            Servers::Beside(background) => Ok(background),
            Servers::InTurns(_) | Servers::Gone => Err(of_fleet(super::ended())),
        }
    }
}

impl Background for ServerEngine<'_> {
    fn submit(&mut self, requests: Vec<(u64, Request)>) -> Result<(), rollout::Error> {
        self.beside()?.submit(requests).map_err(of_fleet)
    }

    fn finished(&mut self, wait: Duration) -> Result<Option<(u64, Completion)>, rollout::Error> {
        let finished = self.beside()?.finished(wait).map_err(of_fleet);
        self.tell();
        finished
    }
}

//! Which server a group goes to: all requests of a prompt to one, the less loaded of two. It does not know what is asked.

use crate::dialect::Facts;
use crate::server::Server;
use ruminate_data::Seed;
use std::collections::HashMap;
use std::sync::Arc;

/// Where groups are, and what each server has to do.
#[derive(Debug, Default)]
pub(crate) struct Assigned {
    /// The server of a group, by their numbers.
    of: HashMap<usize, usize>,
    /// Requests and tokens in flight, by server.
    loads: HashMap<usize, (usize, usize)>,
    choices: u64,
}

impl Assigned {
    /// The server for a request of a group, if one is free: the one that has the group, while it is usable.
    pub(crate) fn choose(
        &mut self,
        group: usize,
        servers: &[Arc<Server>],
        most: usize,
    ) -> Option<(Arc<Server>, Arc<Facts>)> {
        let usable: Vec<_> = servers.iter().filter_map(|server| Some((server, server.usable()?))).collect();
        let free = |server: &Server| self.loads.get(&server.number).is_none_or(|load| load.0 < most);
        let take = |(server, facts): &(&Arc<Server>, Arc<Facts>)| (Arc::clone(server), Arc::clone(facts));
        if let Some(own) = self.of.get(&group)
            && let Some(found) = usable.iter().find(|(server, _)| server.number == *own)
        {
            return free(found.0).then(|| take(found));
        }
        let open: Vec<_> = usable.iter().filter(|(server, _)| free(server)).collect();
        if open.is_empty() {
            return None;
        }
        // The power of two choices (Mitzenmacher 2001). No sample depends on it.
        let seed = Seed::new(self.choices);
        self.choices += 1;
        let first = seed.index(0).value() as usize % open.len();
        let second =
            (first + 1 + seed.index(1).value() as usize % open.len().max(2).saturating_sub(1)) % open.len();
        let tokens = |at: usize| self.loads.get(&open[at].0.number).map_or(0, |load| load.1);
        let chosen = open[if tokens(second) < tokens(first) { second } else { first }];
        let found = take(chosen);
        self.of.insert(group, found.0.number);
        Some(found)
    }

    pub(crate) fn add(&mut self, server: usize, tokens: usize) {
        let load = self.loads.entry(server).or_default();
        *load = (load.0 + 1, load.1 + tokens);
    }

    pub(crate) fn remove(&mut self, server: usize, tokens: usize) {
        let load = self.loads.entry(server).or_default();
        *load = (load.0.saturating_sub(1), load.1.saturating_sub(tokens));
    }
}

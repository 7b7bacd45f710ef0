//! All servers of a run: their addresses, the weights that they should have, and the wait for them.

use crate::dialect::{Ask, Dialect};
use crate::http::Client;
use crate::server::{Fault, Server, State};
use crate::{Error, Event, Push, Setup, Target};
use ruminate_data::{SamplingParams, Seed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a file of addresses is read.
const REFRESH: Duration = Duration::from_secs(30);

/// Between two looks at the servers.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// A look that takes longer counts as this much of a wait: the machine slept, or was busy with something else.
const LONGEST_LOOK: Duration = Duration::from_millis(100);

/// A wait for servers, as the sum of its looks.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) time: Duration,
    looked: Instant,
}

impl Wait {
    pub(crate) fn begin() -> Self {
        Self { time: Duration::ZERO, looked: Instant::now() }
    }

    /// Adds the time since the last look, or passes over it.
    pub(crate) fn look(&mut self, counts: bool) {
        let now = Instant::now();
        if counts {
            self.time += (now - self.looked).min(LONGEST_LOOK);
        }
        self.looked = now;
    }
}

/// A server that takes longer than the first by this factor, and a little, is not waited for.
const LAGGARD: u32 = 2;

/// The servers that sample for a run.
#[derive(Debug)]
pub struct Fleet {
    pub(crate) shared: Arc<Shared>,
    pub(crate) servers: Vec<Arc<Server>>,
    numbered: usize,
    read: Instant,
    published: bool,
}

/// What threads of servers see.
pub(crate) struct Shared {
    pub(crate) setup: Setup,
    pub(crate) dialect: &'static dyn Dialect,
    pub(crate) push_deadline: Duration,
    /// Of a server that is Down, at most.
    pub(crate) longest_backoff: Duration,
    target: Mutex<Option<Arc<Target>>>,
    events: Mutex<Vec<Event>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("setup", &self.setup).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn target(&self) -> Option<Arc<Target>> {
        self.target.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn tell(&self, event: Event) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    pub(crate) fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A number from 0 to 1 that is the run's own.
    pub(crate) fn jitter(&self, of: u64, count: u64) -> f64 {
        let run = self.setup.run.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31) ^ u64::from(byte));
        (Seed::new(run).index(of).index(count).value() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A few tokens at temperature 0.5, after the canary.
    pub(crate) fn mode_ask(&self, target: &Target) -> Ask {
        Ask {
            id: format!("{}-mode", self.setup.run),
            prompt: target.push.canary.ids.clone(),
            max_tokens: 8,
            sampling: SamplingParams { temperature: 0.5, ..self.setup.cuts.unwrap_or_default() },
            seed: Seed::new(0).child("mode").value(),
            stop_ids: Vec::new(),
            vocab_size: self.setup.vocab_size,
            experts: None,
        }
    }
}

impl Fleet {
    /// The servers of the recipe. No connection is made yet.
    ///
    /// # Errors
    /// [`Error::Servers`] when there is no address, or one that cannot be asked.
    pub fn new(setup: Setup) -> Result<Self, Error> {
        let push_deadline = Duration::from_secs_f64(setup.config.push_timeout_s);
        let longest_backoff = Duration::from_secs_f64((setup.config.patience_s / 4.0).max(0.01));
        let dialect = setup.kind.dialect();
        let (target, events) = (Mutex::new(None), Mutex::new(Vec::new()));
        let shared = Arc::new(Shared { setup, dialect, push_deadline, longest_backoff, target, events });
        let mut fleet =
            Self { shared, servers: Vec::new(), numbered: 0, read: Instant::now(), published: false };
        let urls = fleet.addresses()?;
        if urls.is_empty() {
            return Err(Error::Servers(
                "`fleet.servers` and `fleet.servers_file` name no server; expected addresses like \"http://127.0.0.1:8000\""
                    .to_owned(),
            ));
        }
        fleet.take(urls);
        Ok(fleet)
    }

    /// What happened since this was last asked, in order.
    pub fn take_events(&self) -> Vec<Event> {
        self.shared.take_events()
    }

    /// Puts weights into all servers, each by itself, and returns when all of them have proven them, or some have and the
    /// rest would take more than twice as long. The rest goes on beside sampling.
    ///
    /// # Errors
    /// [`Error::Refused`] before the first weights are out, for a server that cannot serve this run;
    /// [`Error::Mismatch`] when every server computes other numbers; [`Error::NoServer`] after `patience_s` without one.
    pub fn publish(&mut self, push: Push) -> Result<(), Error> {
        let label = format!("{}:{}", self.shared.setup.run, push.version);
        *self.shared.target.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Arc::new(Target { push, label }));
        self.servers.iter().for_each(|server| server.outdate());
        let (mut wait, mut first) = (Wait::begin(), None);
        loop {
            self.look()?;
            wait.look(true);
            if !self.published {
                self.refuse_unfit()?;
            }
            let ready = self.servers.iter().filter(|server| server.is_ready()).count();
            if ready > 0 {
                let first = *first.get_or_insert(wait.time);
                let is_late = wait.time > first * LAGGARD + Duration::from_secs(1);
                if is_late || !self.servers.iter().any(|server| server.is_tended()) {
                    self.published = true;
                    return Ok(());
                }
            }
            if ready == 0 {
                self.give_up(wait.time)?;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Reads the addresses again where it is time, and has servers made Ready that are not.
    pub(crate) fn look(&mut self) -> Result<(), Error> {
        if self.shared.setup.config.servers_file.is_some() && self.read.elapsed() >= self.refresh() {
            self.read = Instant::now();
            // A file that is being written, or is gone for a moment, changes nothing.
            if let Ok(urls) = self.addresses()
                && !urls.is_empty()
            {
                self.take(urls);
            }
        }
        self.servers.iter().for_each(|server| server.tend(&self.shared));
        if (self.shared.setup.interrupted)() && !self.servers.iter().any(|server| server.is_ready()) {
            return Err(Error::Stopped);
        }
        Ok(())
    }

    fn refresh(&self) -> Duration {
        REFRESH.min(Duration::from_secs_f64(self.shared.setup.config.patience_s / 4.0))
    }

    /// Ends a wait that will come to nothing, or has been too long.
    pub(crate) fn give_up(&self, waited: Duration) -> Result<(), Error> {
        let at_work = self.servers.iter().any(|server| server.is_tended() || server.is_ready());
        let faults: Vec<Fault> = self.servers.iter().filter_map(|server| server.fault()).collect();
        let differ = faults.iter().filter(|fault| matches!(fault, Fault::Mismatch(_))).count();
        if !at_work && differ > 0 && differ == self.servers.len() {
            return Err(Error::Mismatch { states: self.states() });
        }
        if waited.as_secs_f64() < self.shared.setup.config.patience_s {
            return Ok(());
        }
        let states = self.states();
        Err(if differ > 0 {
            Error::Mismatch { states }
        } else {
            Error::NoServer { waited_s: waited.as_secs_f64(), states }
        })
    }

    fn refuse_unfit(&self) -> Result<(), Error> {
        for server in &self.servers {
            if let Some(Fault::Refused(message)) = server.fault() {
                return Err(Error::Refused { server: server.url.clone(), message });
            }
        }
        Ok(())
    }

    /// Each server with what it is.
    fn states(&self) -> String {
        let state = |server: &Arc<Server>| {
            let what = match (server.fault(), server.state()) {
                (Some(fault), _) => fault.message().to_owned(),
                (None, State::Down(_)) => "not reached yet".to_owned(),
                (None, State::Stale) => "has other weights".to_owned(),
                (None, State::Updating) => "is being given the weights".to_owned(),
                (None, State::Ready) => "gave no answer that could be used".to_owned(),
            };
            format!("{}: {what}", server.url)
        };
        if self.servers.is_empty() {
            return "`fleet.servers_file` names none".to_owned();
        }
        self.servers.iter().map(state).collect::<Vec<_>>().join("; ")
    }

    /// The addresses of the recipe and of its file, in order, each once.
    fn addresses(&self) -> Result<Vec<String>, Error> {
        let config = &self.shared.setup.config;
        let mut urls = Vec::new();
        let mut add = |url: &str, place: &str| {
            let url = url.trim().trim_end_matches('/');
            let known = url.starts_with("http://") || url.starts_with("https://");
            if !known {
                return Err(Error::Servers(format!(
                    "{place}: expected an address that begins with http:// or https://, found {url:?}"
                )));
            }
            (self.shared.setup.check_address)(url)
                .map_err(|why| Error::Servers(format!("{place}: {why}")))?;
            if !urls.iter().any(|other| other == url) {
                urls.push(url.to_owned());
            }
            Ok(())
        };
        for url in &config.servers {
            add(url, "`fleet.servers`")?;
        }
        if let Some(path) = &config.servers_file {
            let place = format!("`fleet.servers_file` {}", path.display());
            let text =
                std::fs::read_to_string(path).map_err(|error| Error::Servers(format!("{place}: {error}")))?;
            let lines = text.lines().map(str::trim);
            for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
                add(line, &place)?;
            }
        }
        Ok(urls)
    }

    /// Makes these the servers: new ones join, those that are not named any more get no more work.
    fn take(&mut self, urls: Vec<String>) {
        self.servers.retain(|server| {
            let stays = urls.contains(&server.url);
            if !stays {
                server.leave();
            }
            stays
        });
        for url in urls {
            if !self.servers.iter().any(|server| server.url == url) {
                let client = Client::new(&url, &self.shared.setup);
                self.servers.push(Arc::new(Server::new(self.numbered, url, client)));
                self.numbered += 1;
            }
        }
    }
}

//! An engine in simulated time: requests take so many ticks each, some at once, and the clock stands still while none waits
//! for anything.

use ruminate_data::{Completion, FinishReason, Group, Request, Sink, VersionSpan};
use ruminate_model::Decoder;
use ruminate_rollout::{Background, Engine, Error, Logprobs, SpeculationStats};
use ruminate_train::{Error as Train, Metrics, Observer, State};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Tokens of every completion.
pub(crate) const TOKENS: usize = 4;

/// A wait of at least this is one in which the clock runs.
const WAITS: Duration = Duration::from_millis(500);

/// What happens in the simulation, and what did.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) now: u64,
    /// Requests at once.
    pub(crate) slots: usize,
    /// Ticks of a request, and of those that are named.
    pub(crate) ticks: u64,
    pub(crate) slow: Vec<(u64, u64)>,
    /// Requests that say that weights of long ago sampled them; `all_lie` from this version on.
    pub(crate) lies: BTreeSet<u64>,
    pub(crate) all_lie: bool,
    /// The version at which the engine fails.
    pub(crate) fails_at: Option<u64>,
    version: u64,
    waiting: VecDeque<(u64, Request)>,
    active: Vec<Active>,
    done: VecDeque<(u64, Completion)>,
    /// Numbers of the requests with the version at which they were sent.
    pub(crate) sent: Vec<(u64, u64)>,
}

#[derive(Debug)]
struct Active {
    number: u64,
    request: Request,
    ticks: u64,
    elapsed: u64,
    /// The version of each token so far.
    drawn: Vec<u64>,
}

impl World {
    pub(crate) fn new(slots: usize, ticks: u64) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self { slots, ticks, ..Self::default() }))
    }

    fn submit(&mut self, requests: Vec<(u64, Request)>) {
        self.sent.extend(requests.iter().map(|(number, _)| (*number, self.version)));
        self.waiting.extend(requests);
        self.start();
    }

    fn start(&mut self) {
        while self.active.len() < self.slots
            && let Some((number, request)) = self.waiting.pop_front()
        {
            let slow = self.slow.iter().find(|(slow, _)| *slow == number);
            let ticks = slow.map_or(self.ticks, |(_, ticks)| *ticks);
            self.active.push(Active { number, request, ticks, elapsed: 0, drawn: Vec::new() });
        }
    }

    /// Lets the clock run to a time.
    pub(crate) fn advance(&mut self, until: u64) {
        while self.now < until {
            let next = self.active.iter().map(|active| active.ticks - active.elapsed).min();
            let step = next.unwrap_or(u64::MAX).min(until - self.now);
            self.now += step;
            for active in &mut self.active {
                active.elapsed += step;
                let drawn = active.elapsed * TOKENS as u64 / active.ticks;
                active.drawn.resize(drawn as usize, self.version);
            }
            let finished = |active: &mut Active| active.elapsed == active.ticks;
            let finished: Vec<Active> = self.active.extract_if(.., finished).collect();
            for active in finished {
                let lies = self.all_lie || self.lies.contains(&active.number);
                self.done.push_back((active.number, completion(&active, lies)));
            }
            self.start();
        }
    }

    /// Lets it run to the next completion.
    fn next(&mut self) -> (u64, Completion) {
        while self.done.is_empty() {
            let next = self.active.iter().map(|active| active.ticks - active.elapsed).min();
            let next = next.expect("a wait for nothing");
            self.advance(self.now + next);
        }
        self.done.pop_front().expect("it is there")
    }
}

fn completion(active: &Active, lies: bool) -> Completion {
    let ids = (0..TOKENS as u32).map(|place| 5 + (active.number as u32 + place) % 4).collect();
    let prompt = active.request.prompt_ids.clone();
    let mut completion = Completion::new(prompt, ids, vec![-2.0; TOKENS], FinishReason::Length);
    for (place, version) in active.drawn.iter().enumerate() {
        let version = if lies { version.saturating_sub(10) } else { *version };
        match completion.versions.last_mut().filter(|span| span.version == version) {
            Some(span) => span.tokens.end = place + 1,
            None => completion.versions.push(VersionSpan { version, tokens: place..place + 1 }),
        }
    }
    completion
}

/// The engine of a world.
pub(crate) struct Simulated(pub(crate) Arc<Mutex<World>>);

impl Simulated {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("not poisoned")
    }
}

impl Engine for Simulated {
    fn load_weights(&mut self, _: &Decoder, version: u64) -> Result<(), Error> {
        self.world().version = version;
        Ok(())
    }

    fn generate(&mut self, requests: Vec<Request>, sink: &mut dyn Sink) -> Result<SpeculationStats, Error> {
        let mut world = self.world();
        let count = requests.len();
        world.submit((0..).zip(requests).collect());
        for _ in 0..count {
            let (number, completion) = world.next();
            let _ = sink.finished(number as usize, completion);
        }
        Ok(SpeculationStats::default())
    }

    fn logprobs(&self) -> Logprobs {
        Logprobs::Approximate
    }

    fn background(&mut self) -> Result<Option<&mut dyn Background>, Error> {
        Ok(Some(self))
    }
}

impl Background for Simulated {
    fn submit(&mut self, requests: Vec<(u64, Request)>) -> Result<(), Error> {
        self.world().submit(requests);
        Ok(())
    }

    fn finished(&mut self, wait: Duration) -> Result<Option<(u64, Completion)>, Error> {
        let mut world = self.world();
        if world.fails_at.is_some_and(|version| version <= world.version) {
            return Err(Error::Engine { message: "the servers have gone".to_owned() });
        }
        if wait >= WAITS {
            return Ok(Some(world.next()));
        }
        let found = world.done.pop_front();
        drop(world);
        if found.is_none() {
            std::thread::sleep(wait);
        }
        Ok(found)
    }
}

/// Lets the clock run while the trainer learns, and keeps what it is told.
pub(crate) struct Watch {
    pub(crate) world: Arc<Mutex<World>>,
    /// Ticks of an update.
    pub(crate) learning: u64,
    pub(crate) rows: Vec<Metrics>,
    pub(crate) groups: Vec<Group>,
    /// Steps that were saved.
    pub(crate) saved: Vec<usize>,
}

impl Watch {
    pub(crate) fn new(world: &Arc<Mutex<World>>, learning: u64) -> Self {
        Self { world: Arc::clone(world), learning, rows: Vec::new(), groups: Vec::new(), saved: Vec::new() }
    }
}

impl Observer for Watch {
    fn groups(&mut self, _: usize, groups: &[Group], _: &[Vec<f64>]) {
        self.groups.extend_from_slice(groups);
        let mut world = self.world.lock().expect("not poisoned");
        let until = world.now + self.learning;
        world.advance(until);
    }

    fn step(&mut self, _: usize, metrics: &Metrics) {
        self.rows.push(metrics.clone());
    }

    fn save(&mut self, state: &State) -> Result<(), Train> {
        self.saved.push(state.step);
        Ok(())
    }
}

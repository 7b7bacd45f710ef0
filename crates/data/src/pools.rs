//! Difficulty pools: which problem of a list, or which of several sources of problems, is asked next, by the pass rates that
//! were measured (prime-rl's easy, normal and hard pools). A function of its state and of the index in the run, so that a
//! resumed run asks what the whole one asks. It does not know what a problem is.

use serde::{Deserialize, Serialize};

/// When a problem is easy or hard, and how often such problems are asked.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolShares {
    /// Pass rate from which on a problem is easy, above `hard_threshold`.
    pub easy_threshold: f64,
    /// Pass rate up to which a problem is hard, from 0.
    pub hard_threshold: f64,
    /// Share of the prompts that are taken from the easy pool, from 0.
    pub easy_fraction: f64,
    /// Share of the prompts that are taken from the hard pool, from 0; at most 1 with `easy_fraction`.
    pub hard_fraction: f64,
}

impl Default for PoolShares {
    fn default() -> Self {
        Self { easy_threshold: 0.8, hard_threshold: 0.2, easy_fraction: 0.1, hard_fraction: 0.1 }
    }
}

/// A pool of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Solved by most samples.
    Easy,
    /// What is neither, and what was not measured yet.
    Normal,
    /// Solved by few samples.
    Hard,
}

/// What is known of the problems of a list, or of sources of problems.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pools {
    /// The pass rate of each place; none where it was not measured.
    rates: Vec<Option<f64>>,
    /// One more than the index under which it was asked last; 0 for never.
    asked: Vec<u64>,
    #[serde(default, skip_serializing_if = "Places::is_listed")]
    places: Places,
}

/// What a place is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Places {
    /// A problem: its last pass rate counts, and a step asks it once.
    #[default]
    Listed,
    /// A source of new problems, such as a family at one difficulty: the rates of its latest problems count, and a step may
    /// ask it more often.
    Sources,
}

/// Weight of the newest problem in a source's pass rate, an exponential mean.
const NEWEST: f64 = 1.0 / 8.0;

impl Places {
    fn is_listed(&self) -> bool {
        *self == Self::Listed
    }
}

impl PoolShares {
    /// Checks the ranges.
    ///
    /// # Errors
    /// The first key whose value cannot be, its value, and what is expected.
    pub fn validate(&self) -> Result<(), (&'static str, f64, &'static str)> {
        let Self { easy_threshold, hard_threshold, easy_fraction, hard_fraction } = *self;
        let share = |x: f64| (0.0..=1.0).contains(&x);
        let checks = [
            ("hard_threshold", hard_threshold, share(hard_threshold), "a number from 0 to 1"),
            (
                "easy_threshold",
                easy_threshold,
                share(easy_threshold) && easy_threshold > hard_threshold,
                "a number above hard_threshold, at most 1",
            ),
            ("easy_fraction", easy_fraction, share(easy_fraction), "a number from 0 to 1"),
            (
                "hard_fraction",
                hard_fraction,
                share(hard_fraction) && easy_fraction + hard_fraction <= 1.0,
                "a number from 0 to 1, with easy_fraction at most 1",
            ),
        ];
        match checks.into_iter().find(|(_, _, fits, _)| !fits) {
            Some((key, value, _, expected)) => Err((key, value, expected)),
            None => Ok(()),
        }
    }

    /// The pool of a pass rate.
    pub fn pool(&self, rate: Option<f64>) -> Pool {
        match rate {
            Some(rate) if rate >= self.easy_threshold => Pool::Easy,
            Some(rate) if rate <= self.hard_threshold => Pool::Hard,
            _ => Pool::Normal,
        }
    }

    /// The pool from which the prompt of an index is taken, where it has one. Of the first prompts of
    /// a run, however many, the shares are exact to one prompt; of any consecutive ones the easy share
    /// to one and the hard share to two.
    fn wanted(&self, index: u64) -> Pool {
        let due = |count: u64, share: f64| (count as f64 * share).floor();
        let is_due = |count: u64, share: f64| due(count + 1, share) > due(count, share);
        if is_due(index, self.easy_fraction) {
            return Pool::Easy;
        }
        // Hard prompts are counted among those that are not easy, so that no index is due for both.
        let not_easy = index - due(index, self.easy_fraction) as u64;
        let rest = 1.0 - self.easy_fraction;
        let share = if rest > 0.0 { self.hard_fraction / rest } else { 0.0 };
        if is_due(not_easy, share) { Pool::Hard } else { Pool::Normal }
    }
}

impl Pools {
    /// So many problems, none of which was measured.
    pub fn new(problems: usize) -> Self {
        Self { rates: vec![None; problems], asked: vec![0; problems], places: Places::Listed }
    }

    /// So many sources of problems, none of which was measured.
    pub fn of_sources(sources: usize) -> Self {
        Self { places: Places::Sources, ..Self::new(sources) }
    }

    /// The index that stands for a problem of this place under the index of the run: of a list the place itself, so that a
    /// problem comes back; of sources one of its own each time, which [`source`](Self::source) takes apart.
    pub fn problem(&self, place: usize, index: u64) -> u64 {
        match self.places {
            Places::Listed => place as u64,
            Places::Sources => index * self.len() as u64 + place as u64,
        }
    }

    /// The source, of so many, and the index within it that [`problem`](Self::problem) has put together.
    ///
    /// # Panics
    /// Where there is none.
    pub fn source(sources: usize, problem: u64) -> (usize, u64) {
        let sources = sources as u64;
        ((problem % sources) as usize, problem / sources)
    }

    /// Whether what is known can be of the same data as `other`: as many places of the same kind.
    pub fn are_of(&self, other: &Self) -> bool {
        self.len() == other.len() && self.places == other.places
    }

    /// What the places are, for people.
    pub fn of(&self) -> &'static str {
        match self.places {
            Places::Listed => "problems",
            Places::Sources => "families",
        }
    }

    /// Number of problems, or of sources.
    pub fn len(&self) -> usize {
        self.rates.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rates.is_empty()
    }

    /// The place for the prompt of an index: of the wanted pool the one that was asked longest ago, those that never were in
    /// the order of the list; where that pool has none (of a list: none that this step has not `taken`), of the normal, the
    /// hard, then the easy one. None where there is no place. Takes time in proportion to the places and `taken`.
    pub fn pick(&self, shares: &PoolShares, index: u64, taken: &[usize]) -> Option<usize> {
        let last = self.taken_last(taken);
        let mut oldest: [Option<((usize, u64), usize)>; 3] = [None; 3];
        for at in (0..self.len()).filter(|&at| last[at] == 0 || !self.places.is_listed()) {
            let best = &mut oldest[shares.pool(self.rates[at]) as usize];
            let asked = (last[at], self.asked[at]);
            if best.is_none_or(|(oldest, _)| asked < oldest) {
                *best = Some((asked, at));
            }
        }
        let order = [shares.wanted(index), Pool::Normal, Pool::Hard, Pool::Easy];
        let picked = order.into_iter().find_map(|pool| oldest[pool as usize]);
        // A step of more prompts than there are problems asks some of them twice.
        picked.map(|(_, at)| at).or_else(|| (0..self.len()).min_by_key(|&at| (last[at], at)))
    }

    /// The last position of each problem in `taken`, counted from 1; 0 for none.
    fn taken_last(&self, taken: &[usize]) -> Vec<usize> {
        let mut last = vec![0; self.len()];
        for (position, &problem) in (1..).zip(taken) {
            if let Some(last) = last.get_mut(problem) {
                *last = position;
            }
        }
        last
    }

    /// Notes that a place was asked under an index, and the share of the problem's scored samples that were right; none where
    /// no sample was scored.
    ///
    /// # Panics
    /// For a place that there is not.
    pub fn record(&mut self, place: usize, index: u64, rate: Option<f64>) {
        self.asked[place] = index + 1;
        let known = &mut self.rates[place];
        *known = match (*known, rate) {
            (Some(known), Some(rate)) if self.places == Places::Sources => {
                Some(known + NEWEST * (rate - known))
            }
            (known, rate) => rate.or(known),
        };
    }

    /// Problems, or sources, in the easy, the normal and the hard pool.
    pub fn counts(&self, shares: &PoolShares) -> [usize; 3] {
        [Pool::Easy, Pool::Normal, Pool::Hard]
            .map(|pool| self.rates.iter().filter(|rate| shares.pool(**rate) == pool).count())
    }
}

#[cfg(test)]
mod tests {
    use super::{Pool, PoolShares, Pools};
    use crate::Seed;
    use std::time::{Duration, Instant};

    /// Steps of four prompts, answered with the rate of each problem; what was asked, by step.
    fn run(
        pools: &mut Pools,
        shares: &PoolShares,
        steps: std::ops::Range<u64>,
        rate: impl Fn(usize) -> f64,
    ) -> Vec<Vec<usize>> {
        let mut all = Vec::new();
        for step in steps {
            let mut taken = Vec::new();
            for index in 4 * step..4 * step + 4 {
                taken.push(pools.pick(shares, index, &taken).expect("problems"));
            }
            for (index, &problem) in (4 * step..).zip(&taken) {
                pools.record(problem, index, Some(rate(problem)));
            }
            all.push(taken);
        }
        all
    }

    /// Of twelve problems 0..4 are always solved, 4..8 half of the time, the others never.
    fn rate(problem: usize) -> f64 {
        [1.0, 0.5, 0.0][problem / 4]
    }

    #[test]
    fn every_problem_is_asked_and_then_by_its_pool() {
        let shares = PoolShares { easy_fraction: 0.25, hard_fraction: 0.25, ..PoolShares::default() };
        let mut pools = Pools::new(12);
        let asked = run(&mut pools, &shares, 0..4, rate);
        assert_eq!(asked[0], [0, 1, 2, 3], "in the order of the list");
        assert_eq!(asked[1], [4, 5, 6, 0], "the first easy one comes back, and no hard one is known yet");
        assert_eq!(pools.counts(&shares), [4, 4, 4]);
        let later = run(&mut pools, &shares, 4..8, rate);
        let count = |of: usize| later.iter().flatten().filter(|&&problem| problem / 4 == of).count();
        assert_eq!([count(0), count(1), count(2)], [4, 8, 4], "{later:?}");
        assert!(later.iter().all(|step| step.iter().collect::<std::collections::BTreeSet<_>>().len() == 4));
        // No share, no such problem, while there are others.
        let none = PoolShares { easy_fraction: 0.0, hard_fraction: 0.0, ..shares };
        assert!(run(&mut pools, &none, 8..10, rate).iter().flatten().all(|problem| problem / 4 == 1));
    }

    #[test]
    fn sources_are_asked_by_their_pools_as_often_as_a_step_needs_them() {
        let shares = PoolShares { easy_fraction: 0.25, hard_fraction: 0.0, ..PoolShares::default() };
        let mut pools = Pools::of_sources(3);
        let rate = |source: usize| [1.0, 0.5, 0.0][source];
        let asked = run(&mut pools, &shares, 0..9, rate);
        assert_eq!(asked[0], [0, 1, 2, 0], "in turns while none is measured");
        assert_eq!(asked[1], [1, 1, 1, 0], "then the one that teaches, and the easy one in its share");
        assert!(
            asked[1..].iter().flatten().all(|&source| source != 2),
            "no share, no hard problem: {asked:?}"
        );
        // One lucky problem does not make a hard source easy; many do.
        pools.record(2, 40, Some(1.0));
        assert_eq!(pools.counts(&shares), [1, 1, 1]);
        for index in 41..60 {
            pools.record(2, index, Some(1.0));
        }
        assert_eq!(pools.counts(&shares), [2, 1, 0]);
        // Each index has a problem of its own, and the source is found in it.
        let problems: std::collections::BTreeSet<u64> =
            (0..30).map(|i| pools.problem(i as usize % 3, i)).collect();
        assert_eq!(problems.len(), 30);
        assert_eq!(Pools::source(3, pools.problem(2, 7)), (2, 7));
        let text = serde_json::to_string(&pools).expect("text");
        assert_eq!(serde_json::from_str::<Pools>(&text).expect("the same"), pools);
        let listed = serde_json::to_value(Pools::new(1)).expect("a value");
        assert_eq!(listed, serde_json::json!({ "rates": [null], "asked": [0] }), "as it was before sources");
    }

    #[test]
    fn shares_of_prompts_are_exact() {
        const PROMPTS: u64 = 100_000;
        const WINDOW: usize = 1_000;
        for (easy, hard) in [(0.3, 0.1), (0.2, 0.05), (0.5, 0.1), (0.0, 0.5), (1.0, 0.0), (0.7, 0.3)] {
            let shares = PoolShares { easy_fraction: easy, hard_fraction: hard, ..PoolShares::default() };
            let mut counts = vec![[0.0; 2]];
            for index in 0..PROMPTS {
                let [easy, hard] = counts[index as usize];
                counts.push(match shares.wanted(index) {
                    Pool::Easy => [easy + 1.0, hard],
                    Pool::Hard => [easy, hard + 1.0],
                    Pool::Normal => [easy, hard],
                });
            }
            // Products of shares and counts are rounded.
            let is_near =
                |found: f64, expected: f64, prompts: f64| (found - expected).abs() <= prompts + 1e-6;
            for (prompts, found) in counts.iter().enumerate() {
                let whole = prompts as f64;
                assert!(is_near(found[0], whole * easy, 1.0), "{easy}, {prompts}: {found:?}");
                assert!(is_near(found[1], whole * hard, 1.0), "{hard}, {prompts}: {found:?}");
            }
            for (from, to) in counts.iter().zip(&counts[WINDOW..]) {
                assert!(is_near(to[0] - from[0], WINDOW as f64 * easy, 1.0), "{easy}: {from:?} {to:?}");
                assert!(is_near(to[1] - from[1], WINDOW as f64 * hard, 2.0), "{hard}: {from:?} {to:?}");
            }
        }
    }

    /// The definition of [`Pools::pick`], pool by pool.
    fn picked(pools: &Pools, shares: &PoolShares, index: u64, taken: &[usize]) -> Option<usize> {
        let oldest = |pool: Pool| {
            let fits = |at: &usize| shares.pool(pools.rates[*at]) == pool && !taken.contains(at);
            (0..pools.len()).filter(fits).min_by_key(|&at| (pools.asked[at], at))
        };
        let last = |problem| taken.iter().rposition(|&other| other == problem).map_or(0, |at| at + 1);
        [shares.wanted(index), Pool::Normal, Pool::Hard, Pool::Easy]
            .into_iter()
            .find_map(oldest)
            .or_else(|| (0..pools.len()).min_by_key(|&at| (last(at), at)))
    }

    #[test]
    fn picks_are_those_of_the_definition() {
        let shares = PoolShares { easy_fraction: 0.3, hard_fraction: 0.2, ..PoolShares::default() };
        for problems in 0..12 {
            let mut pools = Pools::new(problems);
            for step in 0..20 {
                let mut taken = vec![problems + 3]; // no problem of this list
                for index in 8 * step..8 * step + 8 {
                    let found = pools.pick(&shares, index, &taken);
                    assert_eq!(found, picked(&pools, &shares, index, &taken), "{pools:?} {taken:?}");
                    taken.extend(found);
                }
                for (index, &problem) in (8 * step..).zip(&taken[1..]) {
                    let draw = Seed::new(7).index(index).index(problem as u64).value() % 6;
                    pools.record(problem, index, (draw < 5).then_some(draw as f64 / 4.0));
                }
            }
        }
    }

    #[test]
    fn a_pick_takes_time_in_proportion_to_the_problems() {
        let (problems, taken) = (50_000, (0..40_000).collect::<Vec<_>>());
        let pools = Pools::new(problems);
        let start = Instant::now();
        for index in 0..50 {
            assert_eq!(pools.pick(&PoolShares::default(), index, &taken), Some(40_000));
        }
        // Milliseconds; comparing each problem with each that is taken needs 6e10 comparisons.
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }

    #[test]
    fn a_saved_state_goes_on_as_the_whole_and_an_empty_pool_is_no_end() {
        let shares = PoolShares::default();
        let (mut whole, mut part) = (Pools::new(7), Pools::new(7));
        let all = run(&mut whole, &shares, 0..9, |problem| problem as f64 / 6.0);
        let mut again = run(&mut part, &shares, 0..4, |problem| problem as f64 / 6.0);
        let text = serde_json::to_string(&part).expect("plain data");
        let mut loaded: Pools = serde_json::from_str(&text).expect("its own");
        again.extend(run(&mut loaded, &shares, 4..9, |problem| problem as f64 / 6.0));
        assert_eq!(all, again);
        assert_eq!(whole, loaded);
        // All are easy, and a step has more prompts than there are problems.
        let mut few = Pools::new(3);
        let asked = run(&mut few, &PoolShares { easy_fraction: 0.0, ..shares }, 0..3, |_| 1.0);
        assert!(asked.iter().all(|step| step[..3].iter().sum::<usize>() == 3), "{asked:?}");
        assert_eq!(Pools::new(0).pick(&shares, 0, &[]), None);
        few.record(0, 12, None);
        assert_eq!(shares.pool(few.rates[0]), Pool::Easy, "what was not scored changes no rate");
    }

    #[test]
    fn shares_that_cannot_be_are_named() {
        let of = |change: fn(&mut PoolShares)| {
            let mut shares = PoolShares::default();
            change(&mut shares);
            shares.validate().map_err(|(key, _, _)| key)
        };
        assert_eq!(of(|_| ()), Ok(()));
        assert_eq!(of(|s| s.easy_threshold = 0.2), Err("easy_threshold"));
        assert_eq!(of(|s| s.hard_threshold = -0.1), Err("hard_threshold"));
        assert_eq!(of(|s| s.easy_fraction = f64::NAN), Err("easy_fraction"));
        assert_eq!(of(|s| s.hard_fraction = 0.95), Err("hard_fraction"));
    }
}

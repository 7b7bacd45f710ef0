//! Written attempts for pretraining, most of them poor: a base that can reason but seldom does.
//!
//! A tiny policy cannot discover a chain of thought by reinforcement from random weights. Trained first on a
//! [`Mix`] in which most attempts answer at once and guess, some show their steps and some slip, it holds
//! every behaviour with some probability, and reinforcement decides which one pays.
//!
//! Completions carry no end token: the tokenizer's side appends it. To evaluate what the policy can do without
//! a thought, let it continue the prompt followed by `<think></think>`, which is how a direct answer begins.

use crate::procedural::chain_sum::{Bounded, Problem};
use crate::procedural::{Family, Stream};
use crate::split::{Shares, Split};
use crate::{Error, Seed};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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
    /// All steps, one of them wrong; what follows is computed from the wrong total.
    Slip,
    /// All steps, one of them wrong and at once corrected after a `W` ("wait").
    Corrected,
    /// All steps, rightly.
    Correct,
}

/// How often each sort of attempt is written. The first five are weights: only their ratios matter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mix {
    /// Weight of [`Kind::Direct`].
    pub direct: f64,
    /// Weight of [`Kind::Partial`].
    pub partial: f64,
    /// Weight of [`Kind::Slip`].
    pub slip: f64,
    /// Weight of [`Kind::Corrected`].
    pub corrected: f64,
    /// Weight of [`Kind::Correct`].
    pub correct: f64,
    /// Share of attempts, of whatever sort, that end in the bare answer without `<answer>` tags, so that
    /// there is a format to learn.
    pub untagged: f64,
    /// Standard deviation of a guess around the truth, before it is clamped to the totals' range.
    pub guess_sigma: f64,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            direct: 0.62,
            partial: 0.08,
            slip: 0.04,
            corrected: 0.06,
            correct: 0.20,
            untagged: 0.05,
            guess_sigma: 4.0,
        }
    }
}

impl Mix {
    /// Checks that the weights are weights.
    ///
    /// # Errors
    /// [`Error::Params`] for a negative or non-finite number, no positive weight, or `untagged` above 1.
    pub fn validate(&self) -> Result<(), Error> {
        let weights = self.weights().map(|(_, weight)| weight);
        let all = weights.into_iter().chain([self.untagged, self.guess_sigma]);
        let good = all.into_iter().all(|x| x.is_finite() && x >= 0.0);
        if good && weights.iter().sum::<f64>() > 0.0 && self.untagged <= 1.0 {
            return Ok(());
        }
        let expected = "expected numbers of at least 0, a positive weight among them, and untagged <= 1";
        Err(Error::Params { of: "mix", problem: format!("{expected}, found {self:?}") })
    }

    fn weights(&self) -> [(Kind, f64); 5] {
        [
            (Kind::Direct, self.direct),
            (Kind::Partial, self.partial),
            (Kind::Slip, self.slip),
            (Kind::Corrected, self.corrected),
            (Kind::Correct, self.correct),
        ]
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> Kind {
        let weights = self.weights();
        let mut left = rng.random_range(0.0..1.0) * weights.iter().map(|(_, weight)| weight).sum::<f64>();
        for (kind, weight) in weights {
            if left < weight {
                return kind;
            }
            left -= weight;
        }
        Kind::Correct // rounding can leave a crumb above the last weight
    }
}

/// Traces of training problems, by index: there is no way to ask it for another split.
#[derive(Clone, Debug)]
pub struct Traces {
    stream: Stream,
    mix: Mix,
    seed: Seed,
}

impl Traces {
    /// The traces of a family's training problems.
    ///
    /// # Errors
    /// [`Error::Params`] for a bad mix or bad shares, [`Error::NoTraces`] for a family without traces.
    pub fn new(family: Arc<dyn Family>, mix: Mix, shares: Shares, seed: Seed) -> Result<Self, Error> {
        mix.validate()?;
        let seed = seed.child("traces");
        let traces =
            Self { stream: Stream::new(family, Split::Train, shares, seed)?, mix, seed: seed.child("noise") };
        traces.trace(0)?;
        Ok(traces)
    }

    /// The trace at an index, the same whatever was asked before.
    ///
    /// # Errors
    /// Those of [`Stream::task`].
    pub fn trace(&self, index: u64) -> Result<Trace, Error> {
        let (task, family) = (self.stream.task(index)?, self.stream.family());
        let trace = family.trace(&task, &self.mix, &mut self.seed.index(index).rng());
        trace.ok_or(Error::NoTraces { family: family.name() })
    }
}

/// One attempt at a chain of sums, its sort drawn from the mix.
pub(crate) fn chain_sum(problem: &Problem, bounds: &Bounded, mix: &Mix, rng: &mut ChaCha8Rng) -> Trace {
    let text = |total: i64| format!("{total:0width$}", width = bounds.pad);
    let totals = problem.totals();
    let truth = totals.last().copied().unwrap_or_default();
    let mut written: Vec<String> = totals.iter().map(|&total| text(total)).collect();
    let mut kind = mix.draw(rng);
    let answer = match kind {
        Kind::Correct => truth,
        Kind::Direct | Kind::Partial => {
            let shown =
                if kind == Kind::Partial && totals.len() > 1 { rng.random_range(1..totals.len()) } else { 0 };
            written.truncate(shown);
            truth.saturating_add(noise(mix.guess_sigma, rng)).clamp(0, bounds.total_max)
        }
        Kind::Slip => {
            if let Some((at, by)) = slip(&totals, bounds.total_max, Reach::Rest, rng) {
                for (written, total) in written.iter_mut().zip(&totals).skip(at) {
                    *written = text(total + by);
                }
                truth + by
            } else {
                kind = Kind::Correct;
                truth
            }
        }
        Kind::Corrected => {
            match slip(&totals, bounds.total_max, Reach::One, rng) {
                Some((at, by)) => written[at] = format!("{}W{}", text(totals[at] + by), written[at]),
                None => kind = Kind::Correct,
            }
            truth
        }
    };
    let thought = problem.write_steps(&written);
    let answer = text(answer);
    let answer = if rng.random_bool(mix.untagged) { answer } else { format!("<answer>{answer}</answer>") };
    Trace { prompt: problem.to_string(), completion: format!("<think>{thought}</think>{answer}"), kind }
}

/// How far a slip changes the totals.
#[derive(Clone, Copy)]
enum Reach {
    /// It is corrected at once.
    One,
    /// It is carried to the end.
    Rest,
}

/// A step and an offset (±1, ±2, ±10) that leave all changed totals in range, uniformly among those there are;
/// `None` only where the totals themselves are out of range, as in a task of somebody else's.
fn slip(totals: &[i64], total_max: i64, reach: Reach, rng: &mut ChaCha8Rng) -> Option<(usize, i64)> {
    let fits = |at: usize, by: i64| {
        let end = match reach {
            Reach::One => at + 1,
            Reach::Rest => totals.len(),
        };
        totals[at..end].iter().all(|total| (0..=total_max).contains(&(total + by)))
    };
    let places = (0..totals.len()).flat_map(|at| [-10, -2, -1, 1, 2, 10].map(|by| (at, by)));
    let options: Vec<_> = places.filter(|&(at, by)| fits(at, by)).collect();
    (!options.is_empty()).then(|| options[rng.random_range(0..options.len())])
}

/// A rounded normal deviate: twelve uniforms less 6 have variance 1 and, unlike logarithm and cosine, the same
/// bits on every platform.
fn noise(sigma: f64, rng: &mut ChaCha8Rng) -> i64 {
    let standard = (0..12).map(|_| rng.random_range(0.0..1.0)).sum::<f64>() - 6.0;
    (standard * sigma).round() as i64
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::{Kind, Mix, Trace, Traces};
    use crate::procedural::chain_sum::Problem;
    use crate::procedural::{ChainSum, by_name};
    use crate::split::{Shares, is_held_out};
    use crate::{Error, Seed};
    use serde_json::Value;
    use std::sync::Arc;

    fn traces(mix: Mix, count: u64) -> Vec<Trace> {
        let traces = Traces::new(Arc::new(ChainSum::tiny()), mix, Shares::default(), Seed::new(0)).unwrap();
        (0..count).map(|index| traces.trace(index).unwrap()).collect()
    }

    /// A mix of one sort, always tagged.
    fn only(kind: Kind) -> Mix {
        let weight = |k| f64::from(u8::from(k == kind));
        Mix {
            direct: weight(Kind::Direct),
            partial: weight(Kind::Partial),
            slip: weight(Kind::Slip),
            corrected: weight(Kind::Corrected),
            correct: weight(Kind::Correct),
            untagged: 0.0,
            ..Mix::default()
        }
    }

    /// The problem, the thought and the answer of a tagged trace.
    fn parts(trace: &Trace) -> (Problem, &str, &str) {
        let (thought, answer) =
            trace.completion.strip_prefix("<think>").unwrap().split_once("</think>").unwrap();
        let answer = answer.strip_prefix("<answer>").unwrap().strip_suffix("</answer>").unwrap();
        (Problem::parse(&trace.prompt).unwrap(), thought, answer)
    }

    #[test]
    fn a_correct_trace_shows_all_steps_and_the_answer() {
        for trace in traces(only(Kind::Correct), 500) {
            let (problem, _, answer) = parts(&trace);
            assert!(problem.shows_all_steps(&trace.completion), "{trace:?}");
            assert_eq!(answer, format!("{:02}", problem.totals()[3]));
            assert_eq!(trace.kind, Kind::Correct);
        }
    }

    #[test]
    fn the_written_form_is_that_of_the_recipe() {
        let problem = Problem::parse("14-8+1+2-6=").unwrap();
        let bounds = crate::procedural::chain_sum::Bounded::default();
        let mix = only(Kind::Correct);
        let trace = super::chain_sum(&problem, &bounds, &mix, &mut Seed::new(0).rng());
        assert_eq!(trace.completion, "<think>14-8=06+1=07+2=09-6=03</think><answer>03</answer>");
        let trace =
            super::chain_sum(&problem, &bounds, &Mix { untagged: 1.0, ..mix }, &mut Seed::new(0).rng());
        assert_eq!(trace.completion, "<think>14-8=06+1=07+2=09-6=03</think>03");
    }

    #[test]
    fn a_direct_trace_has_an_empty_thought_and_is_right_as_often_as_its_noise_allows() {
        let traces = traces(only(Kind::Direct), 5_000);
        let right = traces.iter().filter(|trace| {
            let (problem, thought, answer) = parts(trace);
            assert_eq!((thought, answer.len()), ("", 2));
            assert!((0..=19).contains(&answer.parse::<i64>().unwrap()));
            answer == format!("{:02}", problem.totals()[3])
        });
        // P(|N(0, 4)| < 0.5) = 0.0995, and clamping helps where the truth is 0 or 19.
        let share = right.count() as f64 / 5_000.0;
        assert!((0.09..0.17).contains(&share), "{share}");
    }

    #[test]
    fn a_partial_trace_shows_some_right_steps_and_not_all() {
        for trace in traces(only(Kind::Partial), 500) {
            let (problem, thought, _) = parts(&trace);
            let totals: Vec<_> = problem.totals().iter().map(|total| format!("{total:02}")).collect();
            let full = problem.write_steps(&totals);
            assert!(
                !thought.is_empty() && full.starts_with(thought) && thought.len() < full.len(),
                "{trace:?}"
            );
        }
    }

    #[test]
    fn a_slip_is_carried_to_a_wrong_answer_by_steps_that_follow_from_it() {
        for trace in traces(only(Kind::Slip), 500) {
            let (problem, thought, answer) = parts(&trace);
            let written: Vec<i64> =
                thought.split('=').skip(1).map(|step| step[..2].parse().unwrap()).collect();
            let errors: Vec<i64> = written.iter().zip(problem.totals()).map(|(w, total)| w - total).collect();
            let by = *errors.last().unwrap();
            assert!([1, 2, 10].contains(&by.abs()), "{trace:?}");
            assert!(
                errors.is_sorted_by_key(|e| *e != 0) && errors.iter().all(|&e| e == 0 || e == by),
                "{trace:?}"
            );
            assert!(written.iter().all(|w| (0..=19).contains(w)), "{trace:?}");
            assert_eq!(answer.parse::<i64>().unwrap(), written[3]);
        }
    }

    #[test]
    fn a_corrected_trace_waits_once_and_ends_right() {
        for trace in traces(only(Kind::Corrected), 500) {
            let (problem, thought, answer) = parts(&trace);
            let (before, after) = thought.split_once('W').unwrap();
            assert_ne!(before[before.len() - 2..], after[..2], "{trace:?}");
            assert!(problem.shows_all_steps(&trace.completion), "{trace:?}");
            assert_eq!(answer, format!("{:02}", problem.totals()[3]));
        }
    }

    #[test]
    fn sorts_come_as_often_as_the_mix_says() {
        let traces = traces(Mix::default(), 20_000);
        for (kind, weight) in Mix::default().weights() {
            let share = traces.iter().filter(|trace| trace.kind == kind).count() as f64 / 20_000.0;
            assert!((share - weight).abs() < 0.015, "{kind:?} {share}");
        }
        let untagged = traces.iter().filter(|trace| !trace.completion.contains("<answer>")).count();
        assert!((850..1_150).contains(&untagged), "{untagged}");
    }

    #[test]
    fn no_trace_is_of_a_held_out_problem() {
        for trace in traces(Mix::default(), 20_000) {
            assert!(!is_held_out(&trace.prompt, 0.2), "{trace:?}");
        }
    }

    #[test]
    fn families_without_traces_and_bad_mixes_are_refused() {
        let new = |family, mix| Traces::new(family, mix, Shares::default(), Seed::new(0));
        for name in ["gcd", "chain_sum"] {
            let refused = new(by_name(name, &Value::Null).unwrap(), Mix::default());
            assert!(matches!(refused, Err(Error::NoTraces { .. })), "{name}");
        }
        let none = Mix { correct: 0.0, ..only(Kind::Correct) };
        for mix in [none, Mix { slip: -0.1, ..Mix::default() }, Mix { untagged: 1.5, ..Mix::default() }] {
            assert!(matches!(new(Arc::new(ChainSum::tiny()), mix), Err(Error::Params { .. })), "{mix:?}");
        }
    }
}

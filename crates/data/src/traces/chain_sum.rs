//! Attempts at bounded chains of sums without words, whose steps run on:
//! `<think>14-8=06+1=07</think><answer>07</answer>`.

use super::{Kind, Trace, TraceMix};
use crate::Task;
use crate::procedural::chain_sum::{Bounded, Problem};
use crate::procedural::{ChainSum, Family, Mixture};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::any::Any;

/// The task as a bounded chain of sums, where it is one and the mix has no words for steps.
pub(super) fn without_words<'a>(
    family: &'a dyn Family,
    task: &Task,
    mix: &TraceMix,
) -> Option<(&'a Bounded, Problem)> {
    if !mix.languages.is_empty() {
        return None;
    }
    let concrete: &dyn Any = family;
    match concrete.downcast_ref::<Mixture>() {
        Some(mixture) => without_words(mixture.member(task)?, task, mix),
        None => concrete.downcast_ref::<ChainSum>()?.bounded(task),
    }
}

/// One attempt at a chain of sums, its sort drawn from the mix.
pub(super) fn attempt(problem: &Problem, bounds: &Bounded, mix: &TraceMix, rng: &mut ChaCha8Rng) -> Trace {
    let text = |total: i64| bounds.text(total);
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
            bounds.guess(truth, mix.guess_sigma, rng)
        }
        Kind::Slip => {
            if let Some((at, by)) = mistake(&totals, bounds.total_max, Reach::Rest, rng) {
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
            match mistake(&totals, bounds.total_max, Reach::One, rng) {
                Some((at, by)) => written[at] = format!("{}W{}", text(totals[at] + by), written[at]),
                None => kind = Kind::Correct,
            }
            truth
        }
    };
    let thought = problem.write_steps(&written);
    let answer = text(answer);
    let answer = mix.tagged(&answer, rng);
    Trace { prompt: problem.to_string(), completion: format!("<think>{thought}</think>{answer}"), kind }
}

/// How far a mistake changes the totals.
#[derive(Clone, Copy)]
enum Reach {
    /// It is corrected at once.
    One,
    /// It is carried to the end.
    Rest,
}

/// A step and an offset (±1, ±2, ±10) that leave all changed totals in range, uniformly among those there are;
/// `None` only where the totals themselves are out of range, as in a task of another family.
fn mistake(totals: &[i64], total_max: i64, reach: Reach, rng: &mut ChaCha8Rng) -> Option<(usize, i64)> {
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use crate::procedural::chain_sum::Problem;
    use crate::procedural::{ChainSum, by_name};
    use crate::split::{Shares, is_validation};
    use crate::traces::{Kind, Trace, TraceMix, Traces};
    use crate::{Error, Seed};
    use serde_json::Value;
    use std::sync::Arc;

    fn traces(mix: TraceMix, count: u64) -> Vec<Trace> {
        let traces = Traces::new(Arc::new(ChainSum::tiny()), mix, Shares::default(), Seed::new(0)).unwrap();
        (0..count).map(|index| traces.trace(index).unwrap()).collect()
    }

    /// A mix of one sort, always tagged.
    fn only(kind: Kind) -> TraceMix {
        let weight = |k| f64::from(u8::from(k == kind));
        TraceMix {
            direct: weight(Kind::Direct),
            partial: weight(Kind::Partial),
            slip: weight(Kind::Slip),
            corrected: weight(Kind::Corrected),
            correct: weight(Kind::Correct),
            untagged: 0.0,
            ..TraceMix::default()
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
        let trace = super::attempt(&problem, &bounds, &mix, &mut Seed::new(0).rng());
        assert_eq!(trace.completion, "<think>14-8=06+1=07+2=09-6=03</think><answer>03</answer>");
        let trace =
            super::attempt(&problem, &bounds, &TraceMix { untagged: 1.0, ..mix }, &mut Seed::new(0).rng());
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
        let traces = traces(TraceMix::default(), 20_000);
        for (kind, weight) in TraceMix::default().kinds() {
            let share = traces.iter().filter(|trace| trace.kind == kind).count() as f64 / 20_000.0;
            assert!((share - weight).abs() < 0.015, "{kind:?} {share}");
        }
        let untagged = traces.iter().filter(|trace| !trace.completion.contains("<answer>")).count();
        assert!((850..1_150).contains(&untagged), "{untagged}");
    }

    #[test]
    fn no_trace_is_of_a_validation_problem() {
        for trace in traces(TraceMix::default(), 20_000) {
            assert!(!is_validation(&trace.prompt, 0.2), "{trace:?}");
        }
    }

    #[test]
    fn families_without_traces_and_bad_mixes_are_refused() {
        let new = |family, mix| Traces::new(family, mix, Shares::default(), Seed::new(0));
        for name in ["gcd", "chain_sum"] {
            let refused = new(by_name(name, &Value::Null).unwrap(), TraceMix::default());
            assert!(matches!(refused, Err(Error::NoTraces { .. })), "{name}");
        }
        let none = TraceMix { correct: 0.0, ..only(Kind::Correct) };
        for mix in [
            none,
            TraceMix { slip: -0.1, ..TraceMix::default() },
            TraceMix { untagged: 1.5, ..TraceMix::default() },
        ] {
            assert!(
                matches!(new(Arc::new(ChainSum::tiny()), mix.clone()), Err(Error::Params { .. })),
                "{mix:?}"
            );
        }
    }
}

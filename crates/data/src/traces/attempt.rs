//! Attempts at any task whose family works it out in steps: each step behind a word of a language.

use super::{Kind, StepWords, Trace, TraceMix};
use crate::Task;
use crate::procedural::{Mistake, STEP_END, Worked};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// What takes a step back where steps have no words.
const WAIT: &str = "W";

/// One attempt, its sort drawn from the mix; `None` where the family does not work the task out.
pub(super) fn attempt(
    family: &dyn Worked,
    task: &Task,
    mix: &TraceMix,
    rng: &mut ChaCha8Rng,
) -> Option<Trace> {
    let right = family.work(task, Mistake::Never, rng)?;
    let count = right.steps.len();
    let mut kind = mix.draw(rng);
    let mistaken = |rng: &mut ChaCha8Rng| {
        let at = rng.random_range(0..count.max(1));
        let work = family.work(task, Mistake::At(at), rng)?;
        // Some steps have no wrong form, such as the last of Euclid's: nothing is smaller than a divisor of 1 but 0.
        (work.steps.get(at)? != right.steps.get(at)?).then_some((at, work))
    };
    let (steps, wait, answer) = match kind {
        Kind::Correct => (right.steps, None, right.answer),
        Kind::Direct | Kind::Partial => {
            let shown = if kind == Kind::Partial && count > 1 { rng.random_range(1..count) } else { 0 };
            let steps = right.steps.into_iter().take(shown).collect();
            (steps, None, family.guess(task, mix.guess_sigma, rng)?)
        }
        Kind::Slip | Kind::Corrected => match (mistaken(rng), kind) {
            (Some((_, work)), Kind::Slip) => (work.steps, None, work.answer),
            (Some((at, work)), _) => {
                let steps = work.steps.iter().take(at + 1).chain(right.steps.iter().skip(at)).cloned();
                (steps.collect(), Some(at + 1), right.answer)
            }
            (None, _) => {
                kind = Kind::Correct;
                (right.steps, None, right.answer)
            }
        },
    };
    let thought = thought(&steps, wait, mix, rng);
    let completion = format!("<think>{thought}</think>{}", mix.tagged(&answer, rng));
    Some(Trace { prompt: task.prompt.text(), completion, kind })
}

/// The steps behind their words, that of index `wait` behind the word of doubt.
fn thought(steps: &[String], wait: Option<usize>, mix: &TraceMix, rng: &mut ChaCha8Rng) -> String {
    let word = |at: usize, words: Option<StepWords>, rng: &mut ChaCha8Rng| match (words, wait == Some(at)) {
        (None, false) => String::new(),
        (None, true) => WAIT.to_owned(),
        (Some(words), false) => format!("{} ", words.step(rng)),
        (Some(words), true) => format!("{} ", words.wait),
    };
    let words = mix.step_words(steps.len(), rng);
    let steps = steps.iter().zip(words).enumerate();
    steps.map(|(at, (step, words))| word(at, words, rng) + step).collect::<Vec<_>>().join(STEP_END)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use crate::procedural::{Family, Mistake, Stream, by_name};
    use crate::split::{Shares, Split};
    use crate::traces::{Kind, Trace, TraceMix, Traces};
    use crate::{Error, Seed, Task};
    use serde_json::{Value, json};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    /// The families that work their tasks out, in the form for tiny policies.
    fn families() -> Vec<Arc<dyn Family>> {
        let bare = |name, params| by_name(name, &params).unwrap();
        vec![
            bare("chain_sum", json!({ "terms": 4, "total_max": 19 })),
            bare("gcd", json!({ "wording": "bare", "max_value": 40 })),
            bare(
                "countdown",
                json!({ "wording": "bare", "min_numbers": 3, "max_numbers": 3, "max_value": 9, "min_target": 1,
                        "max_target": 27, "operators": ["+", "-"] }),
            ),
            bare("spell_backward", json!({ "wording": "bare", "min_word_len": 3, "max_word_len": 6 })),
        ]
    }

    /// A mix of one sort in two languages, always tagged.
    fn only(kind: Kind) -> TraceMix {
        let weight = |k| f64::from(u8::from(k == kind));
        TraceMix {
            direct: weight(Kind::Direct),
            partial: weight(Kind::Partial),
            slip: weight(Kind::Slip),
            corrected: weight(Kind::Corrected),
            correct: weight(Kind::Correct),
            untagged: 0.0,
            languages: BTreeMap::from([("en".to_owned(), 1.0), ("de".to_owned(), 1.0)]),
            ..TraceMix::default()
        }
    }

    /// The first attempts of that mix, with their tasks.
    fn traces(family: &Arc<dyn Family>, mix: TraceMix, count: u64) -> Vec<(Task, Trace)> {
        let (seed, shares) = (Seed::new(0), Shares::default());
        let tasks = Stream::new(family.clone(), Split::Train, shares, seed.child("traces")).unwrap();
        let traces = Traces::new(family.clone(), mix, shares, seed).unwrap();
        (0..count).map(|index| (tasks.task(index).unwrap(), traces.trace(index).unwrap())).collect()
    }

    fn answer(trace: &Trace) -> &str {
        trace.completion.split_once("<answer>").unwrap().1.strip_suffix("</answer>").unwrap()
    }

    #[test]
    fn the_written_forms_are_those_of_the_page() {
        let written = |family: usize| {
            let mix = TraceMix { languages: BTreeMap::from([("en".to_owned(), 1.0)]), ..only(Kind::Correct) };
            let (_, trace) = traces(&families()[family], mix, 1).remove(0);
            format!("{} {}", trace.prompt, trace.completion.replace("then ", "now "))
        };
        for (family, form) in [
            (0, "10-2+5+1= <think>now 10-2=08;now 08+5=13;now 13+1=14</think><answer>14</answer>"),
            (1, "gcd(07,14)= <think>now 14%07=00</think><answer>07</answer>"),
            (2, "4?7?6=03 <think>now 4+7+6=17;now 4+7-6=05;now 4-7+6=03</think><answer>4-7+6</answer>"),
            (
                3,
                "rev fikohu= <think>now 1u;now 2h;now 3o;now 4k;now 5i;now 6f</think><answer>uhokif</answer>",
            ),
        ] {
            assert_eq!(written(family), form);
        }
    }

    #[test]
    fn a_correct_attempt_shows_all_steps_and_the_answer() {
        for family in families() {
            for (task, trace) in traces(&family, only(Kind::Correct), 300) {
                let worked = family.worked().unwrap();
                let work = worked.work(&task, Mistake::Never, &mut Seed::new(0).rng()).unwrap();
                assert!(work.is_shown_in(&trace.completion), "{trace:?}");
                assert_eq!((answer(&trace), trace.kind), (task.answer.as_str(), Kind::Correct), "{trace:?}");
                assert_ne!(family.shows_all_steps(&task, &trace.completion), Some(false), "{trace:?}");
            }
        }
    }

    #[test]
    fn a_slip_is_followed_to_another_answer_and_a_corrected_one_is_not() {
        for family in families() {
            let name = family.name();
            for (task, trace) in traces(&family, only(Kind::Corrected), 300) {
                assert_eq!(answer(&trace), task.answer, "{trace:?}");
                let waits = ["wait ", "halt "].map(|word| trace.completion.matches(word).count());
                assert_eq!(waits[0] + waits[1], usize::from(trace.kind == Kind::Corrected), "{trace:?}");
            }
            let slips = traces(&family, only(Kind::Slip), 200);
            let slipped = slips.iter().filter(|(_, trace)| trace.kind == Kind::Slip).count();
            assert!(slipped > 150, "{name}: {slipped}");
            let wrong = slips.iter().filter(|(task, trace)| answer(trace) != task.answer).count();
            assert!(wrong > 80, "{name}: {wrong}");
        }
    }

    #[test]
    fn a_guess_is_seldom_right_and_has_the_form_of_an_answer() {
        for family in families() {
            let guesses = traces(&family, only(Kind::Direct), 300);
            assert!(guesses.iter().all(|(_, trace)| trace.completion.starts_with("<think></think><answer>")));
            let right = guesses.iter().filter(|(task, trace)| answer(trace) == task.answer).count();
            assert!(right < 100, "{}: {right} of 300", family.name());
        }
    }

    #[test]
    fn without_languages_steps_have_no_words() {
        let mix = TraceMix { languages: BTreeMap::new(), ..only(Kind::Corrected) };
        let (_, trace) = traces(&families()[1], mix, 1).remove(0);
        assert!(trace.completion.contains(";W") && !trace.completion.contains(' '), "{trace:?}");
    }

    #[test]
    fn families_that_do_not_work_out_are_refused_by_name() {
        let family = by_name("number_sorting", &Value::Null).unwrap();
        let refused = Traces::new(family, only(Kind::Correct), Shares::default(), Seed::new(0));
        assert!(matches!(refused, Err(Error::NoTraces { family: "number_sorting" })));
    }
}

//! What the completions of a step say about the run: of all reasons for which nothing would be learned the first one that
//! explains the others. It does not know how they were sampled.

use super::super::findings::{Finding, percent};
use super::super::rewards::Form;
use crate::recipe::Recipe;
use ruminate_data::{Completion, FinishReason, Group, Outcome, Verdict};
use ruminate_eval::metrics::{pass_at_k, solve_rate};
use ruminate_grpo::Verdicts;
use ruminate_train::Metrics;
use std::fmt::Write as _;

/// Completions from which on "none of them" says something: with fewer, one in ten could well be different.
const ENOUGH: usize = 30;

/// Share of completions that are cut off from which a run is refused, where none of these is right.
const MANY_CUT: f64 = 0.9;

/// Share of groups with equal rewards from which there is a warning.
const MANY_DEAD: f64 = 0.5;

/// A step's completions, judged and compared.
pub(super) struct Batch<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) groups: &'a [Group],
    /// One per completion, by group.
    pub(super) advantages: &'a [Vec<f64>],
    /// Whether each completion has the form that the reward looks for, by group; None where it looks for none.
    pub(super) formed: Vec<Vec<Option<bool>>>,
    /// That form.
    pub(super) form: Option<Form>,
}

/// Groups by what they teach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Dead {
    /// All scored completions are right.
    solved: usize,
    /// None is.
    unsolved: usize,
    /// Some are, and the rewards are equal all the same.
    mixed: usize,
    /// None was scored.
    unscored: usize,
}

impl Dead {
    fn count(self) -> usize {
        self.solved + self.unsolved + self.mixed + self.unscored
    }
}

impl Batch<'_> {
    /// Whether no group has anything to learn from.
    pub(super) fn are_all_dead(&self) -> bool {
        self.advantages.iter().flatten().all(|advantage| *advantage == 0.0)
    }

    /// Everything that is found; at most one finding is severe.
    pub(super) fn findings(&self, metrics: &Metrics) -> Vec<Finding> {
        let verdicts = Verdicts::of(self.groups);
        let mut findings = vec![self.sampled(metrics)];
        let checks = [
            Self::unscored(&verdicts),
            Some(self.cut_off()),
            self.form(),
            self.difficulty(&verdicts),
            Some(self.dead_groups()),
        ];
        let mut is_explained = false;
        for finding in checks.into_iter().flatten() {
            // What follows from a severe finding is no second one.
            let finding = if is_explained { finding.at_most_a_warning() } else { finding };
            is_explained |= finding.is_severe();
            findings.push(finding);
        }
        findings.push(self.gradient());
        findings
    }

    fn completions(&self) -> impl Iterator<Item = (&Completion, &Verdict)> {
        self.groups.iter().flat_map(|group| group.completions.iter().zip(&group.verdicts))
    }

    fn count(&self) -> usize {
        self.completions().count()
    }

    fn sampled(&self, metrics: &Metrics) -> Finding {
        let number =
            |name: &str| metrics.measured(name).map_or("-".to_owned(), |value| format!("{value:.3}"));
        Finding::note(
            "sampled",
            format!(
                "{} completions of {} problems: reward {} on average, {} tokens long, entropy {} nats a token",
                self.count(),
                self.groups.len(),
                number("reward"),
                number("completions/mean_length"),
                number("entropy")
            ),
        )
    }

    fn unscored(verdicts: &Verdicts) -> Option<Finding> {
        let (unscored, all) = (verdicts.unscored(), verdicts.completions);
        if unscored == 0 {
            return None;
        }
        let why = verdicts.unscored_because.as_ref().map_or("none was given", |(why, _)| why.as_str());
        let found = format!(
            "{} of the completions could not be scored ({unscored} of {all}); most frequent reason: {why}",
            percent(unscored, all)
        );
        let advice = "correct what `[reward]` names: what is not scored is not learned from";
        let many = 2 * unscored > all;
        Some(if many { Finding::severe } else { Finding::warning }("unscored", found, advice))
    }

    fn cut_off(&self) -> Finding {
        let is_cut = |completion: &Completion| completion.finish_reason == FinishReason::Length;
        let (cut, all) = (self.completions().filter(|(c, _)| is_cut(c)).count(), self.count());
        let right = self.completions().filter(|(c, v)| is_cut(c) && v.outcome == Outcome::Correct).count();
        let limit = self.recipe.rollout.max_new_tokens;
        let found = format!(
            "{} of the completions were cut off at {limit} tokens ({cut} of {all})",
            percent(cut, all)
        );
        let advice = "raise `rollout.max_new_tokens`, ask for short answers in `data.system`, or choose a model that ends its answers";
        let name = "cut_off";
        if cut as f64 >= MANY_CUT * all as f64 && right == 0 {
            return Finding::severe(name, format!("{found}, and none of these is right"), advice);
        }
        let warns = self.recipe.alarms.clipped.value().is_some_and(|limit| cut as f64 > limit * all as f64);
        if warns { Finding::warning(name, found, advice) } else { Finding::note(name, found) }
    }

    fn form(&self) -> Option<Finding> {
        let form = self.form?;
        let seen = self.formed.iter().flatten().filter(|formed| **formed == Some(true)).count();
        let (all, name) = (self.count(), "format_seen");
        let found = format!("{} of the completions have {form} ({seen} of {all})", percent(seen, all));
        if seen > 0 {
            return Some(Finding::note(name, found));
        }
        let advice = "show the form in the prompt (`data.system`, `data.prompt = \"r1\"`, or examples by `data.shots`), teach it by `sft` \
                      first, or choose a verifier that reads free text";
        let unread = self.completions().all(|(_, verdict)| verdict.outcome != Outcome::Correct);
        Some(if unread {
            Finding::severe(name, format!("{found}: what the reward looks for is never written"), advice)
        } else {
            Finding::warning(name, format!("{found}: that part of the reward is never paid"), advice)
        })
    }

    /// Whether the problems are too hard or too easy for the policy.
    fn difficulty(&self, verdicts: &Verdicts) -> Option<Finding> {
        let (correct, scored) = (verdicts.correct, verdicts.scored);
        if scored == 0 {
            return None;
        }
        let all_dead = self.are_all_dead();
        let is_certain = scored >= ENOUGH && all_dead;
        let of = if is_certain { Finding::severe } else { Finding::warning };
        let few = if scored < ENOUGH {
            format!("; {scored} completions are few to judge by")
        } else {
            String::new()
        };
        if correct == 0 {
            let why = match &verdicts.wrong_because {
                Some((why, count)) if !why.is_empty() => format!("; most frequent reason: {why} ({count})"),
                _ => String::new(),
            };
            let still = if all_dead { "" } else { "; what is left to learn is the rest of the reward" };
            let found = format!("none of {scored} completions is right{why}{still}{few}");
            let advice = "give easier problems (`data`), a stronger model (`model`), or examples (`data.shots`), and see the \
                          completions below: the prompt has to ask for what the verifier reads";
            return Some(of("too_hard", found, advice));
        }
        if correct == scored {
            let found = format!("all {scored} completions are right: there is nothing to learn{few}");
            return Some(of("too_easy", found, "give harder problems (`data`)"));
        }
        None
    }

    fn dead_groups(&self) -> Finding {
        let (dead, all) = (self.dead(), self.groups.len());
        let generations = self.recipe.grpo.num_generations;
        let rates: Vec<f64> = self.groups.iter().filter_map(solve_rate).collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let best: Vec<f64> = self.groups.iter().filter_map(|group| at_k(group, generations)).collect();
        let mut found = format!(
            "{} of the groups have equal rewards and teach nothing ({} of {all}: {} solved always, {} never, {} \
             now and then, {} unscored)",
            percent(dead.count(), all),
            dead.count(),
            dead.solved,
            dead.unsolved,
            dead.mixed,
            dead.unscored
        );
        if !rates.is_empty() {
            let [one, best] = [&rates, &best].map(|values| 100.0 * mean(values));
            let _ = write!(found, "; pass@1 {one:.1} %, pass@{generations} {best:.1} %"); // a String takes all
        }
        let (name, advice) = (
            "dead_groups",
            "give problems that are solved sometimes (`data`), raise `grpo.num_generations` or `rollout.temperature`, or see that \
             the reward tells completions apart",
        );
        if dead.count() == all && self.count() >= ENOUGH {
            return Finding::severe(name, found, advice);
        }
        let many = dead.count() as f64 > MANY_DEAD * all as f64;
        if many { Finding::warning(name, found, advice) } else { Finding::note(name, found) }
    }

    fn dead(&self) -> Dead {
        let mut dead = Dead::default();
        for (group, advantages) in self.groups.iter().zip(self.advantages) {
            if advantages.iter().any(|advantage| *advantage != 0.0) {
                continue;
            }
            *match solve_rate(group) {
                None => &mut dead.unscored,
                Some(1.0) => &mut dead.solved,
                Some(0.0) => &mut dead.unsolved,
                Some(_) => &mut dead.mixed,
            } += 1;
        }
        dead
    }

    /// Tokens that were sampled for nothing.
    fn gradient(&self) -> Finding {
        let masks = self.recipe.grpo.mask_truncated_completions;
        let (mut all, mut without) = (0, 0);
        for (group, advantages) in self.groups.iter().zip(self.advantages) {
            for (completion, advantage) in group.completions.iter().zip(advantages) {
                let is_masked = masks && completion.finish_reason == FinishReason::Length;
                all += completion.num_trained();
                without += if *advantage == 0.0 || is_masked { completion.num_trained() } else { 0 };
            }
        }
        let found = format!(
            "{} of the sampled tokens have no gradient ({without} of {all}): they are of groups with equal rewards, without a \
             verdict, or cut off and left out",
            percent(without, all)
        );
        Finding::note("gradient", found)
    }
}

/// The estimate of pass@k of a group, or of as many as were scored.
fn at_k(group: &Group, k: usize) -> Option<f64> {
    let scored = group.verdicts.iter().filter(|verdict| verdict.is_scored()).count();
    let correct = group.verdicts.iter().filter(|verdict| verdict.outcome == Outcome::Correct).count();
    (scored > 0).then(|| pass_at_k(scored, correct, k.clamp(1, scored)))
}

#[cfg(test)]
mod tests {
    use super::super::super::findings::Finding;
    use super::super::super::rewards::Form;
    use super::Batch;
    use crate::recipe::Recipe;
    use ruminate_data::{Completion, FinishReason, Group, Verdict};
    use ruminate_grpo::{Advantage, Comparison};
    use ruminate_train::Metrics;

    /// Eight problems with eight completions each, as a script says.
    fn groups(of: impl Fn(usize, usize) -> (Verdict, FinishReason)) -> Vec<Group> {
        let group = |task: usize| {
            let (verdicts, reasons): (Vec<Verdict>, Vec<FinishReason>) =
                (0..8).map(|sample| of(task, sample)).unzip();
            let completion = |reason| Completion::new(vec![1], vec![2; 10], vec![-0.5; 10], reason);
            Group { task, completions: reasons.into_iter().map(completion).collect(), verdicts }
        };
        (0..8).map(group).collect()
    }

    fn findings(groups: &[Group], formed: Option<bool>) -> Vec<Finding> {
        let recipe: Recipe = toml::from_str("[grpo]\nnum_generations = 8").expect("a recipe");
        let advantages = Advantage::Group.of(groups, Comparison::default()).values;
        let formed_of = |group: &Group| vec![formed; group.completions.len()];
        let batch = Batch {
            recipe: &recipe,
            groups,
            advantages: &advantages,
            formed: groups.iter().map(formed_of).collect(),
            form: formed.map(|_| Form::Answer),
        };
        batch.findings(&Metrics::default())
    }

    fn severe(findings: &[Finding]) -> Vec<&'static str> {
        findings.iter().filter(|finding| finding.is_severe()).map(|finding| finding.name).collect()
    }

    fn right() -> Verdict {
        Verdict::correct(1.0)
    }

    fn wrong() -> Verdict {
        Verdict::wrong(0.0).with_why("12 is not 13")
    }

    #[test]
    fn each_step_that_teaches_nothing_is_severe_by_the_name_of_its_cause_alone() {
        use FinishReason::{Length, Stop};
        let unscored = || Verdict::unscored("the judge is gone");
        let sometimes = |task: usize| if task.is_multiple_of(2) { right() } else { wrong() };
        for (name, groups, formed) in [
            ("unscored", groups(|_, sample| (if sample == 0 { right() } else { unscored() }, Stop)), None),
            ("cut_off", groups(|_, _| (wrong(), Length)), Some(false)),
            ("format_seen", groups(|_, _| (wrong(), Stop)), Some(false)),
            ("too_hard", groups(|_, _| (wrong(), Stop)), Some(true)),
            ("too_easy", groups(|_, _| (right(), Stop)), Some(true)),
            // Each problem is solved always or never.
            ("dead_groups", groups(|task, _| (sometimes(task), Stop)), Some(true)),
        ] {
            let found = findings(&groups, formed);
            assert_eq!(severe(&found), [name], "{found:?}");
            let advice = &found.iter().find(|finding| finding.is_severe()).expect("one").advice;
            assert!(advice.contains('`'), "{name} names a key: {advice}");
        }
    }

    #[test]
    fn a_step_that_teaches_something_has_no_severe_finding() {
        use FinishReason::{Length, Stop};
        let mixed =
            |task: usize, sample: usize| if (task + sample).is_multiple_of(3) { right() } else { wrong() };
        let found = findings(&groups(|task, sample| (mixed(task, sample), Stop)), Some(true));
        assert_eq!(severe(&found), [""; 0]);
        // Of two of eight groups nothing is learned, and a third of the others is right.
        let half = groups(|task, sample| (if task < 2 { right() } else { mixed(task, sample) }, Stop));
        let found = findings(&half, None);
        let of = |name: &str| found.iter().find(|finding| finding.name == name).expect(name).found.clone();
        assert!(of("dead_groups").contains("2 of 8: 2 solved always, 0 never"), "{}", of("dead_groups"));
        assert!(of("dead_groups").contains("pass@8 100.0 %"), "{}", of("dead_groups"));
        assert!(of("gradient").starts_with("25 % of the sampled tokens"), "{}", of("gradient"));
        // Cut off and right now and then, and a reward of the form that is never paid: told, and no reason to refuse.
        let found = findings(&groups(|task, sample| (mixed(task, sample), Length)), Some(false));
        assert_eq!(severe(&found), [""; 0], "{found:?}");
        let warned: Vec<&str> =
            found.iter().filter(|finding| !finding.advice.is_empty()).map(|finding| finding.name).collect();
        assert_eq!(warned, ["cut_off", "format_seen"]);
    }

    #[test]
    fn a_handful_of_completions_is_no_reason_to_refuse_a_run() {
        let few: Vec<Group> = groups(|_, _| (wrong(), FinishReason::Stop)).into_iter().take(2).collect();
        let found = findings(&few, None);
        assert_eq!(severe(&found), [""; 0]);
        assert!(found.iter().any(|finding| finding.name == "too_hard" && finding.found.contains("16 completions are few")));
    }
}

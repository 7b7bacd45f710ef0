//! The texts of a run's alarms: what was found, which key of the recipe to turn, and the logs that keep them. When one is
//! raised, `ruminate_train::alarms` decides.

use crate::recipe::Recipe;
use ruminate_eval::Evaluation;
use ruminate_grpo::Verdicts;
use ruminate_run::{RunFolder, rows};
use ruminate_train::Metrics;
use ruminate_train::alarms::{Alarm, Alarms, Kind, Measured};
use serde::Serialize;
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;

/// An alarm for people: `alarm at step 3: ...` with its key.
pub(crate) fn line(alarm: &rows::Alarm) -> String {
    let rows::Alarm { step, name, advice, .. } = alarm;
    let (word, step) = match step {
        Some(step) => ("alarm", format!(" at step {step}")),
        None => ("note", String::new()),
    };
    format!("{word}{step}: {advice} (alarms.{name})")
}

/// A row with what it raised; as it was where it raised nothing.
pub(crate) fn row_with(row: impl Serialize, raised: &[rows::Alarm]) -> serde_json::Result<Value> {
    let mut row = serde_json::to_value(row)?;
    if !raised.is_empty() {
        // The row has the step already.
        let raised = raised.iter().map(|alarm| rows::Alarm { step: None, ..alarm.clone() });
        row[rows::ALARMS] = serde_json::to_value(raised.collect::<Vec<_>>())?;
    }
    Ok(row)
}

/// The alarms of a run, of earlier processes as well, as its logs have them, by step.
pub(crate) fn of_logs(folder: &RunFolder) -> Vec<rows::Alarm> {
    let logs = [folder.metrics_path(), folder.eval_path()];
    let mut all: Vec<rows::Alarm> = logs
        .iter()
        .flat_map(|log| rows_of(log))
        .flat_map(|row| rows::alarms(&row).unwrap_or_default())
        .collect();
    all.sort_by_key(|raised| raised.step);
    all
}

/// The alarms of a run.
pub(crate) struct RunAlarms<'a> {
    recipe: &'a Recipe,
    alarms: Alarms,
    /// Those of the step at hand.
    verdicts: Verdicts,
    /// The main set's evaluation before training.
    before: Option<Evaluation>,
}

impl<'a> RunAlarms<'a> {
    /// For a run that has done `done` steps, whose rows are in its logs.
    pub(crate) fn new(recipe: &'a Recipe, folder: &RunFolder, done: usize) -> Self {
        let completions = recipe.grpo.prompts_per_step * recipe.grpo.num_generations;
        let watched = Alarms::new(recipe.alarms.clone(), completions);
        let mut alarms = Self { recipe, alarms: watched, verdicts: Verdicts::default(), before: None };
        if done == 0 {
            return alarms;
        }
        for row in rows_of(&folder.metrics_path()) {
            alarms.alarms.step(&metrics(&row));
        }
        for row in rows_of(&folder.eval_path()) {
            let Ok(report) = serde_json::from_value::<Evaluation>(Value::Object(row)) else { continue };
            if alarms.before.as_ref().is_none_or(|before| before.set == report.set) {
                alarms.evaluation(&report);
            }
        }
        alarms
    }

    /// The verdicts of the step at hand.
    pub(crate) fn verdicts(&mut self, verdicts: Verdicts) {
        self.verdicts = verdicts;
    }

    /// What a step raises: alarms for its row, and notes, which depend on the clock and are for people alone.
    pub(crate) fn step(&mut self, step: usize, metrics: &Metrics) -> (Vec<rows::Alarm>, Vec<rows::Alarm>) {
        let alarms = self.alarms.step(metrics).into_iter().map(|alarm| {
            let advice = self.advice(alarm, metrics);
            let step = (alarm.kind != Kind::Judge).then_some(step as u64);
            raised(alarm, step, advice)
        });
        alarms.partition(|raised| raised.step.is_some())
    }

    /// What an evaluation of the main set raises; the first is what later ones are compared with.
    pub(crate) fn evaluation(&mut self, report: &Evaluation) -> Option<rows::Alarm> {
        let Some(before) = &self.before else {
            self.before = Some(report.clone());
            return None;
        };
        let measured =
            |row: &Evaluation| Some(Measured { pass_at_1: row.pass_at_1?, interval: row.pass_at_1_ci? });
        let (first, now) = (measured(before)?, measured(report)?);
        let alarm = self.alarms.evaluation(first, now)?;
        let advice = format!(
            "pass@1 on {} fell from {} before training to {}, beyond the 95 % interval: training makes it worse on problems that \
             it does not train on. Give more problems (`data`), lower `train.learning_rate` or `max_steps`, or raise `grpo.beta`",
            report.set,
            percent(first.pass_at_1),
            percent(now.pass_at_1)
        );
        Some(raised(alarm, Some(report.step), advice))
    }

    /// The names of the alarms whose conditions hold now.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.alarms.raised().iter().filter(|kind| **kind != Kind::Judge).map(|kind| kind.name())
    }

    fn advice(&self, Alarm { kind, value }: Alarm, metrics: &Metrics) -> String {
        let limit = self.recipe.rollout.max_new_tokens;
        let Verdicts { completions, scored, correct, .. } = self.verdicts;
        match kind {
            Kind::AllEqual if scored > 0 && correct == scored => {
                "every completion is right, so that groups compare nothing and nothing is learned: the problems are too easy; \
                 give harder ones (`data`), or stop here"
                    .to_owned()
            }
            Kind::AllEqual => {
                let found = if correct == 0 { "no completion was right" } else { "each problem is solved always or never" };
                format!(
                    "all groups have equal rewards, so that nothing is learned: {found}{}; {}",
                    self.why_wrong(),
                    self.remedy(metrics)
                )
            }
            Kind::AllWrong => format!(
                "every group had equal rewards and no completion was right for too many steps in a row, which ends the run{}; {}",
                self.why_wrong(),
                self.remedy(metrics)
            ),
            Kind::MostlyEqual => format!(
                "{} of the groups of the last ten steps had equal rewards, so that most of what is sampled teaches nothing{}; {}",
                percent(value),
                self.why_wrong(),
                self.remedy(metrics)
            ),
            Kind::Clipped => format!(
                "{} of the completions were cut off at {limit} tokens; raise `rollout.max_new_tokens`",
                percent(value)
            ),
            Kind::Unscored => {
                let why = self.verdicts.unscored_because.as_ref().map_or("none was given", |(why, _)| why.as_str());
                format!(
                    "{value} of {completions} completions could not be scored, and most could not for three steps in a row, \
                     which ends the run; most frequent reason: {why}. Fix what `[reward]` names and go on with --resume auto"
                )
            }
            Kind::Entropy => format!(
                "entropy fell to {value:.1e} nats a token while the reward is below that of the first steps: the policy writes \
                 nearly the same each time, and worse than before; lower `train.learning_rate`, raise `grpo.beta` or \
                 `grpo.epsilon_high`, and begin from an earlier checkpoint"
            ),
            Kind::Reward => format!(
                "the reward, {value:.3} now, has been below that of the first steps for long; lower `train.learning_rate`, or \
                 raise `grpo.beta`"
            ),
            Kind::Stale => format!(
                "{} of the groups of the last ten steps were dropped, since a token was older than `grpo.max_staleness`: an engine \
                 does not keep to the weights that it is given; see fleet.jsonl for pushes that failed, or raise `grpo.max_staleness`",
                percent(value)
            ),
            Kind::Judge => format!(
                "{} of the time of the last steps went into waiting for verdicts: the reward is slower than the model; make it \
                 faster, or have more completions judged at a time (`threads`, and `workers` of a `command`)",
                percent(value)
            ),
            Kind::Validation => String::new(), // an evaluation's
        }
    }

    fn why_wrong(&self) -> String {
        match &self.verdicts.wrong_because {
            Some((why, count)) if !why.is_empty() => format!(
                "; most frequent reason: {why} ({count} of {} wrong ones)",
                self.verdicts.scored - self.verdicts.correct
            ),
            _ => String::new(),
        }
    }

    /// What helps where groups are equal.
    fn remedy(&self, metrics: &Metrics) -> &'static str {
        if metrics.measured(Kind::Clipped.metric()).is_some_and(|share| share > 0.5) {
            "most completions are cut off: raise `rollout.max_new_tokens`"
        } else if self.verdicts.correct == 0 {
            "see completions/: the prompt has to ask for the form that `reward.verifier` reads, and the problems (`data`) must \
             be ones that some completion solves"
        } else {
            "give problems that are solved sometimes (`data`), or raise `grpo.num_generations` or `rollout.temperature`"
        }
    }
}

fn raised(Alarm { kind, value }: Alarm, step: Option<u64>, advice: String) -> rows::Alarm {
    let [name, metric] = [kind.name(), kind.metric()].map(str::to_owned);
    rows::Alarm { step, name, metric, value: Some(value), advice }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// The objects of a log; of one that is not there, none.
fn rows_of(log: &Path) -> Vec<Map<String, Value>> {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The numbers of a row.
fn metrics(row: &Map<String, Value>) -> Metrics {
    let mut metrics = Metrics::default();
    for (name, value) in row.iter().filter(|(_, value)| value.is_number()) {
        metrics.set(name, value.as_f64().unwrap_or(f64::NAN));
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::{RunAlarms, line, of_logs, row_with};
    use crate::recipe::Recipe;
    use ruminate_eval::Evaluation;
    use ruminate_grpo::Verdicts;
    use ruminate_run::{Made, RunFolder, rows};
    use ruminate_train::Metrics;
    use serde_json::{Value, json};
    use std::fs;
    use std::path::Path;

    /// A folder to be filled.
    fn run_folder(path: &Path) -> RunFolder {
        let text = |text: &str| text.to_owned();
        let (command, stage) = (text("train-rl"), text("train-rl"));
        let made = Made { command, stage, id: text("0"), version: text("0"), files: Vec::new() };
        RunFolder::enter(&path.join("run"), &made).expect("made")
    }

    fn metrics(row: &Value) -> Metrics {
        super::metrics(row.as_object().expect("an object"))
    }

    fn stuck() -> Value {
        json!({ "reward": 0.0, "correct": 0.0, "frac_reward_zero_std": 1.0, "unscored": 0 })
    }

    fn verdicts(correct: usize, why: &str, count: usize) -> Verdicts {
        let wrong_because = (count > 0).then(|| (why.to_owned(), count));
        Verdicts { completions: 64, scored: 64, correct, wrong_because, unscored_because: None }
    }

    fn report(step: u64, pass: f64) -> Evaluation {
        let row = json!({ "step": step, "set": "validation", "n": 200, "pass@1": pass,
            "pass@1_ci": [pass - 0.02, pass + 0.02], "completion_length_mean": 9.0, "truncated": 0.0, "unscored": 0 });
        serde_json::from_value(row).expect("a row of eval.jsonl")
    }

    /// What three steps with these verdicts are told.
    fn told(found: &Verdicts, row: &Value) -> Vec<rows::Alarm> {
        let (folder, recipe) = (tempfile::tempdir().expect("a folder"), Recipe::default());
        let folder = run_folder(folder.path());
        let mut alarms = RunAlarms::new(&recipe, &folder, 0);
        (1..=3)
            .flat_map(|step| {
                alarms.verdicts(found.clone());
                alarms.step(step, &metrics(row)).0
            })
            .collect()
    }

    #[test]
    fn equal_groups_are_told_with_the_most_frequent_reason_and_the_key_that_helps() {
        let of = |found: &Verdicts, row: &Value| {
            let raised = told(found, row);
            line(raised.iter().find(|raised| raised.name == "all_equal").expect("three steps"))
        };
        let line = of(&verdicts(0, "no <answer>", 60), &stuck());
        for part in [
            "alarm at step 3: ",
            "no completion was right",
            "most frequent reason: no <answer> (60 of 64 wrong ones)",
            "`reward.verifier`",
            "(alarms.all_equal)",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
        let mut cut_off = stuck();
        cut_off["completions/clipped_ratio"] = json!(0.9);
        assert!(of(&verdicts(0, "no <answer>", 60), &cut_off).contains("raise `rollout.max_new_tokens`"));
        assert!(of(&verdicts(64, "", 0), &stuck()).contains("every completion is right"));
        assert!(of(&verdicts(32, "12 is not 13", 9), &stuck()).contains("solved always or never"));
    }

    #[test]
    fn the_time_that_verdicts_take_is_a_note_and_in_no_row() {
        let (folder, recipe) = (tempfile::tempdir().expect("a folder"), Recipe::default());
        let folder = run_folder(folder.path());
        let mut alarms = RunAlarms::new(&recipe, &folder, 0);
        let slow = metrics(&json!({ "judge_wait_time_s": 0.8, "step_time_s": 1.0 }));
        let (raised, notes): (Vec<_>, Vec<_>) = (1..=3).map(|step| alarms.step(step, &slow)).unzip();
        assert!(raised.concat().is_empty());
        let [note] = &notes.concat()[..] else { panic!("one note: {notes:?}") };
        let note = line(note);
        assert!(note.starts_with("note: 80.0 % of the time") && note.ends_with("(alarms.judge)"), "{note}");
        assert_eq!(alarms.names().count(), 0);
    }

    #[test]
    fn a_resumed_run_goes_on_as_its_logs_say() {
        let (folder, recipe) = (tempfile::tempdir().expect("a folder"), Recipe::default());
        let folder = run_folder(folder.path());
        let mut whole = RunAlarms::new(&recipe, &folder, 0);
        whole.evaluation(&report(0, 0.5));
        let mut row = stuck();
        let mut log = Vec::new();
        for step in 1..=2 {
            assert!(whole.step(step, &metrics(&row)).0.is_empty());
            row["step"] = json!(step);
            log.push(row.to_string());
        }
        fs::write(folder.metrics_path(), log.join("\n") + "\n").expect("written");
        fs::write(folder.eval_path(), serde_json::to_string(&report(0, 0.5)).expect("JSON") + "\n")
            .expect("written");
        let mut resumed = RunAlarms::new(&recipe, &folder, 2);
        let next =
            |alarms: &mut RunAlarms| (alarms.step(3, &metrics(&stuck())), alarms.evaluation(&report(3, 0.4)));
        let expected = next(&mut whole);
        assert_eq!(expected.0.0.len(), 1);
        let worse = line(expected.1.as_ref().expect("ten points of two"));
        assert!(worse.contains("on validation fell from 50.0 % before training to 40.0 %"), "{worse}");
        assert_eq!(next(&mut resumed), expected);
    }

    #[test]
    fn what_rows_keep_is_read_back_with_its_step() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = run_folder(folder.path());
        let raised = told(&verdicts(0, "no <answer>", 64), &stuck());
        let row = row_with(json!({ "step": 3, "reward": 0.0 }), &raised).expect("JSON");
        assert!(row["alarms"][0].get("step").is_none(), "{row}");
        let fields = ["name", "metric", "value", "advice"];
        assert!(fields.iter().all(|field| !row["alarms"][0][field].is_null()), "{row}");
        fs::write(folder.metrics_path(), format!("{{\"step\":2}}\n{row}\n")).expect("written");
        assert_eq!(of_logs(&folder), raised);
        assert_eq!(row_with(json!({ "step": 4 }), &[]).expect("JSON"), json!({ "step": 4 }));
    }
}

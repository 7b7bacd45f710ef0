//! Which validation was the best, and when the measure has not risen for long enough: a function of the rows of
//! `validation.jsonl`, so that a resumed run decides as the whole one. It does not know how a measure is taken.

use crate::recipe::Eval;
use crate::recipe::Metric;
use ruminate_run::rows::Validation;

/// When a run stops early, and by which measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Criterion {
    metric: Metric,
    /// Validations without a rise after which the run stops; 0 never does.
    patience: usize,
    /// A rise is one by more than this over the best measure so far.
    threshold: f64,
}

/// The validations so far.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    criterion: Criterion,
    /// Step and measure of the best one.
    best: Option<(usize, f64)>,
    /// Validations in a row that were no rise.
    counter: usize,
    /// The last one's step and measure.
    last: Option<(usize, Option<f64>)>,
}

impl Criterion {
    /// What a recipe says.
    pub(crate) fn new(eval: &Eval) -> Self {
        Self {
            metric: eval.metric_for_best_model(),
            patience: eval.early_stopping_patience(),
            threshold: eval.early_stopping_threshold(),
        }
    }

    /// The measure of a row.
    fn of(&self, row: &Validation) -> Option<f64> {
        match self.metric {
            Metric::PassAt1 => row.pass_at_1,
            Metric::Reward => row.reward,
        }
    }
}

impl Track {
    /// The track of a run that has these rows.
    pub(crate) fn new<'r>(criterion: Criterion, rows: impl IntoIterator<Item = &'r Validation>) -> Self {
        let mut track = Self { criterion, best: None, counter: 0, last: None };
        for row in rows {
            track.add(&mut row.clone());
        }
        track
    }

    /// Takes in a validation, and completes its row. As in transformers, every rise makes a new best one, and only a rise by
    /// more than the threshold starts the count of patience over. One without a measure changes nothing.
    pub(crate) fn add(&mut self, row: &mut Validation) {
        let step = usize::try_from(row.step).unwrap_or(usize::MAX);
        let value = self.criterion.of(row);
        let before = self.best.map(|(_, value)| value);
        row.is_best = value.is_some_and(|value| before.is_none_or(|before| value > before));
        if let Some(value) = value {
            let rises = before.is_none_or(|before| value > before + self.criterion.threshold);
            self.counter = if rises { 0 } else { self.counter + 1 };
        }
        if let Some(value) = value.filter(|_| row.is_best) {
            self.best = Some((step, value));
        }
        self.last = Some((step, value));
        row.patience_counter = self.counter;
        row.stopped = self.is_exhausted();
    }

    /// Whether patience is used up.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.criterion.patience > 0 && self.counter >= self.criterion.patience
    }

    /// The name of the measure.
    pub(crate) fn metric(&self) -> &'static str {
        self.criterion.metric.name()
    }

    /// Step and measure of the best validation; step 0 is the policy before training.
    pub(crate) fn best(&self) -> Option<(usize, f64)> {
        self.best
    }

    /// The last measure.
    pub(crate) fn latest(&self) -> Option<f64> {
        self.last.and_then(|(_, value)| value)
    }

    /// Whether there is a row of that step.
    pub(crate) fn has(&self, step: usize) -> bool {
        self.last.is_some_and(|(last, _)| last == step)
    }

    /// Why the run stops.
    pub(crate) fn reason(&self) -> String {
        let Criterion { patience, threshold, .. } = self.criterion;
        let over = if threshold > 0.0 { format!(" by more than {threshold}") } else { String::new() };
        let best = self.best.map_or_else(String::new, |(step, value)| {
            let at = if step == 0 { "before training".to_owned() } else { format!("after step {step}") };
            format!("; the best was {value:.3} {at}")
        });
        format!(
            "{} on the validation problems has not risen{over} for {} validations \
             (`eval.early_stopping_patience` = {patience}){best}",
            self.metric(),
            self.counter
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Criterion, Track};
    use crate::recipe::Metric;
    use ruminate_run::rows::Validation;

    fn row(step: u64, pass: Option<f64>) -> Validation {
        Validation {
            step,
            n: 4,
            pass_at_1: pass,
            reward: pass.map(|pass| 1.0 - pass),
            completion_length_mean: 3.0,
            truncated: 0.0,
            unscored: 0,
            is_best: false,
            patience_counter: 0,
            stopped: false,
        }
    }

    fn criterion(patience: usize, threshold: f64) -> Criterion {
        Criterion { metric: Metric::PassAt1, patience, threshold }
    }

    /// Whether each was the best, the counts of patience, and whether the run stopped there.
    fn judged(criterion: Criterion, values: &[Option<f64>]) -> Vec<(bool, usize, bool)> {
        let mut track = Track::new(criterion, []);
        let one = |(step, value): (u64, &Option<f64>)| {
            let mut row = row(10 * step, *value);
            track.add(&mut row);
            (row.is_best, row.patience_counter, row.stopped)
        };
        (0..).zip(values).map(one).collect()
    }

    #[test]
    fn a_rise_is_the_best_and_patience_counts_what_is_none() {
        let values = [Some(0.5), Some(0.5), Some(0.6), Some(0.5), None, Some(0.6), Some(0.4)];
        let expected = [
            (true, 0, false),
            (false, 1, false),
            (true, 0, false),
            (false, 1, false),
            (false, 1, false),
            (false, 2, false),
            (false, 3, true),
        ];
        assert_eq!(judged(criterion(3, 0.0), &values), expected);
        assert!(
            judged(criterion(0, 0.0), &values).iter().all(|(_, _, stopped)| !stopped),
            "no patience is for ever"
        );
    }

    #[test]
    fn a_small_rise_is_the_best_and_does_not_restore_patience() {
        let values = [Some(0.5), Some(0.51), Some(0.52), Some(0.7)];
        let expected = [(true, 0, false), (true, 1, false), (true, 2, true), (true, 0, false)];
        assert_eq!(judged(criterion(2, 0.05), &values), expected);
    }

    #[test]
    fn rows_of_an_earlier_process_decide_as_its_own_would() {
        let rows: Vec<Validation> =
            (0..).zip([0.5, 0.6, 0.55]).map(|(at, pass)| row(at, Some(pass))).collect();
        let mut resumed = Track::new(criterion(2, 0.0), &rows);
        assert_eq!((resumed.best(), resumed.is_exhausted(), resumed.has(2)), (Some((1, 0.6)), false, true));
        resumed.add(&mut row(3, Some(0.6)));
        assert!(
            resumed.is_exhausted() && resumed.reason().contains("best was 0.600 after step 1"),
            "{}",
            resumed.reason()
        );
        let reward = Criterion { metric: Metric::Reward, ..criterion(2, 0.0) };
        assert_eq!(Track::new(reward, &rows).best(), Some((0, 0.5)), "by another measure of the same rows");
    }
}

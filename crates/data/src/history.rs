//! What was written so far, as it changes the logits of the next token: penalties and forbidden words. Sampler and trainer
//! compute the changes by this one rule, so that they mean the same distribution.

use crate::{SamplingParams, Stop};
use std::collections::BTreeMap;

/// How one token's logit x is changed: to `x / scale - minus` where x is positive, else to `x * scale - minus`. A token that
/// is forbidden has an infinite `minus`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogitEdit {
    /// The token.
    pub id: u32,
    /// The repetition penalty, or 1.
    pub scale: f32,
    /// What is taken off.
    pub minus: f32,
}

impl LogitEdit {
    /// The logit after the change.
    pub fn apply(&self, logit: f32) -> f32 {
        (if logit > 0.0 { logit / self.scale } else { logit * self.scale }) - self.minus
    }
}

/// The tokens of a prompt and of its completion so far, counted.
///
/// `repetition_penalty` (CTRL, arXiv 1909.05858, section 4.1, with the sign of the logit as in transformers) concerns the
/// tokens of both, `presence_penalty` and `frequency_penalty` those of the completion, as in vLLM.
#[derive(Clone, Debug)]
pub struct History<'a> {
    sampling: &'a SamplingParams,
    stop: &'a Stop,
    /// How often the completion has each token that either has.
    counts: BTreeMap<u32, u32>,
    written: Vec<u32>,
}

impl<'a> History<'a> {
    /// After the prompt.
    pub fn new(sampling: &'a SamplingParams, stop: &'a Stop, prompt: &[u32]) -> Self {
        let mut counts = BTreeMap::new();
        if sampling.repetition_penalty != 1.0 {
            counts.extend(prompt.iter().map(|&id| (id, 0)));
        }
        Self { sampling, stop, counts, written: Vec::new() }
    }

    /// Whether any logit may be changed under these parameters.
    pub fn matters(sampling: &SamplingParams, stop: &Stop) -> bool {
        sampling.penalises() || !stop.bad_words().is_empty()
    }

    /// Adds a token of the completion.
    pub fn push(&mut self, id: u32) {
        if self.sampling.penalises() {
            *self.counts.entry(id).or_default() += 1;
        }
        self.written.push(id);
    }

    /// The changes before the next token, by ascending id, each id once.
    pub fn edits(&self) -> Vec<LogitEdit> {
        let SamplingParams { repetition_penalty, presence_penalty, frequency_penalty, .. } = *self.sampling;
        let of_token = |(&id, &count): (&u32, &u32)| {
            let present = f64::from(count.min(1));
            let minus = presence_penalty * present + frequency_penalty * f64::from(count);
            LogitEdit { id, scale: repetition_penalty as f32, minus: minus as f32 }
        };
        let mut edits: Vec<LogitEdit> = self.counts.iter().map(of_token).collect();
        for word in self.stop.bad_words() {
            let Some((&id, before)) = word.split_last() else { continue };
            if self.written.ends_with(before) {
                match edits.binary_search_by_key(&id, |edit| edit.id) {
                    Ok(place) => edits[place].minus = f32::INFINITY,
                    Err(place) => edits.insert(place, LogitEdit { id, scale: 1.0, minus: f32::INFINITY }),
                }
            }
        }
        edits
    }
}

#[cfg(test)]
mod tests {
    use super::{History, LogitEdit};
    use crate::{SamplingParams, Stop};

    fn edits(sampling: &SamplingParams, stop: &Stop, prompt: &[u32], ids: &[u32]) -> Vec<LogitEdit> {
        let mut history = History::new(sampling, stop, prompt);
        for &id in ids {
            history.push(id);
        }
        history.edits()
    }

    #[test]
    fn repetition_counts_the_prompt_and_the_other_penalties_do_not() {
        let sampling = SamplingParams {
            repetition_penalty: 2.0,
            presence_penalty: 0.5,
            frequency_penalty: 0.25,
            ..SamplingParams::default()
        };
        let found = edits(&sampling, &Stop::default(), &[4, 9], &[7, 4, 7]);
        let edit = |id, minus| LogitEdit { id, scale: 2.0, minus };
        assert_eq!(found, [edit(4, 0.75), edit(7, 1.0), edit(9, 0.0)]);
        // A penalty lowers a logit whatever its sign.
        assert_eq!((found[0].apply(3.0), found[0].apply(-3.0), found[2].apply(0.0)), (0.75, -6.75, 0.0));
        let presence = SamplingParams { presence_penalty: 0.5, ..SamplingParams::default() };
        let found = edits(&presence, &Stop::default(), &[4, 9], &[7, 7]);
        assert_eq!(found, [LogitEdit { id: 7, scale: 1.0, minus: 0.5 }]);
        assert!(History::matters(&presence, &Stop::default()));
        assert!(!History::matters(&SamplingParams::default(), &Stop::default()));
    }

    #[test]
    fn the_last_token_of_a_bad_word_is_forbidden_behind_the_others() {
        let (sampling, stop) =
            (SamplingParams::default(), Stop::default().without(vec![vec![3], vec![5, 6, 2], vec![]]));
        let forbidden = |ids: &[u32]| -> Vec<u32> {
            let found = edits(&sampling, &stop, &[5, 6], ids);
            assert!(found.iter().all(|edit| edit.apply(4.0) == f32::NEG_INFINITY));
            found.iter().map(|edit| edit.id).collect()
        };
        assert_eq!(forbidden(&[]), [3], "the prompt is not the completion's");
        assert_eq!(forbidden(&[5]), [3]);
        assert_eq!(forbidden(&[9, 5, 6]), [2, 3]);
        assert!(History::matters(&sampling, &stop));
    }
}

//! `sampled.jsonl`: the completions of an evaluation as they come, so that one that was interrupted goes on where it stopped.
//! The folder's `run.json` says of which evaluation they are. It does not know verdicts, which are made again.

use crate::error::Refusal;
use anyhow::Result;
use ruminate_data::{Completion, FinishReason, Routing};
use ruminate_model::Config;
use ruminate_run::{Appended, Error, JsonlAppender, check_regular};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The first line: what a newer version samples is another evaluation.
#[derive(PartialEq, Serialize, Deserialize)]
struct Header {
    version: String,
}

/// A completion.
#[derive(Serialize, Deserialize)]
struct Row {
    set: String,
    /// Place of the problem in its set.
    index: usize,
    /// Place among the problem's samples; absent of the greedy completion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sample: Option<usize>,
    completion_ids: Vec<u32>,
    finish_reason: FinishReason,
    /// Which tokens the policy drew; absent where all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trained: Option<Vec<bool>>,
    /// The router's choices; absent without experts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    experts: Option<Vec<u16>>,
}

/// A completion's place: its set, its problem, its sample.
pub(super) type Place<'a> = (&'a str, usize, Option<usize>);

/// The completions that there are, and the log that gets the others.
pub(crate) struct Kept {
    path: PathBuf,
    log: JsonlAppender,
    known: HashMap<(String, usize, Option<usize>), Row>,
}

impl Kept {
    /// Opens the file, with what an earlier process has left in it. A line that was cut off is none.
    ///
    /// # Errors
    /// With exit code 7; a link or a device in its place is refused.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        check_regular(path)?;
        let text = fs::read_to_string(path).unwrap_or_default();
        let header = Header { version: env!("CARGO_PKG_VERSION").to_owned() };
        let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let is_ours = lines.next().and_then(|line| serde_json::from_str(line).ok()).as_ref() == Some(&header);
        let rows = lines.filter(|_| is_ours).filter_map(|line| serde_json::from_str::<Row>(line).ok());
        let known: HashMap<_, _> = rows.map(|row| ((row.set.clone(), row.index, row.sample), row)).collect();
        if !is_ours && !text.is_empty() {
            fs::remove_file(path).map_err(|source| Refusal::write(path, source))?;
        }
        let mut kept = Self { path: path.to_owned(), log: JsonlAppender::open(path)?, known };
        if !is_ours && let Appended::Failed(error) = kept.log.append(&header) {
            return Err(error.into());
        }
        Ok(kept)
    }

    /// How many completions there are.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// The completion at a place, where it is there and fits the model.
    pub(super) fn take(&mut self, place: Place, prompt: &[u32], config: &Config) -> Option<Completion> {
        let (set, index, sample) = place;
        let row = self.known.remove(&(set.to_owned(), index, sample))?;
        let Row { completion_ids, finish_reason, trained, experts, .. } = row;
        let (ids, logprobs) = (completion_ids, Vec::new()); // what is measured reads no log-probabilities
        let fits = ids.iter().all(|id| (*id as usize) < config.vocab_size)
            && trained.as_ref().is_none_or(|trained| trained.len() == ids.len());
        let routing = match (experts, config.moe) {
            (None, _) => None,
            (Some(_), None) => return None,
            (Some(experts), Some(moe)) => {
                let (moe_layers, experts_per_token) = (config.moe_layers(), moe.num_experts_per_tok);
                let known = experts.iter().all(|expert| usize::from(*expert) < moe.n_routed_experts);
                if !known || !experts.len().is_multiple_of(moe_layers * experts_per_token) {
                    return None;
                }
                Some(Routing { experts, moe_layers, experts_per_token })
            }
        };
        fits.then(|| {
            let mut completion = Completion::new(prompt.to_vec(), ids, logprobs, finish_reason);
            (completion.trained, completion.routing) = (trained, routing);
            completion
        })
    }

    /// Adds a completion. A failure is given once: what is lost is sampled again.
    pub(super) fn add(&mut self, place: Place, completion: &Completion) -> Option<Error> {
        let (set, index, sample) = place;
        let row = Row {
            set: set.to_owned(),
            index,
            sample,
            completion_ids: completion.ids.clone(),
            finish_reason: completion.finish_reason,
            trained: completion.trained.clone(),
            experts: completion.routing.as_ref().map(|routing| routing.experts.clone()),
        };
        match self.log.append(&row) {
            Appended::Failed(error) => Some(error),
            Appended::Written | Appended::Lost => None,
        }
    }

    /// Removes the file of an evaluation that is complete.
    ///
    /// # Errors
    /// With exit code 7.
    pub(crate) fn remove(self) -> Result<()> {
        fs::remove_file(&self.path).map_err(|source| Refusal::write(&self.path, source))
    }
}

#[cfg(test)]
mod tests {
    use super::Kept;
    use ruminate_data::{Completion, FinishReason};
    use ruminate_model::Config;
    use serde_json::json;
    use std::fs;

    fn config() -> Config {
        let keys = json!({ "model_type": "llama", "vocab_size": 32, "hidden_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 8, "max_position_embeddings": 16,
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": true,
            "eos_token_id": 1 });
        Config::from_json(&keys).expect("a configuration")
    }

    #[test]
    fn completions_are_found_at_their_places_and_a_line_cut_off_or_of_another_model_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sampled.jsonl");
        let completion =
            |ids: &[u32]| Completion::new(vec![3], ids.to_vec(), vec![-0.5; ids.len()], FinishReason::Length);
        let mut kept = Kept::open(&path).expect("made");
        assert_eq!(kept.len(), 0);
        for (place, ids) in
            [(("a", 0, Some(1)), &[4, 5][..]), (("a", 0, None), &[6]), (("b", 2, Some(0)), &[99])]
        {
            assert!(kept.add(place, &completion(ids)).is_none());
        }
        drop(kept);
        let mut kept = Kept::open(&path).expect("read");
        assert_eq!(kept.len(), 3);
        let found = kept.take(("a", 0, Some(1)), &[3], &config()).expect("it is there");
        assert_eq!((found.prompt_ids, found.ids), (vec![3], vec![4, 5]));
        assert_eq!(kept.take(("a", 0, None), &[3], &config()).expect("greedy").ids, [6]);
        assert_eq!(kept.take(("a", 0, None), &[3], &config()), None, "taken");
        assert_eq!(kept.take(("b", 2, Some(0)), &[3], &config()), None, "no token of this model");
        drop(kept);
        let bytes = fs::read(&path).expect("written");
        fs::write(&path, &bytes[..bytes.len() - 3]).expect("cut");
        assert_eq!(Kept::open(&path).expect("read").len(), 2);
        let older = String::from_utf8(bytes).expect("UTF-8").replacen(env!("CARGO_PKG_VERSION"), "0.0.1", 1);
        fs::write(&path, older).expect("written");
        assert_eq!(Kept::open(&path).expect("begun again").len(), 0);
        assert_eq!(fs::read_to_string(&path).expect("there").lines().count(), 1, "its first line");
        Kept::open(&path).expect("there").remove().expect("removed");
        assert!(!path.exists());
    }
}

//! What a teacher has written so far, one line per sample: a run that goes on reads it instead of asking again.

use crate::progress::Progress;
use anyhow::Result;
use ruminate_run::{Appended, JsonlAppender, check_regular};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A line.
#[derive(Serialize, Deserialize)]
struct Row<T> {
    /// Hash of what was asked.
    request: String,
    /// Index of the training problem.
    index: usize,
    /// Which of the problem's samples.
    sample: usize,
    #[serde(flatten)]
    written: T,
}

/// The log of a run's samples.
pub(super) struct Sampled {
    log: JsonlAppender,
    requests: Vec<String>,
}

impl Sampled {
    /// Opens the log, with those of its samples that are of what is asked now: by problem, a place a sample. `requests` are
    /// the hashes of what is asked, one a problem.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn open<T: DeserializeOwned>(
        path: &Path,
        requests: Vec<String>,
        samples: usize,
    ) -> Result<(Self, Vec<Vec<Option<T>>>)> {
        check_regular(path)?;
        let log = JsonlAppender::open(path)?;
        let mut known: Vec<Vec<Option<T>>> =
            requests.iter().map(|_| (0..samples).map(|_| None).collect()).collect();
        let text = std::fs::read_to_string(path).unwrap_or_default();
        for Row { request, index, sample, written } in
            text.lines().filter_map(|line| serde_json::from_str::<Row<T>>(line).ok())
        {
            let fits = requests.get(index).is_some_and(|asked| *asked == request);
            if let Some(place) = known.get_mut(index).and_then(|group| group.get_mut(sample)).filter(|_| fits)
            {
                place.get_or_insert(written);
            }
        }
        let count = known.iter().flatten().flatten().count();
        if count > 0 {
            notice!("{count} of {} traces were sampled before", requests.len() * samples);
        }
        Ok((Self { log, requests }, known))
    }

    /// Adds a sample. A disk that does not take it is no reason to stop: it is told once.
    pub(super) fn add<T: Serialize>(
        &mut self,
        index: usize,
        sample: usize,
        written: &T,
        progress: &mut Progress,
    ) {
        let row = Row { request: self.requests[index].clone(), index, sample, written };
        if let Appended::Failed(error) = self.log.append(&row) {
            progress.say(&format!("warning: {error}; what is lost would be asked again"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Sampled;
    use crate::progress::Progress;
    use serde::{Deserialize, Serialize};
    use std::fs;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Word {
        word: String,
    }

    fn word(word: &str) -> Word {
        Word { word: word.to_owned() }
    }

    #[test]
    fn samples_are_found_again_where_the_same_is_asked_and_a_line_cut_off_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sampled.jsonl");
        let asked = |second: &str| vec!["a".to_owned(), second.to_owned()];
        let mut progress = Progress::new("traces", 4, 0);
        let (mut log, known) = Sampled::open::<Word>(&path, asked("b"), 2).expect("opened");
        assert_eq!(known, [[None, None], [None, None]]);
        for (index, sample, said) in [(0, 1, "one"), (1, 0, "two"), (0, 0, "three")] {
            log.add(index, sample, &word(said), &mut progress);
        }
        let found = |second: &str| Sampled::open::<Word>(&path, asked(second), 2).expect("opened").1;
        assert_eq!(found("b"), [[Some(word("three")), Some(word("one"))], [Some(word("two")), None]]);
        assert_eq!(found("c"), [[Some(word("three")), Some(word("one"))], [None, None]]);
        let bytes = fs::read(&path).expect("written");
        fs::write(&path, &bytes[..bytes.len() - 5]).expect("cut");
        assert_eq!(found("b"), [[None, Some(word("one"))], [Some(word("two")), None]]);
    }
}

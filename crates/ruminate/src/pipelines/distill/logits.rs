//! What the teacher says of its traces, on disk: computed once, and found again as long as teacher and traces are the same.
//!
//! ```text
//! logits/KEY-HASH.safetensors    of 256 traces: `ids` and `logprobs` [N, K], `rest` [N], over their places with loss
//! ```
//!
//! KEY is the hash of everything that decides what is in the file: the teacher's files, the traces' tokens, what is kept.
//! HASH is that of the file itself. A file with another key is of another teacher, or of other traces; one with another hash
//! is broken. Neither is read.

use crate::interrupt;
use crate::policy;
use crate::progress::Progress;
use crate::run::identity::of_folder;
use anyhow::{Context, Result};
use burn::tensor::Device;
use ruminate_data::Sample;
use ruminate_distill::logits::{TeacherTopK, TopKSpec, from_bytes, teacher_top, to_bytes};
use ruminate_model::Decoder;
use ruminate_rollout::Error as Rollout;
use ruminate_run::{sha256_hex, write_file};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// Traces of a file.
const SHARD: usize = 256;

/// Hexadecimal digits of a hash in a name: 128 bits.
const DIGITS: usize = 32;

/// The teacher, where there is something to ask it.
pub(super) struct Teacher<'a> {
    /// Its model folder.
    pub(super) folder: &'a Path,
    /// On which it is loaded.
    pub(super) device: &'a Device,
}

/// The teacher's top for every sample, from `folder`, which is there, or computed and left there. What `folder` has of other
/// teachers and traces is removed.
///
/// # Errors
/// Those of loading the teacher and of writing; an interruption, after which the files that are there are kept.
pub(super) fn cached(
    teacher: &Teacher,
    samples: &[Sample],
    kept: TopKSpec,
    folder: &Path,
) -> Result<Vec<TeacherTopK>> {
    let identity = of_folder(teacher.folder)?;
    let mut progress = Progress::new("logits", samples.len() as u64, 0);
    let (mut loaded, mut tops, mut files): (Option<Decoder>, Vec<TeacherTopK>, Vec<PathBuf>) =
        Default::default();
    for shard in samples.chunks(SHARD) {
        let key = key(&identity, shard, kept);
        let (path, found) = if let Some(found) = read(folder, &key, shard, kept) {
            found
        } else {
            if interrupt::requested() {
                let (finished, requested) = (tops.len(), samples.len());
                return Err(Rollout::Stopped { finished, requested }.into());
            }
            let decoder = match loaded.take() {
                Some(decoder) => decoder,
                None => policy::Source::new(teacher.folder, None)?.load(teacher.device)?,
            };
            let top = teacher_top(&decoder, shard, kept)?;
            loaded = Some(decoder);
            let bytes = to_bytes(&top, kept);
            let path = folder.join(format!("{key}-{}.safetensors", &sha256_hex(&bytes)[..DIGITS]));
            write_file(&path, &bytes)?;
            (path, top)
        };
        tops.extend(found);
        files.push(path);
        progress.at(tops.len() as u64, "");
    }
    let stale = |path: &PathBuf| {
        let name = Path::new("logits").join(path.file_name().unwrap_or_default());
        ruminate_run::is_run_file(&name) && !files.contains(path)
    };
    for path in entries(folder).into_iter().filter(stale) {
        fs::remove_file(&path).with_context(|| path.display().to_string())?;
    }
    Ok(tops)
}

fn key(identity: &str, samples: &[Sample], kept: TopKSpec) -> String {
    let traces: Vec<_> = samples.iter().map(|sample| (&sample.ids, &sample.loss_mask)).collect();
    let decides = json!({
        "format": 1,
        "teacher": identity,
        "traces": traces,
        "top_k": kept.count,
        "vocabulary": kept.vocabulary,
        "temperature": kept.temperature,
    });
    sha256_hex(decides.to_string().as_bytes())[..DIGITS].to_owned()
}

/// The file of a key, if there is one that is whole.
fn read(folder: &Path, key: &str, samples: &[Sample], kept: TopKSpec) -> Option<(PathBuf, Vec<TeacherTopK>)> {
    entries(folder).into_iter().find_map(|path| {
        let (of, hash) = path.file_stem()?.to_str()?.split_once('-')?;
        if of != key {
            return None;
        }
        let bytes = fs::read(&path).ok()?;
        if sha256_hex(&bytes)[..DIGITS] != *hash {
            notice!("warning: {} is not what was written; it is computed again", path.display());
            return None;
        }
        let tops = from_bytes(&bytes, samples, kept).ok()?;
        Some((path, tops))
    })
}

/// The paths in a folder; none where it is not there.
fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::{SHARD, Teacher, cached, entries};
    use burn::tensor::Device;
    use ruminate_data::Sample;
    use ruminate_distill::logits::TopKSpec;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn copy(case: &str, to: &Path) {
        let from = ruminate_testkit::fixture_path("model").join(case);
        for name in ["config.json", "model.safetensors"] {
            fs::copy(from.join(name), to.join(name)).expect("copied");
        }
    }

    fn samples() -> Vec<Sample> {
        (0..SHARD as u32 + 3).map(|i| Sample::completion_only(&[i % 40, i / 40, 3], &[i % 7, 1])).collect()
    }

    fn names(folder: &Path) -> Vec<PathBuf> {
        let mut names = entries(folder);
        names.sort();
        names
    }

    #[test]
    fn what_a_teacher_says_is_computed_once_and_again_when_it_or_its_traces_change() {
        let place = tempfile::tempdir().expect("a folder");
        let (teacher, folder) = (place.path().join("teacher"), place.path().join("logits"));
        for folder in [&teacher, &folder] {
            fs::create_dir(folder).expect("made");
        }
        copy("llama_tied", &teacher);
        let device = Device::flex();
        let of = Teacher { folder: &teacher, device: &device };
        let (mut samples, kept) = (samples(), TopKSpec::new(4, 1.0, 40, 40));
        let tops = cached(&of, &samples, kept, &folder).expect("computed");
        let files = names(&folder);
        assert_eq!((tops.len(), files.len()), (SHARD + 3, 2));

        // Found again: nothing is computed, so what lies there is not written again.
        let written = |path: &PathBuf| fs::metadata(path).and_then(|file| file.modified()).expect("a time");
        let times: Vec<_> = files.iter().map(written).collect();
        assert_eq!(cached(&of, &samples, kept, &folder).expect("found"), tops);
        assert_eq!(files.iter().map(written).collect::<Vec<_>>(), times);

        // A flipped bit, and a missing file: made again, the same.
        let mut bytes = fs::read(&files[0]).expect("readable");
        *bytes.last_mut().expect("not empty") ^= 1;
        fs::write(&files[0], bytes).expect("written");
        fs::remove_file(&files[1]).expect("removed");
        assert_eq!(cached(&of, &samples, kept, &folder).expect("computed"), tops);
        assert_eq!(names(&folder), files);

        // Another trace in the second file: the first stays.
        samples[SHARD].ids[0] += 1;
        cached(&of, &samples, kept, &folder).expect("computed");
        let again = names(&folder);
        assert_eq!(again.iter().filter(|path| files.contains(path)).count(), 1);
        assert_eq!(again.len(), 2);

        // Another number of tokens, another temperature, another teacher.
        let mut before = again;
        for change in 0..3 {
            let kept =
                if change == 0 { TopKSpec::new(5, 1.0, 40, 40) } else { TopKSpec::new(5, 2.0, 40, 40) };
            if change == 2 {
                copy("llama_untied", &teacher);
            }
            cached(&of, &samples, kept, &folder).expect("computed");
            let after = names(&folder);
            assert!(after.len() == 2 && after.iter().all(|path| !before.contains(path)), "{change}");
            before = after;
        }
    }
}

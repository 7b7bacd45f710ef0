//! Samples for the supervised trainer, in a new order each epoch.

use crate::Error;
use ruminate_data::{Epochs, Sample, Seed, SourceError};

/// The sample of an index, in the shuffled order of [`Epochs`].
///
/// The answer depends on the index alone, so the trainer's cursor is all that a resumed run needs.
///
/// # Errors
/// [`Error::NoSamples`] when there are none.
pub fn source(
    samples: &[Sample],
    seed: Seed,
) -> Result<impl FnMut(u64) -> Result<Sample, SourceError>, Error> {
    let mut epochs = Epochs::new(samples.len(), seed).ok_or(Error::NoSamples)?;
    Ok(move |index: u64| Ok(samples[epochs.position(index)].clone()))
}

#[cfg(test)]
mod tests {
    use super::source;
    use crate::Error;
    use ruminate_data::{Sample, Seed};

    fn samples(count: u32) -> Vec<Sample> {
        (0..count).map(|id| Sample::completion_only(&[100], &[id])).collect()
    }

    fn drawn(samples: &[Sample], indices: impl Iterator<Item = u64>) -> Vec<u32> {
        let mut source = source(samples, Seed::new(3)).expect("samples");
        indices.map(|index| source(index).expect("a sample").ids[1]).collect()
    }

    #[test]
    fn an_epoch_has_every_sample_once_in_an_order_of_its_own() {
        let samples = samples(20);
        let ids = drawn(&samples, 0..60);
        for epoch in ids.chunks(20) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..20).collect::<Vec<u32>>());
        }
        assert_ne!(ids[..20], ids[20..40]);
        assert_ne!(ids[20..40], ids[40..]);
    }

    #[test]
    fn the_sample_of_an_index_does_not_depend_on_what_was_asked_before() {
        let samples = samples(7);
        let forward = drawn(&samples, 0..30);
        let mut backward = drawn(&samples, (0..30).rev());
        backward.reverse();
        assert_eq!(forward, backward);
        assert_eq!(drawn(&samples, 17..30), forward[17..]);
    }

    #[test]
    fn without_samples_there_is_no_source() {
        assert!(matches!(source(&[], Seed::new(0)).err(), Some(Error::NoSamples)));
    }
}

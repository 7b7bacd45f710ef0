//! What a sampler kept of its distribution: without it there is nothing to learn a cut policy by.

use crate::Error;
use ruminate_data::{Completion, Group, SamplingParams};

/// Checks that completions carry what they were drawn from, where that was cut.
///
/// # Errors
/// [`Error::KeptSet`] for the first one that does not.
pub(crate) fn check_kept(groups: &[Group], sampling: &SamplingParams) -> Result<(), Error> {
    if !sampling.cuts() {
        return Ok(());
    }
    for group in groups {
        for (index, completion) in group.completions.iter().enumerate() {
            if let Some(found) = lacks(completion) {
                return Err(Error::KeptSet { task: group.task, completion: index, found });
            }
        }
    }
    Ok(())
}

/// What a completion lacks.
fn lacks(completion: &Completion) -> Option<String> {
    let Completion { ids, kept, kept_mass, .. } = completion;
    let (tokens, sets, masses) = (ids.len(), kept.len(), kept_mass.len());
    if sets != tokens || ![0, tokens].contains(&masses) {
        return Some(format!("it has {sets} sets and {masses} probabilities for {tokens} tokens"));
    }
    let is_outside = |(token, id): (usize, &u32)| kept.at(token).binary_search(id).is_err();
    let outside = ids.iter().enumerate().position(is_outside);
    outside.map(|token| format!("its token {token} is not among those that were kept"))
}

#[cfg(test)]
mod tests {
    use super::check_kept;
    use ruminate_data::{Completion, FinishReason, Group, SamplingParams};

    #[test]
    fn a_completion_without_its_sets_is_refused_where_the_distribution_was_cut() {
        let cut = SamplingParams { min_p: 0.1, ..SamplingParams::default() };
        let check = |kept: &[&[u32]], kept_mass: Vec<f32>| {
            let mut completion = Completion::new(vec![1], vec![5, 6], vec![-1.0; 2], FinishReason::Stop);
            for set in kept {
                completion.kept.push(set);
            }
            completion.kept_mass = kept_mass;
            let groups = [Group { task: 3, completions: vec![completion], verdicts: Vec::new() }];
            assert!(check_kept(&groups, &SamplingParams::default()).is_ok());
            check_kept(&groups, &cut).map_err(|error| error.to_string())
        };
        assert_eq!(check(&[&[5, 9], &[6]], vec![0.5; 2]), Ok(()));
        assert_eq!(check(&[&[5, 9], &[6]], vec![]), Ok(()), "log-probabilities of what was kept alone");
        for (kept, mass, says) in [
            (&[][..], vec![0.5; 2], "0 sets and 2 probabilities for 2 tokens"),
            (&[&[5][..], &[6]], vec![0.5], "2 sets and 1 probabilities"),
            (&[&[5][..], &[7]], vec![0.5; 2], "token 1 is not among"),
        ] {
            let message = check(kept, mass).expect_err(says);
            assert!(message.contains(says) && message.contains("of task 3"), "{message}");
        }
    }
}

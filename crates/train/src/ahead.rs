//! Groups that were sampled ahead of their step, as lines of a checkpoint, and back bit by bit. Verdicts are not kept: they follow
//! from the completions.

use ruminate_data::{Completion, FinishReason, Group, KeptIds, Routing, VersionSpan};
use serde::{Deserialize, Serialize};

/// A group's line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    task: usize,
    prompt_ids: Vec<u32>,
    completions: Vec<Drawn>,
}

/// A completion without its prompt. Floats are their bits, since JSON has no NaN.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Drawn {
    ids: Vec<u32>,
    logprob_bits: Vec<u32>,
    finish_reason: FinishReason,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    routing: Option<Experts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trained: Option<Vec<bool>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    kept_mass_bits: Vec<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    kept: Vec<Vec<u32>>,
    /// Version, first token, end.
    versions: Vec<(u64, usize, usize)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Experts {
    moe_layers: usize,
    experts_per_token: usize,
    experts: Vec<u16>,
}

/// One line per group.
pub(crate) fn to_bytes(groups: &[Group]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for group in groups {
        let prompt_ids = group.completions.first().map(|one| one.prompt_ids.clone()).unwrap_or_default();
        let completions = group.completions.iter().map(drawn).collect();
        let line = Line { task: group.task, prompt_ids, completions };
        bytes.extend(serde_json::to_vec(&line).expect("keys are strings"));
        bytes.push(b'\n');
    }
    bytes
}

/// The reverse, without verdicts.
///
/// # Errors
/// In words, which line is none of a group whose parts fit each other and a vocabulary of that size.
pub(crate) fn from_bytes(bytes: &[u8], vocab_size: usize) -> Result<Vec<Group>, String> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let group = |(number, line): (usize, &[u8])| {
        let at = |why: String| format!("line {}: {why}", number + 1);
        let line: Line = serde_json::from_slice(line).map_err(|error| at(error.to_string()))?;
        group(line, vocab_size).map_err(at)
    };
    lines.enumerate().map(group).collect()
}

fn drawn(completion: &Completion) -> Drawn {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect();
    let routing = completion.routing.as_ref().map(|routing| Experts {
        moe_layers: routing.moe_layers,
        experts_per_token: routing.experts_per_token,
        experts: routing.experts.clone(),
    });
    let versions = completion.versions.iter();
    Drawn {
        ids: completion.ids.clone(),
        logprob_bits: bits(&completion.logprobs),
        finish_reason: completion.finish_reason,
        routing,
        trained: completion.trained.clone(),
        kept_mass_bits: bits(&completion.kept_mass),
        kept: (0..completion.kept.len()).map(|token| completion.kept.at(token).to_vec()).collect(),
        versions: versions.map(|span| (span.version, span.tokens.start, span.tokens.end)).collect(),
    }
}

fn group(line: Line, vocab_size: usize) -> Result<Group, String> {
    let Line { task, prompt_ids, completions } = line;
    let check = |ids: &[u32]| match ids.iter().find(|id| **id as usize >= vocab_size) {
        Some(id) => Err(format!("{id} is no token of {vocab_size}")),
        None => Ok(()),
    };
    check(&prompt_ids)?;
    let completions = completions
        .into_iter()
        .map(|drawn| {
            check(&drawn.ids)?;
            drawn.kept.iter().try_for_each(|kept| check(kept))?;
            completion(drawn, prompt_ids.clone())
        })
        .collect::<Result<_, String>>()?;
    Ok(Group { task, completions, verdicts: Vec::new() })
}

fn completion(drawn: Drawn, prompt_ids: Vec<u32>) -> Result<Completion, String> {
    let tokens = drawn.ids.len();
    let none_or_all = |values: usize| values == 0 || values == tokens;
    let fits = drawn.logprob_bits.len() == tokens
        && drawn.trained.as_ref().is_none_or(|trained| trained.len() == tokens)
        && none_or_all(drawn.kept_mass_bits.len())
        && none_or_all(drawn.kept.len())
        && drawn.versions.iter().all(|(_, start, end)| start <= end && *end <= tokens);
    if !fits {
        return Err(format!("a completion of {tokens} tokens has parts of other lengths"));
    }
    let floats = |bits: Vec<u32>| bits.into_iter().map(f32::from_bits).collect();
    let positions = (prompt_ids.len() + tokens).saturating_sub(1);
    let routing = drawn.routing.map(|Experts { moe_layers, experts_per_token, experts }| {
        let expected = moe_layers.checked_mul(experts_per_token).and_then(|row| row.checked_mul(positions));
        if expected != Some(experts.len()) {
            return Err(format!("{} experts of {positions} positions", experts.len()));
        }
        Ok(Routing { experts, moe_layers, experts_per_token })
    });
    let mut kept = KeptIds::default();
    for ids in &drawn.kept {
        kept.push(ids);
    }
    let logprobs = floats(drawn.logprob_bits);
    let mut completion = Completion::new(prompt_ids, drawn.ids, logprobs, drawn.finish_reason);
    completion.routing = routing.transpose()?;
    completion.trained = drawn.trained;
    (completion.kept_mass, completion.kept) = (floats(drawn.kept_mass_bits), kept);
    let span = |(version, start, end)| VersionSpan { version, tokens: start..end };
    completion.versions = drawn.versions.into_iter().map(span).collect();
    Ok(completion)
}

#[cfg(test)]
mod tests {
    use super::{from_bytes, to_bytes};
    use ruminate_data::{Completion, FinishReason, Group, KeptIds, Routing, VersionSpan};

    fn group() -> Group {
        let plain = Completion::new(vec![1, 2], vec![3, 4], vec![-0.1, -1e-30], FinishReason::Stop);
        let mut full = Completion::new(vec![1, 2], vec![5, 6], vec![f32::NAN, 0.0], FinishReason::Length);
        full.routing = Some(Routing { experts: vec![0, 1, 2, 0, 1, 2], moe_layers: 1, experts_per_token: 2 });
        full.trained = Some(vec![true, false]);
        full.kept_mass = vec![0.3, 1.0];
        let mut kept = KeptIds::default();
        kept.push(&[5, 7]);
        kept.push(&[6]);
        full.kept = kept;
        full.versions =
            vec![VersionSpan { version: 3, tokens: 0..1 }, VersionSpan { version: 4, tokens: 1..2 }];
        Group { task: 9, completions: vec![plain, full], verdicts: Vec::new() }
    }

    #[test]
    fn a_group_comes_back_bit_by_bit() {
        let bytes = to_bytes(&[group(), group()]);
        let read = from_bytes(&bytes, 8).expect("groups");
        assert_eq!((read.len(), read[1].task), (2, 9));
        assert_eq!(read[0].completions[0], group().completions[0]);
        let (found, written) = (&read[1].completions[1], &group().completions[1]);
        let bits =
            |completion: &Completion| completion.logprobs.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(found), bits(written));
        assert_eq!((&found.routing, &found.trained), (&written.routing, &written.trained));
        assert_eq!((&found.kept, &found.kept_mass), (&written.kept, &written.kept_mass));
        assert_eq!(found.versions, written.versions);
        assert_eq!(to_bytes(&read), bytes);
    }

    #[test]
    fn a_line_whose_parts_do_not_fit_is_refused_by_its_number() {
        let text = String::from_utf8(to_bytes(&[group()])).expect("text");
        for (from, to) in [
            ("\"ids\":[5,6]", "\"ids\":[5]"),
            ("\"ids\":[5,6]", "\"ids\":[5,600]"),
            ("\"trained\":[true,false]", "\"trained\":[true]"),
            ("[4,1,2]", "[4,1,3]"),
            ("\"moe_layers\":1", "\"moe_layers\":18446744073709551615"),
            ("\"task\":9", "\"task\":-9"),
        ] {
            assert!(text.contains(from), "{from}");
            let error = from_bytes(text.replace(from, to).as_bytes(), 8).expect_err(to);
            assert!(error.starts_with("line 1: "), "{error}");
        }
    }
}

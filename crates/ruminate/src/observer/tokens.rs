//! Some completions of a step, token by token: what the policy says of them after the step's updates. Rows of
//! `tokens/step-000010.jsonl`.

use anyhow::Result;
use ruminate_data::{Completion, Group, History, Sample, SamplingParams, Stop};
use ruminate_model::read::{self, Place};
use ruminate_model::{Decoder, Routes};
use ruminate_run::{RunFolder, rows};
use ruminate_text::Renderer;
use ruminate_text::SpecialText;
use ruminate_train::logprobs::token_logprobs;
use ruminate_train::packing::{Sequence, one_a_row};
use ruminate_train::score_drawn;

/// Groups of a step that are looked at, and completions of each.
const GROUPS: usize = 2;
const COMPLETIONS: usize = 4;

/// Longer completions are not looked at: a report could not show them whole.
const MAX_TOKENS: usize = 2048;

/// Layers whose experts are written.
const LAYERS: usize = 8;

/// Completions to look at again once the step has been learnt from.
#[derive(Default)]
pub(crate) struct Watched {
    completions: Vec<(usize, usize, Completion)>,
}

impl Watched {
    /// Of the first groups with something to teach, the best, the worst, and those next to them.
    pub(crate) fn of(groups: &[Group], advantages: &[Vec<f64>]) -> Self {
        let mut order: Vec<usize> = (0..groups.len()).collect();
        order.sort_by_key(|&group| advantages[group].iter().all(|&advantage| advantage == 0.0)); // stable
        let mut completions = Vec::new();
        for group in order.into_iter().take(GROUPS) {
            let Group { task, completions: siblings, .. } = &groups[group];
            let of = &advantages[group];
            let mut ranks: Vec<usize> = (0..siblings.len())
                .filter(|&sample| (1..=MAX_TOKENS).contains(&siblings[sample].ids.len()))
                .collect();
            ranks.sort_by(|&a, &b| of[b].total_cmp(&of[a]));
            while ranks.len() > COMPLETIONS {
                ranks.remove(ranks.len() / 2);
            }
            ranks.sort_unstable();
            completions.extend(ranks.into_iter().map(|sample| (*task, sample, siblings[sample].clone())));
        }
        Self { completions }
    }

    /// Computes what the policy says of them now, and writes it. `policy` tracks no gradients.
    ///
    /// # Errors
    /// With exit code 7.
    pub(crate) fn write(
        self,
        step: usize,
        policy: &Decoder,
        drawn_from: (&SamplingParams, &Stop),
        renderer: &Renderer,
        folder: &RunFolder,
    ) -> Result<()> {
        let mut bytes = Vec::new();
        for (index, sample, completion) in &self.completions {
            let tokens = pieces(renderer, &completion.ids);
            let (step, index, sample) = (step as u64, *index as u64, *sample as u64);
            let row = rows::Tokens { step, index, sample, tokens, ..look(policy, completion, drawn_from)? };
            ruminate_data::jsonl::write(&mut bytes, [row])?;
        }
        Ok(folder.write(&folder.tokens_path(step as u64), &bytes)?)
    }
}

/// A completion through the policy, all tokens at once. The ratio of a token that the policy has not drawn is absent.
fn look(
    policy: &Decoder,
    completion: &Completion,
    (sampling, stop): (&SamplingParams, &Stop),
) -> Result<rows::Tokens> {
    let sample = Sample::completion_only(&completion.prompt_ids, &completion.ids);
    let packed = one_a_row(&[Sequence::from(&sample)]);
    let output = policy.forward(&packed.batch, Routes::Choose);
    let now = token_logprobs(policy, output.hidden, &packed, sampling.temperature);
    let floats = |tensor: burn::tensor::Tensor<1>| read::floats(tensor, Place::Statistics);
    let drawn = completion.drawn_logprobs();
    let has_sets = completion.kept.len() == completion.ids.len();
    let (then, now_drawn) = if History::matters(sampling, stop) || (sampling.cuts() && has_sets) {
        (drawn, score_drawn(policy, &[completion], sampling, stop, 1)?.swap_remove(0))
    } else {
        (completion.logprobs.clone(), floats(now.logprobs))
    };
    let ratio = now_drawn.into_iter().zip(then).enumerate();
    let ratio = ratio.map(|(token, (now, then))| completion.is_trained(token).then_some((now - then).exp()));
    let experts = output.routing.iter().take(LAYERS).map(|layer| {
        let chosen = layer.experts.len() / packed.batch.places();
        // The places of the completion's tokens, each computed by the experts chosen there.
        let places = completion.prompt_ids.len()..completion.prompt_ids.len() + completion.ids.len();
        places
            .map(|place| {
                layer.experts[place * chosen..(place + 1) * chosen].iter().copied().map(u32::from).collect()
            })
            .collect()
    });
    Ok(rows::Tokens {
        step: 0,
        index: 0,
        sample: 0,
        tokens: Vec::new(),
        ratio: ratio.collect(),
        entropy: floats(now.entropy).into_iter().map(Some).collect(),
        experts: experts.collect(),
    })
}

/// The text of each token: what it adds to those before it. One that is part of a character adds nothing; the one
/// that completes it adds all.
fn pieces(renderer: &Renderer, ids: &[u32]) -> Vec<String> {
    let decoded =
        |count: usize| renderer.tokenizer.decode(&ids[..count], SpecialText::Keep).unwrap_or_default();
    let mut told = String::new();
    (1..=ids.len())
        .map(|count| {
            let text = decoded(count);
            match text.strip_prefix(&told) {
                Some(piece) if !piece.ends_with('\u{fffd}') || count == ids.len() => {
                    let piece = piece.to_owned();
                    told = text;
                    piece
                }
                _ => String::new(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Watched, pieces};
    use ruminate_data::{Completion, FinishReason, Group};
    use ruminate_text::PromptStyle;
    use ruminate_text::Renderer;

    #[test]
    fn pieces_are_the_tokens_and_together_the_text() {
        let renderer = Renderer::embedded(PromptStyle::Bare).expect("embedded");
        let ids = renderer.completion_ids("<think>1+1</think>2").expect("encoded");
        let pieces = pieces(&renderer, &ids);
        assert_eq!(pieces.len(), ids.len());
        assert_eq!(&pieces[..4], ["<think>", "1", "+", "1"]);
        assert!(pieces.concat().starts_with("<think>1+1</think>2"));
    }

    #[test]
    fn groups_with_something_to_teach_come_first_and_both_ends_of_them_stay() {
        let completion = || Completion::new(vec![1], vec![2], vec![-1.0], FinishReason::Stop);
        let group =
            |task| Group { task, completions: (0..6).map(|_| completion()).collect(), verdicts: Vec::new() };
        let advantages = [vec![0.0; 6], vec![0.1, -2.0, 0.0, 0.2, 3.0, 0.0]];
        let watched = Watched::of(&[group(7), group(8)], &advantages);
        let chosen: Vec<(usize, usize)> = watched.completions.iter().map(|c| (c.0, c.1)).collect();
        assert_eq!(&chosen[..4], [(8, 1), (8, 3), (8, 4), (8, 5)]);
        assert!(chosen[4..].iter().all(|c| c.0 == 7));
    }
}

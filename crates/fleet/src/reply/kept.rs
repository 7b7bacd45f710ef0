//! Which tokens a server kept of its distribution: vLLM's `sampling_mask`, SGLang's `output_token_sampling_mask`.

use super::{Asked, Finish};
use ruminate_data::KeptIds;
use serde::Deserialize;

/// A list of ids for each token, alone or under the name that vLLM's own classes have for it.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum SamplingMask {
    Lists(Vec<Vec<u32>>),
    Named { token_ids: Vec<Vec<u32>> },
}

/// The set of each of `ids`; none at all where none were asked for, or an abort has lost them.
///
/// # Errors
/// When a set is missing, or cannot be what its token was drawn from.
pub(super) fn kept(
    mask: Option<SamplingMask>,
    ids: &[u32],
    finish: Finish,
    asked: &Asked,
) -> Result<KeptIds, String> {
    let mut kept = KeptIds::default();
    if !asked.kept || ids.is_empty() || (finish == Finish::Abort && mask.is_none()) {
        return Ok(kept);
    }
    let (SamplingMask::Lists(sets) | SamplingMask::Named { token_ids: sets }) =
        mask.ok_or("no sampling mask, and `top_p`, `top_k` or `min_p` cut the distribution")?;
    if sets.len() != ids.len() {
        return Err(format!("sampling masks of {} tokens for {}", sets.len(), ids.len()));
    }
    for (token, (set, id)) in sets.iter().zip(ids).enumerate() {
        if !set.contains(id) {
            return Err(format!("token {token} is {id}, which is not in its sampling mask"));
        }
        kept.push(set);
        let sorted = kept.at(token);
        if let Some([twice, _]) = sorted.array_windows().find(|[id, next]| id == next) {
            return Err(format!("the sampling mask of token {token} has {twice} twice"));
        }
        if let Some(id) = sorted.last().filter(|id| **id as usize >= asked.vocab_size) {
            return Err(format!(
                "token id {id} in the sampling mask of token {token}, the vocabulary has {}",
                asked.vocab_size
            ));
        }
    }
    Ok(kept)
}

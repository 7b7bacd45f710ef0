//! A sequence that is ready for supervised training.

/// Token ids and which of them carry loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Prompt and completion, concatenated.
    pub ids: Vec<u32>,
    /// `loss_mask[i]` says whether predicting `ids[i]` from `ids[..i]` is trained. The first is always false.
    pub loss_mask: Vec<bool>,
}

impl Sample {
    /// A sample whose loss lies on the completion only.
    pub fn completion_only(prompt: &[u32], completion: &[u32]) -> Self {
        let ids: Vec<u32> = prompt.iter().chain(completion).copied().collect();
        let loss_mask = (0..ids.len()).map(|i| i > 0 && i >= prompt.len()).collect();
        Self { ids, loss_mask }
    }
}

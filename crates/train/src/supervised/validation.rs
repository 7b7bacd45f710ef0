//! The loss of samples that training never sees. Nothing is tracked, so a measurement changes no later step.

use super::Config;
use crate::Error;
use crate::logprobs::token_logprobs;
use crate::packing::{Sequence, microbatches, pack};
use ruminate_data::Sample;
use ruminate_kernels::read::{Place, scalar};
use ruminate_model::{Decoder, Routes};

/// What a policy makes of held-out samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValidationLoss {
    /// Mean over all tokens with loss, in nats.
    pub loss: f64,
    /// Tokens with loss.
    pub tokens: usize,
}

/// The mean next-token loss of `samples` under `policy`, in microbatches of the size that training has. `None` where no token
/// has loss.
///
/// # Errors
/// [`Error::TooLong`] for a sample longer than `row_length`.
pub fn validation_loss(
    policy: &Decoder,
    samples: &[Sample],
    config: &Config,
) -> Result<Option<ValidationLoss>, Error> {
    let lengths: Vec<usize> = samples.iter().map(|sample| sample.ids.len()).collect();
    let size = config.batch_size.div_ceil(config.gradient_accumulation_steps);
    let (mut sum, mut tokens) = (0.0, 0);
    for members in microbatches(&lengths, size) {
        let sequences: Vec<Sequence> = members.iter().map(|&index| Sequence::from(&samples[index])).collect();
        let packed = pack(&sequences, config.row_length)?;
        if packed.loss_tokens() == 0 {
            continue;
        }
        let hidden = policy.forward(&packed.batch, Routes::Choose).hidden;
        sum -= scalar(token_logprobs(policy, hidden, &packed, 1.0).logprobs.sum(), Place::Loss);
        tokens += packed.loss_tokens();
    }
    Ok((tokens > 0).then(|| ValidationLoss { loss: sum / tokens as f64, tokens }))
}

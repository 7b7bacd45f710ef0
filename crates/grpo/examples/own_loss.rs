//! GRPO with a loss of its own, plain REINFORCE: `cargo run -p ruminate-grpo --example own_loss`.

mod toy;

use burn::tensor::Tensor;
use ruminate_grpo::PolicyLoss;
use ruminate_grpo::loss::{Correction, Surrogate, TokenLosses, Tokens};
use std::sync::Arc;

/// `l_t = -A logp_t`: the policy gradient without a ratio.
#[derive(Debug)]
struct Reinforce;

impl Surrogate for Reinforce {
    fn losses(&self, logprobs: Tensor<1>, tokens: &Tokens, _: Correction) -> TokenLosses {
        (tokens.advantages_on(&logprobs.device()) * logprobs).neg().into()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    toy::run(|trainer| {
        let loss = PolicyLoss { surrogate: Arc::new(Reinforce), ..trainer.loss().clone() };
        trainer.with_loss(loss)
    })
}

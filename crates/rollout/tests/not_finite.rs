//! A model whose logits are not numbers: an error at the first token, never a token.

mod common;

use burn::tensor::Tensor;
use common::{Options, generate, requests};
use ruminate_data::{Completion, SamplingParams, Seed, Stop};
use ruminate_model::{Decoder, ParameterMapper};
use ruminate_rollout::{
    EngineConfig, Error, GroupArgs, LocalEngine, SpeculationStats, Speculative, generate_grouped,
};
use std::ops::ControlFlow;

/// A fixture's model with NaN in every parameter whose name ends so.
fn damaged(fixture: &str, parameter: &'static str) -> Decoder {
    struct Damage(&'static str, usize);
    impl ParameterMapper for Damage {
        fn map<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) -> Tensor<D> {
            if !name.ends_with(self.0) {
                return tensor;
            }
            self.1 += 1;
            tensor * f32::NAN
        }
    }
    let mut damage = Damage(parameter, 0);
    let decoder = common::decoder(fixture).map_parameters(&mut damage);
    assert!(damage.1 > 0, "{fixture} has no {parameter}");
    decoder
}

fn options(temperature: f64, speculative: Speculative) -> Options {
    Options {
        sampling: SamplingParams { temperature, max_new_tokens: 6, ..SamplingParams::default() },
        engine: EngineConfig { speculative, max_num_seqs: 4, ..EngineConfig::default() },
        eos_token_ids: vec![1],
    }
}

fn sampled(decoder: &Decoder, options: &Options) -> (Result<SpeculationStats, Error>, usize) {
    let mut finished = 0;
    let result = generate(decoder, &requests(9), options, &mut |_: usize, _: Completion| {
        finished += 1;
        ControlFlow::Continue(())
    });
    (result, finished)
}

#[test]
fn weights_of_nan_end_the_sampling_at_the_first_token() {
    for (fixture, parameter) in [
        ("qwen3", "lm_head.weight"),
        ("llama_tied", "model.norm.weight"),
        ("deepseek_v3_full", "layers.0.self_attn.o_proj.weight"),
    ] {
        let decoder = damaged(fixture, parameter);
        for temperature in [0.0, 1.0] {
            let (result, finished) = sampled(&decoder, &options(temperature, Speculative::None));
            assert_eq!(
                result,
                Err(Error::NotFinite { request: 0, token: 0 }),
                "{fixture}, T = {temperature}"
            );
            assert_eq!(finished, 0, "{fixture}: no completion of tokens that nothing drew");
        }
    }
}

#[test]
fn a_group_of_siblings_ends_with_the_same_error_and_says_where() {
    let decoder = damaged("qwen3", "model.norm.weight");
    let Options { sampling, engine, eos_token_ids } = options(1.0, Speculative::None);
    let mut engine = LocalEngine::of(&decoder, engine).expect("it drafts nothing");
    let args = GroupArgs { count: 3, sampling, stop: &Stop::at(&eos_token_ids) };
    let go_on = || ControlFlow::Continue(());
    let result = generate_grouped(&mut engine, &[&[3, 4], &[5]], args, |i| Seed::new(i as u64), go_on);
    let error = result.expect_err("no distribution");
    assert_eq!(error, Error::NotFinite { request: 0, token: 0 });
    let message = error.to_string();
    assert!(message.contains("token 0 of completion 0") && message.contains("model folder"), "{message}");
}

#[test]
fn a_trunk_of_nan_is_an_error_under_speculation_and_a_module_of_nan_only_guesses_nothing() {
    let drafts = options(1.0, Speculative::Mtp);
    let (result, _) = sampled(&damaged("deepseek_v3_mtp", "model.norm.weight"), &drafts);
    assert!(matches!(result, Err(Error::NotFinite { token: 0, .. })), "{result:?}");

    let (result, finished) = sampled(&damaged("deepseek_v3_mtp", "eh_proj.weight"), &drafts);
    assert_eq!(result.expect("the trunk is whole").drafted, 0);
    assert_eq!(finished, 9);
}

//! A model whose logits are not numbers: the request ends there, and no token is drawn from them.

mod common;

use burn::tensor::Tensor;
use common::{Asked, Options, generate, requests};
use ruminate_data::{Completion, FinishReason, SamplingParams, Seed, Stop};
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

/// How many of nine requests end because there is no distribution, and what the engine says.
fn sampled(decoder: &Decoder, options: &Options) -> (Result<SpeculationStats, Error>, Vec<Completion>) {
    let mut completions = Vec::new();
    let result = generate(decoder, &requests(9), options, &mut |_: usize, completion: Completion| {
        completions.push(completion);
        ControlFlow::Continue(())
    });
    (result, completions)
}

fn without_distribution(completions: &[Completion]) -> usize {
    let ends = |completion: &&Completion| completion.finish_reason == FinishReason::NotFinite;
    completions.iter().filter(ends).count()
}

#[test]
fn weights_of_nan_end_every_request_at_its_first_token() {
    for (fixture, parameter) in [
        ("qwen3", "lm_head.weight"),
        ("llama_tied", "model.norm.weight"),
        ("deepseek_v3_full", "layers.0.self_attn.o_proj.weight"),
    ] {
        let decoder = damaged(fixture, parameter);
        for temperature in [0.0, 1.0] {
            let (result, completions) = sampled(&decoder, &options(temperature, Speculative::None));
            assert!(result.is_ok(), "{fixture}: {result:?}");
            assert_eq!(without_distribution(&completions), 9, "{fixture}, T = {temperature}");
            assert!(
                completions.iter().all(|completion| completion.ids.is_empty()),
                "no token that nothing drew"
            );
            let refused = Error::check(4, &completions[0]);
            assert_eq!(refused, Err(Error::NotFinite { request: 4, token: 0 }));
        }
    }
}

#[test]
fn a_row_without_a_distribution_ends_its_own_request_alone() {
    // One token's embedding is damaged: only the prompt that has it is hit.
    struct Damage;
    impl ParameterMapper for Damage {
        fn map<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) -> Tensor<D> {
            if name != "model.embed_tokens.weight" {
                return tensor;
            }
            let (shape, device) = (tensor.dims(), tensor.device());
            let mut values = ruminate_testkit::floats(tensor);
            values[30 * shape[1]] = f32::NAN;
            Tensor::from_data(burn::tensor::TensorData::new(values, shape), &device)
        }
    }
    let decoder = common::decoder("qwen3").map_parameters(&mut Damage);
    let mut options = options(1.0, Speculative::None);
    options.sampling.top_k = 1; // what is drawn then does not depend on luck
    let asked: Vec<Asked> = [[2, 3], [30, 3], [5, 4], [3, 30]]
        .map(|prompt_ids| Asked { prompt_ids: prompt_ids.to_vec(), seed: Seed::new(1) })
        .to_vec();
    let (completions, _) = common::run(&decoder, &asked, &options);
    let whole = common::run(&common::decoder("qwen3"), &asked, &options).0;
    let ends: Vec<bool> =
        completions.iter().map(|completion| completion.finish_reason == FinishReason::NotFinite).collect();
    assert_eq!((ends[1], ends[3]), (true, true));
    for request in [0, 2] {
        let drew_it = whole[request].ids.contains(&30);
        assert!(
            drew_it || completions[request] == whole[request],
            "request {request} is another's neighbour"
        );
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
fn a_trunk_of_nan_ends_requests_under_speculation_and_a_module_of_nan_only_guesses_nothing() {
    let drafts = options(1.0, Speculative::Mtp);
    let (_, completions) = sampled(&damaged("deepseek_v3_mtp", "model.norm.weight"), &drafts);
    assert_eq!(without_distribution(&completions), 9);

    let (result, completions) = sampled(&damaged("deepseek_v3_mtp", "eh_proj.weight"), &drafts);
    assert_eq!(result.expect("the trunk is whole").drafted, 0);
    assert_eq!((completions.len(), without_distribution(&completions)), (9, 0));
}

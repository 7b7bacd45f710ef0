//! Log-probabilities do not depend on how sequences are laid out, and agree with the logits they come from.

mod common;

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use common::{counting, decoder};
use ruminate_data::Sample;
use ruminate_model::{Decoder, ParameterMapper, Routes};
use ruminate_testkit as testkit;
use ruminate_train::logprobs::{score, token_logprobs};
use ruminate_train::packing::{Continuation, Packed, Sequence, one_a_row, pack, pack_completions};
use ruminate_train::{Error, Gradients, RouterTraining};

const TOLERANCE: f32 = 1e-5;

fn by_sequence(decoder: &Decoder, packed: &Packed, temperature: f64) -> Vec<Vec<f32>> {
    let hidden = decoder.forward(&packed.batch, Routes::Choose).hidden;
    let statistics = token_logprobs(decoder, hidden, packed, temperature);
    packed.by_sequence(&testkit::floats(statistics.logprobs))
}

fn samples() -> Vec<Sample> {
    (0..9).map(counting).collect()
}

fn sequences(samples: &[Sample]) -> Vec<Sequence<'_>> {
    samples.iter().map(Sequence::from).collect()
}

#[test]
fn packing_and_padding_change_nothing() {
    for fixture in ["deepseek_v3_full", "qwen3", "qwen3_moe"] {
        let (decoder, samples) = (decoder(fixture, &testkit::device()), samples());
        let sequences = sequences(&samples);
        let padded = by_sequence(&decoder, &one_a_row(&sequences), 0.7);
        for row_length in [10, 24, 100] {
            let packed = pack(&sequences, row_length).expect("they fit");
            let other = by_sequence(&decoder, &packed, 0.7);
            testkit::assert_close(&other.concat(), &padded.concat(), TOLERANCE);
        }
        // Alone, in a row of its own length, a sequence has no padding at all.
        for (sequence, expected) in sequences.iter().zip(&padded) {
            let alone = by_sequence(&decoder, &one_a_row(&[*sequence]), 0.7);
            testkit::assert_close(&alone[0], expected, TOLERANCE);
        }
    }
}

#[test]
fn sharing_a_prompt_changes_neither_loss_nor_gradients() {
    let prompts: [&[u32]; 2] = [&[39, 3, 5, 8, 2, 7, 1], &[39, 4]];
    let completions: Vec<Vec<u32>> =
        (0..7_u32).map(|i| (0..3 + i * 5 % 4).map(|t| (i * 7 + t * 3) % 37).collect()).collect();
    let given: Vec<Continuation> = completions
        .iter()
        .enumerate()
        .map(|(i, completion)| Continuation { prompt: prompts[i / 5], completion, trained: None })
        .collect();
    let samples: Vec<Sample> =
        given.iter().map(|c| Sample::completion_only(c.prompt, c.completion)).collect();
    for fixture in ["deepseek_v3_full", "qwen3", "qwen3_moe", "llama_tied"] {
        let decoder = decoder(fixture, &testkit::autodiff_device());
        let measure = |packed: &Packed| {
            let hidden = decoder.forward(&packed.batch, Routes::Choose).hidden;
            let logprobs = token_logprobs(&decoder, hidden, packed, 0.7).logprobs;
            // Weights that tell tokens apart.
            let weights: Vec<Vec<f32>> =
                completions.iter().map(|c| c.iter().map(|&id| (id as f32).sin()).collect()).collect();
            let weights = packed.over_loss_places(&weights);
            let weights = Tensor::<1>::from_floats(weights.as_slice(), &decoder.device());
            let values = packed.by_sequence(&testkit::floats(logprobs.clone()));
            let gradients = (logprobs * weights).sum().backward();
            let mut all = Vec::new();
            decoder.visit_parameters(&mut Collect { gradients, all: &mut all });
            (values, all)
        };
        let (expected, gradients) = measure(&one_a_row(&sequences(&samples)));
        for row_length in [1000, 20] {
            let packed = pack_completions(&given, row_length);
            assert!(packed.tokens() < samples.iter().map(|sample| sample.ids.len()).sum());
            let (values, shared) = measure(&packed);
            testkit::assert_close(&values.concat(), &expected.concat(), TOLERANCE);
            for ((name, expected), (_, actual)) in gradients.iter().zip(&shared) {
                let largest = expected.iter().fold(0.1_f32, |largest, x| largest.max(x.abs()));
                for (expected, actual) in expected.iter().zip(actual) {
                    assert!((expected - actual).abs() <= TOLERANCE * largest, "{fixture} {name}");
                }
            }
        }
    }
}

/// Gradients by name.
struct Collect<'a> {
    gradients: burn::tensor::Gradients,
    all: &'a mut Vec<(String, Vec<f32>)>,
}

impl ruminate_model::ParameterVisitor for Collect<'_> {
    fn visit<const D: usize>(&mut self, name: &str, tensor: &Tensor<D>, _: bool) {
        self.all.extend(
            tensor.grad(&self.gradients).map(|gradient| (name.to_owned(), testkit::floats(gradient))),
        );
    }
}

#[test]
fn shuffling_a_packed_batch_changes_no_loss() {
    let (decoder, mut samples) = (decoder("deepseek_v3_plain", &testkit::autodiff_device()), samples());
    let measure = |samples: &[Sample]| {
        let packed = pack(&sequences(samples), 20).expect("they fit");
        let hidden = decoder.forward(&packed.batch, Routes::Choose).hidden;
        let loss = token_logprobs(&decoder, hidden, &packed, 1.0).logprobs.mean().neg();
        let mut gradients = Gradients::new(RouterTraining::Update);
        gradients.backward(&decoder, loss);
        (gradients.loss() as f32, gradients.norm() as f32)
    };
    let (loss, norm) = measure(&samples);
    samples.rotate_left(4);
    samples.swap(0, 7);
    let (shuffled_loss, shuffled_norm) = measure(&samples);
    testkit::assert_close(&[shuffled_loss, shuffled_norm], &[loss, norm], TOLERANCE);
}

#[test]
fn only_loss_tokens_are_scored_at_the_sampling_temperature() {
    let (decoder, samples) = (decoder("llama_untied", &testkit::device()), samples());
    let packed = one_a_row(&sequences(&samples));
    let hidden = decoder.forward(&packed.batch, Routes::Choose).hidden;
    let all = testkit::floats(log_softmax(decoder.logits(hidden.clone()).div_scalar(0.5), 1));
    let vocabulary = decoder.config().vocab_size;
    let expected: Vec<f32> = packed
        .loss_places
        .iter()
        .zip(&packed.loss_targets)
        .map(|(&place, &target)| all[place as usize * vocabulary + target as usize])
        .collect();
    let statistics = token_logprobs(&decoder, hidden, &packed, 0.5);
    testkit::assert_close(&testkit::floats(statistics.logprobs), &expected, TOLERANCE);
}

#[test]
fn scores_come_in_the_order_given_whatever_the_batch() {
    let decoder = decoder("deepseek_v3_plain", &testkit::autodiff_device());
    let samples = samples();
    let mut pairs: Vec<(&[u32], &[u32])> = samples.iter().map(|sample| sample.ids.split_at(2)).collect();
    pairs[4].1 = &[];
    let together = score(&decoder, &pairs, 1.0, 4).expect("prompts are not empty");
    assert!(together[4].is_empty());
    for (pair, scores) in pairs.iter().zip(&together).filter(|(pair, _)| !pair.1.is_empty()) {
        assert_eq!(scores.len(), pair.1.len());
        let alone = score(&decoder, &[*pair], 1.0, 1).expect("the prompt is not empty");
        testkit::assert_close(&alone[0], scores, TOLERANCE);
    }
    let error = score(&decoder, &[(&[], &[1])], 1.0, 1).expect_err("nothing predicts the first token");
    assert!(matches!(error, Error::EmptyPrompt { sequence: 0 }));
}

#[test]
fn gradients_of_a_seeded_decoder_are_finite_and_not_zero() {
    // Guards the fixtures of the other tests: a dead decoder would make them all pass.
    let decoder = decoder("deepseek_v3_mtp", &testkit::autodiff_device());
    let packed = one_a_row(&sequences(&samples()));
    let hidden = decoder.forward(&packed.batch, Routes::Choose).hidden;
    let loss = token_logprobs(&decoder, hidden, &packed, 1.0).logprobs.mean().neg();
    let mut gradients = Gradients::new(RouterTraining::Update);
    gradients.backward(&decoder, loss);
    let value = gradients.loss();
    assert!(value > 1.0 && gradients.norm() > 0.1, "{value}, {}", gradients.norm());
}

#[test]
fn a_model_that_says_nan_is_an_error_with_its_place() {
    struct Damage;
    impl ParameterMapper for Damage {
        fn map<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) -> Tensor<D> {
            if name == "model.norm.weight" { tensor * f32::NAN } else { tensor }
        }
    }
    let damaged = decoder("llama_tied", &testkit::device()).map_parameters(&mut Damage);
    let sequences: [(&[u32], &[u32]); 2] = [(&[3, 4], &[]), (&[3], &[5, 6])];
    let result = score(&damaged, &sequences, 1.0, 8);
    assert!(matches!(result, Err(Error::NotANumber { sequence: 1, token: 0 })), "{result:?}");
}

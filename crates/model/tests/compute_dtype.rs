//! Products in bfloat16 and frozen weights in bfloat16: what they round, and what they leave alone.

use burn::tensor::{DType, Tensor};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use ruminate_model::{
    Batch, ComputeDtype, Decoder, Format, Held, ParameterMapper, ParameterVisitor, Precision,
    PreparedDecoder, Routes, WeightType, load, load_with_progress, lora, save_as,
};
use ruminate_testkit as testkit;
use std::path::Path;

const FIXTURES: [&str; 7] =
    ["deepseek_v3_full", "deepseek_v3_mtp", "llama_tied", "llama_untied", "qwen2", "qwen3", "qwen3_moe"];

fn decoder(fixture: &str) -> Decoder {
    load(&testkit::fixture_path(&format!("model/{fixture}")), &testkit::autodiff_device()).expect("a fixture")
}

fn batch() -> Batch {
    Batch::from_rows(&[vec![3_u32, 1, 4, 1, 5, 9, 2]])
}

fn logits(decoder: &Decoder, routes: Routes) -> Vec<f32> {
    testkit::floats(decoder.logits(decoder.forward(&batch(), routes).hidden))
}

/// The largest difference, as a part of the largest number.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    let largest = a.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    a.iter().zip(b).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs())) / largest
}

#[test]
fn products_in_bfloat16_differ_by_their_rounding() {
    for fixture in FIXTURES {
        let exact = decoder(fixture);
        // The experts that were chosen: near scores may swap.
        let chosen: Vec<Vec<u16>> =
            exact.forward(&batch(), Routes::Choose).routing.into_iter().map(|layer| layer.experts).collect();
        let routes = Routes::Replay(&chosen);
        let expected = logits(&exact, routes);
        let rounded = logits(&exact.clone().with_compute_dtype(ComputeDtype::Bf16), routes);
        let difference = difference(&expected, &rounded);
        assert!((1e-5..0.05).contains(&difference), "{fixture}: {difference}");
    }
}

#[test]
fn a_decoder_that_computes_in_bfloat16_is_nearer_to_its_sampler_in_bfloat16() {
    for fixture in ["llama_tied", "llama_untied", "qwen2", "qwen3"] {
        let exact = decoder(fixture);
        let sampler = PreparedDecoder::new(&exact, Precision::Bf16);
        let (output, _) = sampler.prefill(&batch());
        let sampled = testkit::floats(sampler.logits(output.hidden));
        let apart = difference(&sampled, &logits(&exact, Routes::Choose));
        let rounded = exact.with_compute_dtype(ComputeDtype::Bf16);
        let near = difference(&sampled, &logits(&rounded, Routes::Choose));
        // Both round the same operands; sums in another order may round the next one the other way.
        assert!(near < apart, "{fixture}: {near} of {apart}");
    }
}

/// Weights that bfloat16 holds exactly, as those of published checkpoints.
struct Representable;

impl ParameterMapper for Representable {
    fn map<const D: usize>(&mut self, _: &str, tensor: Tensor<D>) -> Tensor<D> {
        tensor.cast(DType::BF16).cast(DType::F32)
    }
}

#[test]
fn frozen_weights_of_a_checkpoint_in_bfloat16_are_the_same_in_half_the_memory() {
    for fixture in FIXTURES {
        let whole = decoder(fixture).map_parameters(&mut Representable);
        // Without adapters weights learn, and stay in f32.
        let learning = whole.clone().with_frozen_dtype(ComputeDtype::Bf16);
        assert_eq!(logits(&learning, Routes::Choose), logits(&whole, Routes::Choose));
        assert_eq!(learning.head().dtype(), DType::F32);

        let config = lora::Config { r: 2, ..lora::Config::default() };
        let mut rng = SmallRng::seed_from_u64(3);
        let adapted = whole.with_adapters(&config, Path::new("base"), &mut rng).expect("known targets");
        let held = adapted.clone().with_frozen_dtype(ComputeDtype::Bf16);
        assert_eq!(held.head().dtype(), DType::BF16);
        assert_eq!(logits(&held, Routes::Choose), logits(&adapted, Routes::Choose), "{fixture}");
        let dtypes = [ComputeDtype::F32, ComputeDtype::Bf16];
        let [exact, rounded] =
            dtypes.map(|dtype| logits(&held.clone().with_compute_dtype(dtype), Routes::Choose));
        assert_ne!(exact, rounded, "{fixture}");
        assert_eq!(
            rounded,
            logits(&adapted.clone().with_compute_dtype(ComputeDtype::Bf16), Routes::Choose),
            "{fixture}"
        );
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let sampled = |decoder: &Decoder| {
                let sampler = PreparedDecoder::new(decoder, precision);
                let (output, _) = sampler.prefill(&batch());
                testkit::floats(sampler.logits(output.hidden))
            };
            assert_eq!(sampled(&held), sampled(&adapted), "{fixture} {precision:?}");
        }
        // Merged weights are whole ones again.
        assert_eq!(
            logits(&held.merged(), Routes::Choose),
            logits(&adapted.merged(), Routes::Choose),
            "{fixture}"
        );
    }
}

/// The dtypes of all routed experts.
#[derive(Default)]
struct ExpertDtypes(Vec<DType>);

impl ParameterVisitor for ExpertDtypes {
    fn visit<const D: usize>(&mut self, name: &str, tensor: &Tensor<D>, _: bool) {
        if name.contains(".experts.") {
            self.0.push(tensor.dtype());
        }
    }
}

#[test]
fn a_folder_in_bfloat16_is_sampled_from_as_it_is_stored() {
    let device = testkit::device();
    for fixture in FIXTURES {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let whole = load(&testkit::fixture_path(&format!("model/{fixture}")), &device).expect("a fixture");
        save_as(&whole, folder.path(), Format { dtype: WeightType::Bfloat16, ..Format::default() })
            .expect("it is saved");
        let read =
            |held| load_with_progress(folder.path(), held, &device, &mut |_| {}).expect("as it was saved");
        let [exact, stored] = [Held::AsF32, Held::AsStored].map(read);
        assert_eq!([&exact, &stored].map(|decoder| decoder.head().dtype()), [DType::F32, DType::BF16]);
        // Files have one tensor per expert and map.
        for (decoder, dtype) in [(&exact, DType::F32), (&stored, DType::BF16)] {
            let mut found = ExpertDtypes::default();
            decoder.visit_parameters(&mut found);
            assert!(found.0.iter().all(|found| *found == dtype), "{fixture}: {:?}", found.0);
            assert_eq!(found.0.is_empty(), decoder.config().moe.is_none(), "{fixture}");
        }
        let precisions = [Precision::F32, Precision::Bf16, Precision::Int8];
        for precision in precisions {
            let sampled = |sampler: PreparedDecoder| {
                let (output, _) = sampler.prefill(&batch());
                testkit::floats(sampler.logits(output.hidden))
            };
            assert_eq!(
                sampled(PreparedDecoder::consume(stored.clone(), precision)),
                sampled(PreparedDecoder::new(&exact, precision)),
                "{fixture} {precision:?}"
            );
        }
    }
}

//! A forward pass that keeps only the states between blocks is the one that keeps everything: its values to the bit, its
//! gradients but for the order in which a state's several gradients are added.

use burn::tensor::{Gradients, Tensor};
use ruminate_model::{Batch, ComputeDtype, Decoder, Output, ParameterVisitor, Routes, balance_loss, load};
use ruminate_testkit as testkit;
use std::collections::BTreeMap;

/// Gradients by name, summed where a parameter has several.
struct Collect<'a> {
    computed: &'a mut Gradients,
    sums: &'a mut BTreeMap<String, Vec<f32>>,
}

impl ParameterVisitor for Collect<'_> {
    fn visit<const D: usize>(&mut self, name: &str, tensor: &Tensor<D>, _: bool) {
        let Some(gradient) = tensor.grad_remove(self.computed).map(testkit::floats) else { return };
        match self.sums.get_mut(name) {
            Some(sum) => sum.iter_mut().zip(gradient).for_each(|(sum, more)| *sum += more),
            None => {
                self.sums.insert(name.to_owned(), gradient);
            }
        }
    }
}

/// A loss that has a gradient for every place of the states, for router scores, and for the module that predicts the
/// second token.
fn loss(decoder: &Decoder, batch: &Batch, output: &Output) -> Tensor<1> {
    let [places, width] = output.hidden.dims();
    let weights: Vec<f32> = (0..places * width).map(|i| (i as f32 * 0.7).sin()).collect();
    let weights = Tensor::<1>::from_floats(weights.as_slice(), &decoder.device()).reshape([places, width]);
    let mut loss =
        (output.hidden.clone() * weights.clone()).sum() + decoder.logits(output.hidden.clone()).mean();
    for layer in &output.routing {
        loss = loss + balance_loss(layer, batch);
    }
    if let Some(second) = decoder.predict_second(batch, output.hidden.clone()) {
        loss = loss + (second.hidden * weights).sum();
    }
    loss
}

#[test]
fn values_and_gradients_are_those_of_the_whole_graph() {
    let fixtures = [
        "deepseek_v3_full",
        "deepseek_v3_mtp",
        "dots1",
        "glm4_moe",
        "granite",
        "internlm3",
        "llama_biases",
        "llama_tied",
        "llama_untied",
        "mixtral",
        "olmo2",
        "phi3",
        "qwen2",
        "qwen2_moe",
        "qwen3",
        "qwen3_moe",
        "smollm3",
    ];
    // In bfloat16 a difference in the last bit of a gradient from above may become one in its rounding.
    let dtypes = [(ComputeDtype::F32, 1e-6), (ComputeDtype::Bf16, 1e-2)];
    for (fixture, (dtype, tolerance)) in
        fixtures.into_iter().flat_map(|fixture| dtypes.map(|of| (fixture, of)))
    {
        // The gradient of a key's bias is a sum over places that nearly cancels.
        let tolerance = if fixture == "glm4_moe" { 5.0 * tolerance } else { tolerance };
        let folder = testkit::fixture_path(&format!("model/{fixture}"));
        let decoder =
            load(&folder, &testkit::autodiff_device()).expect("a fixture").with_compute_dtype(dtype);
        let batch = Batch::from_rows(&[vec![3_u32, 1, 4, 1, 5, 9, 2], vec![6, 5, 3, 5]]);
        let chosen = decoder.forward(&batch, Routes::Choose).routing;
        // Another choice than the router's, too.
        let replayed: Vec<Vec<u16>> =
            chosen.iter().map(|layer| layer.experts.iter().rev().copied().collect()).collect();
        for routes in [Routes::Choose, Routes::Replay(&replayed)] {
            let output = decoder.forward(&batch, routes);
            let expected_loss = loss(&decoder, &batch, &output);
            let mut expected = BTreeMap::new();
            let mut computed = expected_loss.backward();
            decoder.visit_parameters(&mut Collect { computed: &mut computed, sums: &mut expected });

            let (output, checkpoints) = decoder.forward_checkpointed(&batch, routes);
            let actual_loss = loss(&decoder, &batch, &output);
            let mut actual = BTreeMap::new();
            checkpoints.backward(&decoder, &actual_loss, |computed| {
                decoder.visit_parameters(&mut Collect { computed, sums: &mut actual });
            });

            assert_eq!(
                testkit::floats(actual_loss.inner()),
                testkit::floats(expected_loss.inner()),
                "{fixture}"
            );
            assert_eq!(actual.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{fixture}");
            for (name, expected) in &expected {
                let largest = expected.iter().fold(0.1_f32, |largest, x| largest.max(x.abs()));
                for (actual, expected) in actual[name].iter().zip(expected) {
                    assert!(
                        (actual - expected).abs() <= tolerance * largest,
                        "{fixture} {dtype:?} {name}: {actual} {expected}"
                    );
                }
            }
        }
    }
}

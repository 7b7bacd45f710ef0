//! What tests of this crate share.

use burn::tensor::Tensor;
use ruminate_model::{Decoder, ParameterVisitor};
use ruminate_testkit as testkit;

/// Every number of a decoder, parameter by parameter.
pub(crate) fn weights(decoder: &Decoder) -> Vec<f32> {
    struct All(Vec<f32>);
    impl ParameterVisitor for All {
        fn visit<const D: usize>(&mut self, _: &str, tensor: &Tensor<D>, _: bool) {
            self.0.extend(testkit::floats(tensor.clone()));
        }
    }
    let mut all = All(Vec::new());
    decoder.visit_parameters(&mut all);
    all.0
}

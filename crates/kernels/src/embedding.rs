//! The rows of an embedding.

// V vocabulary, D width, N tokens

use crate::backend::{Form, operation};
use burn::tensor::{DType, Int, Tensor};

/// The rows of `weight` with these ids, in f32. The gradient of `weight` is 0 but in those rows, where it is summed in the
/// order of the tokens.
///
/// # Shapes
/// - `weight`: `[V, D]`, of f32 or bfloat16; `ids`: N ids; result: `[N, D]`
///
/// # Panics
/// When an id is not below V.
pub fn embedding(weight: Tensor<2>, ids: &[u32]) -> Tensor<2> {
    let [vocabulary, _] = weight.dims();
    for &id in ids {
        assert!((id as usize) < vocabulary, "id {id} of an embedding of {vocabulary}");
    }
    match Embedding::form_of_products(&weight) {
        Form::Reference => reference(weight, ids),
        Form::Fused => Embedding { ids: ids.to_vec() }.fused(weight),
    }
}

/// The operation of [`embedding`].
#[derive(Clone, Debug)]
pub(crate) struct Embedding {
    pub(crate) ids: Vec<u32>,
}

operation!(Embedding(weight: Tensor<2>) -> (rows: Tensor<2>));

pub(crate) fn reference(weight: Tensor<2>, ids: &[u32]) -> Tensor<2> {
    let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let ids = Tensor::<1, Int>::from_ints(ids.as_slice(), &weight.device());
    weight.select(0, ids).cast(DType::F32)
}

#[cfg(test)]
mod tests {
    use super::{embedding, reference};
    use crate::grad_check::same_with_gradients;
    use crate::test_inputs;
    use burn::tensor::DType;
    use proptest::prelude::*;
    use ruminate_testkit as testkit;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_fused_form_equals_the_reference_in_value_and_gradient(
            [vocabulary, width, tokens] in prop::array::uniform3(1_usize..20),
            seed in 0_u32..1000,
        ) {
            let device = testkit::autodiff_device();
            let weight = test_inputs::tensor::<2>([vocabulary, width], seed, &device);
            // Some ids come several times, some never.
            let ids: Vec<u32> = (0..tokens).map(|t| ((t * t + seed as usize) % vocabulary) as u32).collect();
            for weight in [weight.clone(), weight.reshape([width, vocabulary]).transpose()] {
                same_with_gradients(weight, |weight| reference(weight, &ids), |weight| embedding(weight, &ids));
            }
        }
    }

    #[test]
    fn rows_of_bfloat16_come_in_f32() {
        let weight = test_inputs::tensor::<2>([7, 5], 1, &testkit::device()).cast(DType::BF16);
        let rows = embedding(weight.clone(), &[6, 0, 6]);
        assert_eq!(rows.dtype(), DType::F32);
        assert_eq!(testkit::floats(rows), testkit::floats(reference(weight, &[6, 0, 6])));
    }

    #[test]
    fn without_tokens_there_are_no_rows() {
        let weight = test_inputs::tensor::<2>([7, 5], 1, &testkit::device());
        assert_eq!(embedding(weight, &[]).dims(), [0, 5]);
    }

    #[test]
    #[should_panic(expected = "id 7 of an embedding of 7")]
    fn an_id_beyond_the_vocabulary_is_refused() {
        let _ = embedding(test_inputs::tensor::<2>([7, 5], 1, &testkit::device()), &[0, 7]);
    }
}

//! A process can be told to compute without fused forms. In a process of its own, as every file of tests is.

use burn::tensor::activation::silu;
use burn::tensor::{Distribution, Tensor, TensorData};
use ruminate_kernels::{disable_fused, swiglu};
use ruminate_testkit as testkit;

#[test]
fn compositions_take_the_place_of_fused_forms() {
    let [gate, up] = [0, 1].map(|_| Tensor::<2>::random([64, 64], Distribution::Default, &testkit::device()));
    let numbers = |tensor: Tensor<2>| -> TensorData { tensor.into_data() };
    let gated = || numbers(swiglu(gate.clone(), up.clone()));

    let fused = gated();
    disable_fused();
    let composed = numbers(silu(gate.clone()) * up.clone());

    assert_eq!(gated(), composed);
    assert_ne!(fused, composed, "a fused form rounds otherwise: was it there at all?");
}

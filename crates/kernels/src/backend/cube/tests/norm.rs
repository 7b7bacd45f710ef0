//! RMS normalisation.

use super::{close_to, device, launches, pitched, same_everywhere};
use crate::grad_check::value_and_gradients;
use crate::norm::{RmsNorm, reference, rms_norm};
use crate::test_inputs::tensor;
use burn::tensor::{Device, Tensor};
use ruminate_testkit as testkit;

/// Rows, columns, eps: odd sizes, one column fewer and more than units, more rows than cubes have sums of their own for.
const CASES: [(usize, usize, f64); 7] = [
    (1, 2, 1e-6),
    (3, 31, 1e-5),
    (7, 33, 0.5),
    (5, 127, 1e-6),
    (13, 257, 1e-6),
    (2, 1030, 1e-5),
    (300, 5, 1e-6),
];

fn inputs(rows: usize, width: usize, device: &Device) -> (Tensor<2>, Tensor<1>) {
    (tensor([rows, width], 3, device), tensor([width], 4, device))
}

#[test]
fn values_and_gradients_are_the_references_and_the_cpus() {
    for (rows, width, eps) in CASES {
        same_everywhere(
            |device| inputs(rows, width, device),
            |(x, gamma)| reference(x, gamma, eps),
            |(x, gamma)| rms_norm(x, gamma, eps),
        );
    }
}

#[test]
fn views_and_padded_rows_are_read_where_they_lie() {
    let (rows, width) = (9, 45);
    same_everywhere(
        |device| {
            let (x, gamma) = inputs(rows, width, device);
            (x.reshape([width, rows]).transpose(), gamma)
        },
        |(x, gamma)| reference(x, gamma, 1e-6),
        |(x, gamma)| rms_norm(x, gamma, 1e-6),
    );
    let device = device().autodiff();
    let (x, gamma) = inputs(rows, width, &device);
    let plain = value_and_gradients((x.clone(), gamma.clone()), |(x, gamma)| reference(x, gamma, 1e-6));
    let apart =
        value_and_gradients((pitched(x), pitched(gamma)), |(x, gamma)| RmsNorm { eps: 1e-6 }.fused(x, gamma));
    close_to(&plain, &apart);
}

#[test]
fn more_rows_than_a_launch_has_cubes_are_all_computed() {
    let (rows, width) = (65_600, 2);
    let (x, gamma) = inputs(rows, width, &device());
    let expected = testkit::floats(reference(x.clone(), gamma.clone(), 1e-5));
    testkit::assert_close(&testkit::floats(rms_norm(x, gamma, 1e-5)), &expected, 1e-5);
}

#[test]
fn the_same_numbers_twice() {
    let run =
        || value_and_gradients(inputs(300, 77, &device().autodiff()), |(x, gamma)| rms_norm(x, gamma, 1e-6));
    assert_eq!(run(), run());
}

#[test]
fn it_is_one_kernel_forward_and_two_backward() {
    let device = device().autodiff();
    let leaves = |device: &Device| {
        let (x, gamma) = inputs(6, 40, device);
        (x.require_grad(), gamma.require_grad())
    };
    let (x, gamma) = leaves(&device);
    let (composed, _) = launches(|| reference(x, gamma, 1e-6));
    assert_eq!(composed.len(), 7, "{composed:?}");
    let (x, gamma) = leaves(&device);
    let (fused, out) = launches(|| rms_norm(x, gamma, 1e-6));
    assert_eq!(fused.len(), 1, "{fused:?}");
    let (backward, _) = launches(|| out.sum().backward());
    let ours = backward.iter().filter(|name| name.contains("rms_norm") || name.contains("ruminate"));
    assert_eq!(ours.count(), 2, "{backward:?}");
}

//! Attention of one new token per slot.

use super::{device, launches, pitched};
use crate::attention::decode::{latent_reference, reference};
use crate::attention::{KeyValueRing, VisibleColumns, decode_attention, decode_latent_attention};
use crate::test_inputs::{magnitude, tensor};
use burn::tensor::{Device, Tensor};
use ruminate_testkit as testkit;

/// Slots at the beginning of the ring, in the middle, all around it, and with one column.
const SEEN: [(usize, usize); 4] = [(3, 2), (4, 10), (13, 5), (1, 12)];
const COLUMNS: usize = 13;

fn close(actual: Tensor<3>, expected: Tensor<3>) {
    let expected = testkit::floats(expected);
    testkit::assert_close(&testkit::floats(actual), &expected, 1e-5 * magnitude(&expected));
}

fn ring(kv_heads: usize, [key_width, value_width]: [usize; 2], device: &Device) -> KeyValueRing {
    KeyValueRing {
        keys: tensor([SEEN.len(), kv_heads, key_width, COLUMNS], 5, device) * 3.0,
        values: tensor([SEEN.len(), kv_heads, COLUMNS, value_width], 6, device),
    }
}

#[test]
fn what_slots_see_is_attended_to_and_the_new_column_is_written() {
    let device = device();
    for (heads, kv_heads, widths) in [(1, 1, [1, 1]), (4, 2, [8, 8]), (6, 2, [5, 11]), (3, 1, [33, 7])] {
        let [key_width, value_width] = widths;
        let q = tensor::<3>([SEEN.len(), heads, key_width], 7, &device);
        let k = tensor::<3>([SEEN.len(), kv_heads, key_width], 8, &device);
        let v = tensor::<3>([SEEN.len(), kv_heads, value_width], 9, &device);
        let latest = VisibleColumns::new(SEEN);
        let run = |pitch: fn(Tensor<3>) -> Tensor<3>, ring: KeyValueRing| {
            decode_attention(pitch(q.clone()), pitch(k.clone()), pitch(v.clone()), ring, &latest, 0.7)
        };
        let before = ring(kv_heads, widths, &device);
        let (expected, after) = reference(q.clone(), k.clone(), v.clone(), before, &latest, 0.7);
        let plain = run(|x| x, ring(kv_heads, widths, &device));
        let KeyValueRing { keys, values } = ring(kv_heads, widths, &device);
        let apart = run(pitched, KeyValueRing { keys: pitched(keys), values: pitched(values) });
        for (actual, written) in [plain, apart] {
            close(actual, expected.clone());
            assert_eq!(testkit::floats(written.keys), testkit::floats(after.keys.clone()));
            assert_eq!(testkit::floats(written.values), testkit::floats(after.values.clone()));
        }
    }
}

#[test]
fn a_ring_that_others_hold_is_left_as_it_is() {
    let device = device();
    let held = ring(1, [4, 4], &device);
    let before = testkit::floats(held.keys.clone());
    let new = || tensor::<3>([SEEN.len(), 1, 4], 7, &device);
    let latest = VisibleColumns::new(SEEN);
    let (_, written) = decode_attention(new(), new(), new(), held.clone(), &latest, 0.7);
    assert_eq!(testkit::floats(held.keys), before);
    assert_ne!(testkit::floats(written.keys), before);
}

#[test]
fn latents_are_keys_and_values_at_once() {
    let device = device();
    for (heads, width, key_width) in [(1, 1, 1), (4, 6, 9), (2, 33, 40)] {
        let q = tensor::<3>([SEEN.len(), heads, key_width], 7, &device);
        let new = tensor::<2>([SEEN.len(), key_width], 8, &device);
        let kept = || tensor::<3>([SEEN.len(), COLUMNS, key_width], 9, &device);
        let latest = VisibleColumns::new(SEEN);
        let (expected, after) = latent_reference(q.clone(), new.clone(), kept(), width, &latest, 0.5);
        let plain = decode_latent_attention(q.clone(), new.clone(), kept(), width, &latest, 0.5);
        let apart = decode_latent_attention(pitched(q), pitched(new), pitched(kept()), width, &latest, 0.5);
        for (actual, written) in [plain, apart] {
            close(actual, expected.clone());
            assert_eq!(testkit::floats(written), testkit::floats(after.clone()));
        }
    }
}

#[test]
fn a_step_is_one_kernel_in_each_layer() {
    let device = device();
    let latest = VisibleColumns::new(SEEN);
    let new = || tensor::<3>([SEEN.len(), 1, 4], 7, &device);
    let (composed, _) = launches(|| reference(new(), new(), new(), ring(1, [4, 4], &device), &latest, 0.7));
    let ours = ring(1, [4, 4], &device);
    testkit::floats(ours.keys.clone()); // made
    let (q, k, v) = (new(), new(), new());
    let (fused, (_, ours)) = launches(|| decode_attention(q, k, v, ours, &latest, 0.7));
    assert_eq!(fused.len(), 1, "{fused:?} in place of {composed:?}");
    assert!(composed.len() > 8, "{composed:?}");
    let (q, k, v) = (new(), new(), new());
    let (next, _) = launches(|| decode_attention(q, k, v, ours, &latest, 0.7));
    assert_eq!(next.len(), 1, "{next:?}");
}

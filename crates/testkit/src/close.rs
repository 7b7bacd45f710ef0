//! Comparison of float slices. Refuses what makes a comparison pass without comparing: other
//! lengths, nothing to compare, and NaN.

/// Asserts that two slices differ nowhere by more than `tolerance`.
///
/// Equal infinities count as equal, so that masked log-probabilities can be compared.
///
/// # Panics
/// With the worst index, both values there, the largest difference and how many elements exceed
/// `tolerance`; also when the lengths differ, when both are empty, and on any NaN.
#[track_caller]
pub fn assert_close(actual: &[f32], expected: &[f32], tolerance: f32) {
    let worst = max_difference(actual, expected);
    assert!(
        worst.difference <= tolerance,
        "{} of {} elements differ by more than {tolerance:e}; the largest difference is {:e}, at [{}]: \
         actual {}, expected {}",
        count_beyond(actual, expected, tolerance),
        actual.len(),
        worst.difference,
        worst.index,
        actual[worst.index],
        expected[worst.index],
    );
}

/// [`assert_close`] with a tolerance in units of the largest magnitude in `expected`: for tensors
/// such as gradients, whose scale the caller does not choose.
///
/// # Panics
/// As [`assert_close`], and when `expected` is zero or infinite somewhere such that no scale exists.
#[track_caller]
pub fn assert_close_relative(actual: &[f32], expected: &[f32], relative_tolerance: f32) {
    let scale = expected.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    assert!(
        scale > 0.0 && scale.is_finite(),
        "a relative comparison needs a finite expected value other than zero, the largest magnitude is {scale}; \
         use assert_close"
    );
    assert_close(actual, expected, relative_tolerance * scale);
}

/// Where two slices differ most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The flat index of the largest difference; the first one where several are equal.
    pub index: usize,
    /// `|actual - expected|` there.
    pub difference: f32,
}

/// The largest absolute difference and its place.
///
/// # Panics
/// When the lengths differ, when both are empty, and on any NaN.
#[track_caller]
pub fn max_difference(actual: &[f32], expected: &[f32]) -> Difference {
    assert_eq!(
        actual.len(),
        expected.len(),
        "actual has {} elements, expected {}: compare tensors of one shape",
        actual.len(),
        expected.len()
    );
    assert!(!actual.is_empty(), "nothing to compare: both slices are empty");
    let mut worst = Difference { index: 0, difference: 0.0 };
    for (index, (&a, &e)) in actual.iter().zip(expected).enumerate() {
        assert!(!a.is_nan() && !e.is_nan(), "NaN at [{index}]: actual {a}, expected {e}");
        let difference = distance(a, e);
        if difference > worst.difference {
            worst = Difference { index, difference };
        }
    }
    worst
}

fn count_beyond(actual: &[f32], expected: &[f32], tolerance: f32) -> usize {
    actual.iter().zip(expected).filter(|&(&a, &e)| distance(a, e) > tolerance).count()
}

/// `|a - e|`, zero for equal infinities (their difference would be NaN).
fn distance(a: f32, e: f32) -> f32 {
    if a == e { 0.0 } else { (a - e).abs() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_slices_pass_at_zero_tolerance() {
        assert_close(&[1.0, f32::NEG_INFINITY], &[1.0, f32::NEG_INFINITY], 0.0);
    }

    #[test]
    fn a_difference_of_exactly_the_tolerance_passes() {
        assert_close(&[1.5, 2.0], &[1.0, 2.0], 0.5);
    }

    #[test]
    #[should_panic(
        expected = "2 of 3 elements differ by more than 1e-1; the largest difference is 5e-1, at [2]: \
                               actual 3.5, expected 3"
    )]
    fn the_message_names_the_worst_element() {
        assert_close(&[1.0, 2.25, 3.5], &[1.0, 2.0, 3.0], 0.1);
    }

    #[test]
    #[should_panic(expected = "NaN at [1]")]
    fn nan_is_close_to_nothing() {
        assert_close(&[1.0, f32::NAN], &[1.0, f32::NAN], f32::INFINITY);
    }

    #[test]
    #[should_panic(expected = "differ by more than")]
    fn an_infinity_is_not_close_to_a_number() {
        assert_close(&[f32::NEG_INFINITY], &[-1e30], 1e30);
    }

    #[test]
    #[should_panic(expected = "actual has 1 elements, expected 2")]
    fn lengths_must_agree() {
        assert_close(&[1.0], &[1.0, 2.0], 1.0);
    }

    #[test]
    #[should_panic(expected = "nothing to compare")]
    fn an_empty_comparison_is_refused() {
        assert_close(&[], &[], 1.0);
    }

    #[test]
    fn a_relative_tolerance_is_of_the_largest_magnitude() {
        // 0.5 is far beyond 1 % of the first element and within 1 % of the second
        assert_close_relative(&[1.5, -100.0], &[1.0, -100.0], 0.01);
    }

    #[test]
    #[should_panic(expected = "differ by more than")]
    fn a_relative_tolerance_can_be_exceeded() {
        assert_close_relative(&[2.5, -100.0], &[1.0, -100.0], 0.01);
    }

    #[test]
    #[should_panic(expected = "use assert_close")]
    fn zeros_have_no_relative_scale() {
        assert_close_relative(&[0.0], &[0.0], 0.1);
    }
}

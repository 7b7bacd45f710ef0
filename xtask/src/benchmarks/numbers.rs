//! Numbers for people: times, rates, shares of a ceiling.

use super::records::{Ceiling, Part};

impl Ceiling {
    /// Seconds that a part takes at the ceilings, at the one that binds it: the roofline.
    pub(super) fn least(&self, part: &Part) -> f64 {
        (part.gflop / self.product_gflops).max(part.gb / self.read_gb_s)
    }

    /// The share of their time that parts would take at the ceilings; None where nothing was counted.
    pub(super) fn share(&self, parts: &[Part]) -> Option<f64> {
        let (least, time) = parts
            .iter()
            .fold((0.0, 0.0), |(least, time), part| (least + self.least(part), time + part.time_s));
        (least > 0.0 && time > 0.0).then_some(least / time)
    }
}

pub(super) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[half],
        _ => f64::midpoint(values[half - 1], values[half]),
    }
}

/// Three significant digits and the unit in which a time is best read.
pub(super) fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 1e-3 => (s * 1e6, "us"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    format!("{} {unit}", digits(value))
}

/// Three significant digits, or all before the point.
pub(super) fn digits(value: f64) -> String {
    match value.abs() {
        x if x >= 99.95 => format!("{value:.0}"),
        x if x >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

pub(super) fn times(ratio: f64) -> String {
    format!("{}x", digits(ratio))
}

/// An amount in billions a second, or nothing where there is no amount.
pub(super) fn rate(billions: f64, seconds: f64) -> String {
    if billions > 0.0 && seconds > 0.0 { digits(billions / seconds) } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::{digits, median, percent, time};
    use crate::benchmarks::records::{Ceiling, Part};

    #[test]
    fn times_are_read_in_the_unit_that_fits() {
        for (seconds, expected) in [
            (2.5e-6, "2.50 us"),
            (9.999e-4, "1000 us"),
            (0.0123, "12.3 ms"),
            (1.0, "1.00 s"),
            (123.4, "123 s"),
        ] {
            assert_eq!(time(seconds), expected);
        }
        assert_eq!(
            (digits(9.996), digits(99.96), percent(0.654)),
            ("10.0".into(), "100".into(), "65 %".into())
        );
    }

    #[test]
    fn the_binding_ceiling_counts_part_by_part() {
        let ceiling = Ceiling { product_gflops: 100.0, read_gb_s: 10.0 };
        let part = |time_s, gflop, gb| Part { name: "a".to_owned(), time_s, gflop, gb };
        assert_eq!(ceiling.least(&part(1.0, 50.0, 2.0)), 0.5);
        assert_eq!(ceiling.least(&part(1.0, 5.0, 2.0)), 0.2);
        let parts = [part(1.0, 50.0, 2.0), part(0.4, 5.0, 2.0)];
        assert_eq!(ceiling.share(&parts), Some(0.5));
        assert_eq!(ceiling.share(&[part(1.0, 0.0, 0.0)]), None);
        assert_eq!(ceiling.share(&[]), None);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0, 2.0, 3.0])), (2.0, 2.5));
    }
}

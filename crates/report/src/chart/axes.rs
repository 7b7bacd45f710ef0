//! Axes: from where to where, which ticks, and how numbers are written beside them.

use super::Series;

/// The SVG's width and height, in its own units.
pub(super) const SIZE: f64 = 1000.0;

/// The axis of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    /// Values that are not above 0 are gaps.
    Log,
    /// Of shares: from 0 to 100 %.
    Share,
}

/// Where values lie in the drawing.
pub(super) struct Axes {
    steps: (u64, u64),
    low: f64,
    high: f64,
    log: bool,
    pub(super) ticks: Vec<f64>,
}

impl Axes {
    pub(super) fn around(series: &[Series], scale: Scale, limit: Option<(f64, &str)>) -> Option<Self> {
        let steps = || series.iter().flat_map(|s| s.points.iter().map(|p| p.0));
        let (first, last) = (steps().min()?, steps().max()?);
        let of_band = |s: &Series| s.band.iter().flat_map(|b| [b.0, b.1]).collect::<Vec<_>>();
        let values = series.iter().flat_map(|s| s.points.iter().map(|p| p.1).chain(of_band(s)));
        let values: Vec<f64> = values.chain(limit.map(|l| l.0)).filter(|v| v.is_finite()).collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log = scale == Scale::Log;
        let (low, high, ticks) = match scale {
            Scale::Share => (0.0, 1.0, vec![0.0, 0.25, 0.5, 0.75, 1.0]),
            Scale::Linear => linear(low, high),
            Scale::Log => logarithmic(values.iter().copied().filter(|&v| v > 0.0)),
        };
        Some(Self { steps: (first, last.max(first + 1)), low, high, log, ticks })
    }

    pub(super) fn x(&self, step: u64) -> f64 {
        (step - self.steps.0) as f64 / (self.steps.1 - self.steps.0) as f64 * SIZE
    }

    pub(super) fn y(&self, value: f64) -> f64 {
        let place = |v: f64| if self.log { v.max(f64::MIN_POSITIVE).log10() } else { v };
        let share = (place(value) - place(self.low)) / (place(self.high) - place(self.low));
        SIZE * (1.0 - share.clamp(0.0, 1.0))
    }

    /// Three to six steps that are written below.
    pub(super) fn steps(&self) -> Vec<u64> {
        let (first, last) = self.steps;
        let size = (nice((last - first) as f64 / 4.0).round() as u64).max(1);
        (first.div_ceil(size)..=last / size).map(|at| at * size).collect()
    }
}

/// Ends and ticks of an axis; one that begins near 0 begins at 0.
fn linear(low: f64, high: f64) -> (f64, f64, Vec<f64>) {
    let low = if low > 0.0 && low < 0.6 * high { 0.0 } else { low };
    let room = if high > low { high - low } else { high.abs().max(1.0) * 0.5 };
    let (low, high) = if high > low { (low, high) } else { (low - room / 2.0, high + room / 2.0) };
    let size = nice(room / 3.0);
    let (first, last) = ((low / size + 1e-9).floor(), (high / size - 1e-9).ceil());
    let ticks = (0..=(last - first) as usize).map(|at| (first + at as f64) * size).collect();
    (first * size, last * size, ticks)
}

fn logarithmic(values: impl Iterator<Item = f64>) -> (f64, f64, Vec<f64>) {
    let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let last = last.max(first + 1);
    let every = ((last - first) as usize).div_ceil(5);
    let ticks = (first..=last).rev().step_by(every).map(|power| 10.0_f64.powi(power)).collect();
    (10.0_f64.powi(first), 10.0_f64.powi(last), ticks)
}

/// 1, 2 or 5 times a power of ten, not below the size.
fn nice(size: f64) -> f64 {
    let power = 10.0_f64.powf(size.max(f64::MIN_POSITIVE).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().find(|&step| step * power >= size * 0.999).unwrap_or(10.0) * power
}

pub(super) fn tick_label(value: f64, scale: Scale) -> String {
    match scale {
        Scale::Share => format!("{:.0} %", 100.0 * value),
        Scale::Log => format!("10<sup>{:.0}</sup>", value.log10()).replace('-', "−"),
        Scale::Linear => number(value, 3),
    }
}

/// A value for people: four digits.
pub(crate) fn value_label(value: f64, scale: Scale) -> String {
    if scale == Scale::Share { format!("{:.1} %", 100.0 * value) } else { number(value, 4) }
}

/// So many digits that matter, no zeros after them.
pub(crate) fn number(value: f64, digits: usize) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e6).contains(&size) {
        return format!("{value:.*e}", digits - 2).replace('-', "−");
    }
    let decimals = (digits as i32 - 1 - size.log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::{Axes, Scale, Series, number};

    fn series(points: Vec<(u64, f64)>) -> Series {
        Series { points, ..Series::default() }
    }

    #[test]
    fn numbers_are_as_long_as_they_are_worth() {
        let labels: Vec<String> =
            [0.0, 0.25, 1.0, -4.14159, 12_345.6, 2e-7, 3e9].into_iter().map(|v| number(v, 4)).collect();
        assert_eq!(labels, ["0", "0.25", "1", "−4.142", "12346", "2.00e−7", "3.00e9"]);
    }

    #[test]
    fn every_value_lies_in_the_drawing_and_ticks_enclose_them() {
        for values in [vec![0.3, 0.9], vec![5.0, 5.0], vec![-2.0, 1e-9, 4e5], vec![0.0], vec![1e29, -1e29]] {
            let points = values.iter().enumerate().map(|(i, &v)| (i as u64, v)).collect();
            let axes = Axes::around(&[series(points)], Scale::Linear, None).expect("values");
            assert!(axes.ticks.len() >= 2 && axes.ticks.len() < 12, "{values:?}: {:?}", axes.ticks);
            for value in values {
                assert!((0.0..=1000.0).contains(&axes.y(value)), "{value}");
            }
        }
    }

    #[test]
    fn an_axis_of_counts_begins_at_nothing() {
        let axes = Axes::around(&[series(vec![(1, 0.0), (2, 0.8)])], Scale::Linear, None).expect("values");
        assert_eq!(axes.ticks, [0.0, 0.5, 1.0]);
        let axes = Axes::around(&[series(vec![(1, 1.28), (2, 1.66)])], Scale::Linear, None).expect("values");
        assert!((axes.ticks[0] - 1.2).abs() < 1e-9 && axes.ticks.len() == 4, "{:?}", axes.ticks);
    }
}

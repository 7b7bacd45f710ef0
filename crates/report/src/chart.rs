//! A line chart. The drawing is an SVG that stretches to whatever room there is, the words are HTML over it and never
//! stretch: so it reads on a telephone, on paper, and without a script. It refuses to know what the numbers mean.

use crate::escape::{Text, clipped, json};
use serde::Serialize;
use std::fmt::Write as _;

/// Points of a series that are drawn; a longer one is drawn by means.
const MAX_POINTS: usize = 400;

/// Values from here on are gaps: something exploded, and its size would hide all else.
const BEYOND: f64 = 1e30;

/// The SVG's width and height, in its own units.
const SIZE: f64 = 1000.0;

/// A line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Step and value, steps ascending.
    pub(crate) points: Vec<(u64, f64)>,
    /// Low and high of each point, as many as there are points, or none.
    pub(crate) band: Vec<(f64, f64)>,
    /// Whether each point is marked: they are few and measured, not a flow.
    pub(crate) marked: bool,
}

/// The axis of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    /// Values that are not above 0 are gaps.
    Log,
    /// Of shares: from 0 to 100 %.
    Share,
}

/// A chart with its words.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// What the axis counts.
    pub(crate) unit: &'static str,
    /// What it means, and what to look out for.
    pub(crate) caption: String,
    pub(crate) scale: Scale,
    pub(crate) series: Vec<Series>,
    /// A value that matters, and its name.
    pub(crate) limit: Option<(f64, &'static str)>,
}

/// What the script reads a chart's values from.
#[derive(Serialize)]
struct Readout {
    share: bool,
    series: Vec<ReadoutSeries>,
}

#[derive(Serialize)]
struct ReadoutSeries {
    name: String,
    x: Vec<u64>,
    y: Vec<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    band: Vec<(f64, f64)>,
}

impl Chart {
    /// The chart as a figure; nothing where no series has a point.
    pub(crate) fn html(&self) -> String {
        let series: Vec<Series> = self.series.iter().map(|s| thinned(self.drawable(s))).collect();
        let series: Vec<Series> = series.into_iter().filter(|s| !s.points.is_empty()).collect();
        let Some(axes) = Axes::around(&series, self.scale, self.limit) else { return String::new() };
        let mut html = String::new(); // writing to it cannot fail
        let _ = write!(
            html,
            "<figure class=\"chart\"><figcaption><h4>{}</h4><span class=\"unit\">{}</span></figcaption>{}",
            Text(&self.title),
            Text(self.unit),
            self.legend(&series),
        );
        let _ = write!(
            html,
            "<div class=\"plot\" tabindex=\"0\" role=\"img\" aria-label=\"{}\">",
            Text(&self.told(&series))
        );
        for tick in &axes.ticks {
            let _ = write!(
                html,
                "<span class=\"y\" style=\"top:{:.1}%\">{}</span>",
                axes.y(*tick) / SIZE * 100.0,
                tick_label(*tick, self.scale)
            );
        }
        for tick in axes.steps() {
            let _ = write!(
                html,
                "<span class=\"x\" style=\"left:{:.1}%\">{tick}</span>",
                axes.x(tick) / SIZE * 100.0
            );
        }
        if let Some((value, name)) = self.limit {
            let _ = write!(
                html,
                "<span class=\"limit\" style=\"top:{:.1}%\">{name}</span>",
                axes.y(value) / SIZE * 100.0
            );
        }
        let _ = write!(
            html,
            "<svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" aria-hidden=\"true\">{}</svg>\
             <div class=\"cross\" hidden></div><output class=\"tip\" hidden></output></div>",
            self.drawing(&series, &axes)
        );
        let _ = write!(html, "<p class=\"caption\">{}</p>", Text(&self.caption));
        let _ = write!(html, "<script type=\"application/json\">{}</script></figure>", self.readout(&series));
        html
    }

    fn drawable(&self, series: &Series) -> Series {
        let keep =
            |&(_, value): &(u64, f64)| value.abs() < BEYOND && (self.scale != Scale::Log || value > 0.0);
        let kept: Vec<usize> = (0..series.points.len()).filter(|&i| keep(&series.points[i])).collect();
        Series {
            points: kept.iter().map(|&i| series.points[i]).collect(),
            band: kept.iter().filter_map(|&i| series.band.get(i).copied()).collect(),
            ..series.clone()
        }
    }

    fn legend(&self, series: &[Series]) -> String {
        let mut html = "<ul class=\"legend\">".to_owned();
        for (at, one) in series.iter().enumerate() {
            let last = one.points.last().map_or(0.0, |&(_, value)| value);
            let _ = write!(
                html,
                "<li class=\"c{}\"><i></i>{} <b>{}</b></li>",
                at % 6,
                Text(&one.name),
                value_label(last, self.scale)
            );
        }
        html + "</ul>"
    }

    /// The chart in words, for who does not see it.
    fn told(&self, series: &[Series]) -> String {
        let one = |s: &Series| {
            let value =
                |point: Option<&(u64, f64)>| point.map_or(String::new(), |p| value_label(p.1, self.scale));
            let step = |point: Option<&(u64, f64)>| point.map_or(0, |p| p.0);
            let (first, last) = (s.points.first(), s.points.last());
            format!(
                "{} {} at step {}, {} at step {}",
                s.name,
                value(first),
                step(first),
                value(last),
                step(last)
            )
        };
        let series: Vec<String> = series.iter().map(one).collect();
        format!("{}: {}. Left and right arrow keys read values.", self.title, series.join("; "))
    }

    fn drawing(&self, series: &[Series], axes: &Axes) -> String {
        let mut svg = String::new();
        for tick in &axes.ticks {
            let y = axes.y(*tick);
            let _ = write!(svg, "<path class=\"grid\" d=\"M0 {y:.0}H1000\"/>");
        }
        if let Some((value, _)) = self.limit {
            let _ = write!(svg, "<path class=\"limitline\" d=\"M0 {:.0}H1000\"/>", axes.y(value));
        }
        for (at, one) in series.iter().enumerate() {
            if one.band.len() == one.points.len() {
                let edge =
                    |i: usize, value: f64| format!("{:.0} {:.0}", axes.x(one.points[i].0), axes.y(value));
                let high = (0..one.points.len()).map(|i| edge(i, one.band[i].1));
                let low = (0..one.points.len()).rev().map(|i| edge(i, one.band[i].0));
                let outline: Vec<String> = high.chain(low).collect();
                let _ = write!(svg, "<path class=\"band c{}\" d=\"M{}Z\"/>", at % 6, outline.join("L"));
            }
        }
        for (at, one) in series.iter().enumerate() {
            let points: Vec<String> = one
                .points
                .iter()
                .map(|&(step, value)| format!("{:.0} {:.1}", axes.x(step), axes.y(value)))
                .collect();
            let _ = write!(svg, "<path class=\"line c{}\" d=\"M{}\"/>", at % 6, points.join("L"));
            if one.marked || one.points.len() == 1 {
                // Strokes of no length and round ends stay round however the drawing is stretched.
                let _ = write!(svg, "<path class=\"dot c{}\" d=\"M{}h0\"/>", at % 6, points.join("h0M"));
            }
        }
        svg
    }

    fn readout(&self, series: &[Series]) -> String {
        let digits = |value: f64| format!("{value:.5e}").parse().unwrap_or(value);
        let one = |s: &Series| ReadoutSeries {
            name: clipped(&s.name, 80),
            x: s.points.iter().map(|p| p.0).collect(),
            y: s.points.iter().map(|p| digits(p.1)).collect(),
            band: s.band.iter().map(|&(low, high)| (digits(low), digits(high))).collect(),
        };
        json(&Readout { share: self.scale == Scale::Share, series: series.iter().map(one).collect() })
    }
}

/// Means over runs of neighbouring points, where there are more than can be seen.
fn thinned(series: Series) -> Series {
    let size = series.points.len().div_ceil(MAX_POINTS);
    if size <= 1 {
        return series;
    }
    let points = series.points.chunks(size).map(|chunk| {
        let mean = chunk.iter().map(|p| p.1).sum::<f64>() / chunk.len() as f64;
        (chunk[chunk.len() - 1].0, mean)
    });
    let band = series.points.chunks(size).map(|chunk| {
        let values = || chunk.iter().map(|p| p.1);
        (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max))
    });
    Series { points: points.collect(), band: band.collect(), ..series.clone() }
}

/// Where values lie in the drawing.
struct Axes {
    steps: (u64, u64),
    low: f64,
    high: f64,
    log: bool,
    ticks: Vec<f64>,
}

impl Axes {
    fn around(series: &[Series], scale: Scale, limit: Option<(f64, &str)>) -> Option<Self> {
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

    fn x(&self, step: u64) -> f64 {
        (step - self.steps.0) as f64 / (self.steps.1 - self.steps.0) as f64 * SIZE
    }

    fn y(&self, value: f64) -> f64 {
        let place = |v: f64| if self.log { v.max(f64::MIN_POSITIVE).log10() } else { v };
        let share = (place(value) - place(self.low)) / (place(self.high) - place(self.low));
        SIZE * (1.0 - share.clamp(0.0, 1.0))
    }

    /// Three to six steps that are written below.
    fn steps(&self) -> Vec<u64> {
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

fn tick_label(value: f64, scale: Scale) -> String {
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
    use super::{Axes, Chart, Scale, Series, number, thinned};

    fn series(points: Vec<(u64, f64)>) -> Series {
        Series { name: "<a>".to_owned(), points, ..Series::default() }
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

    #[test]
    fn a_long_series_is_drawn_by_means_between_its_extremes() {
        let thin = thinned(series((0..10_000).map(|i| (i, f64::from(u32::from(i % 2 == 0)))).collect()));
        assert!(thin.points.len() <= 400);
        assert!(thin.points.iter().all(|p| p.1 > 0.4 && p.1 < 0.6));
        assert!(thin.band.iter().all(|&b| b == (0.0, 1.0)));
    }

    #[test]
    fn what_has_no_point_is_not_drawn_and_names_are_text() {
        let chart = |points, scale| Chart {
            title: "t".to_owned(),
            unit: "",
            caption: String::new(),
            scale,
            series: vec![series(points)],
            limit: None,
        };
        assert_eq!(chart(vec![], Scale::Linear).html(), "");
        assert_eq!(chart(vec![(1, 0.0), (2, f64::NAN)], Scale::Log).html(), "");
        let html = chart(vec![(1, 2.0)], Scale::Linear).html();
        assert!(html.contains("&lt;a&gt;") && !html.contains("<a>"), "{html}");
    }
}

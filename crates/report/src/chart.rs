//! A line chart. The drawing is an SVG that stretches to whatever room there is, the words are HTML over it and never
//! stretch: so it reads on a telephone, on paper, and without a script. What the numbers mean is the caller's.

mod axes;

use crate::escape::{Text, clipped, json};
use axes::{Axes, SIZE, tick_label};
use serde::Serialize;
use std::fmt::Write as _;

pub(crate) use axes::{Scale, number, value_label};

/// Points of a series that are drawn; a longer one is drawn by means.
const MAX_POINTS: usize = 400;

/// Values from here on are gaps: something exploded, and its size would hide all else.
const BEYOND: f64 = 1e30;

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

#[cfg(test)]
mod tests {
    use super::{Chart, Scale, Series, thinned};

    fn series(points: Vec<(u64, f64)>) -> Series {
        Series { name: "<a>".to_owned(), points, ..Series::default() }
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

//! Which experts the tokens went to: a map of layers and experts over the steps. It refuses to know why.

use crate::escape::Text;
use ruminate_run::rows::ExpertLoad;
use std::fmt::Write as _;

/// Columns of the map; more steps are summed.
const COLUMNS: usize = 80;

/// Rows of the map; a model with more experts is shown by layer.
const ROWS: usize = 160;

/// Layers of the map.
const LAYERS: usize = 128;

/// Classes of colour on either side of balance.
const CLASSES: f64 = 4.0;

/// A row of the map: which layer and expert, and its load in each column, as a multiple of its share.
struct Row {
    layer: usize,
    expert: Option<usize>,
    loads: Vec<f64>,
}

/// The map as a figure; nothing without experts.
pub(crate) fn html(load: &[ExpertLoad]) -> String {
    let layers = load.iter().map(|row| row.load.len()).max().unwrap_or(0).min(LAYERS);
    let experts = load.iter().flat_map(|row| &row.load).map(Vec::len).max().unwrap_or(0);
    if layers == 0 || experts < 2 {
        return String::new();
    }
    let columns: Vec<&[ExpertLoad]> = load.chunks(load.len().div_ceil(COLUMNS)).collect();
    let whole = layers * experts <= ROWS;
    let mut rows = Vec::new();
    for layer in 0..layers {
        let shares: Vec<Vec<f64>> = columns.iter().map(|steps| multiples(steps, layer, experts)).collect();
        if whole {
            let of = |expert: usize| shares.iter().map(|column| column[expert]).collect();
            rows.extend((0..experts).map(|expert| Row { layer, expert: Some(expert), loads: of(expert) }));
        } else {
            let largest = |column: &Vec<f64>| column.iter().copied().fold(0.0, f64::max);
            rows.push(Row { layer, expert: None, loads: shares.iter().map(largest).collect() });
        }
    }
    figure(&rows, load, columns.len(), whole)
}

/// The load of each expert of a layer over some steps, 1 where it has its share.
fn multiples(steps: &[ExpertLoad], layer: usize, experts: usize) -> Vec<f64> {
    let mut tokens = vec![0.0; experts];
    for row in steps.iter().filter_map(|step| step.load.get(layer)) {
        for (sum, &count) in tokens.iter_mut().zip(row) {
            *sum += count as f64;
        }
    }
    let total: f64 = tokens.iter().sum();
    tokens.into_iter().map(|count| if total > 0.0 { count * experts as f64 / total } else { 1.0 }).collect()
}

fn figure(rows: &[Row], load: &[ExpertLoad], columns: usize, whole: bool) -> String {
    let first = load.first().map_or(0, |row| row.step);
    let last = load.last().map_or(0, |row| row.step);
    let what = if whole { "load of each expert" } else { "largest load of an expert, by layer" };
    let mut html = String::new(); // writing to it cannot fail
    let _ = write!(
        html,
        "<figure class=\"heat\"><figcaption><h4>Experts</h4><span class=\"unit\">{what}, times its share</span>\
         </figcaption><div class=\"key\" aria-hidden=\"true\"><span>¼</span>"
    );
    for class in -4..=4 {
        let _ = write!(html, "<i class=\"h{class}\"></i>");
    }
    html += "<span>4 ×</span></div>";
    let layers = rows.iter().map(|row| row.layer).max().map_or(0, |layer| layer + 1);
    let groups: Vec<Vec<&Row>> = if whole {
        (0..layers).map(|layer| rows.iter().filter(|row| row.layer == layer).collect()).collect()
    } else {
        vec![rows.iter().collect()]
    };
    for (layer, rows) in groups.into_iter().enumerate() {
        let name = if whole { format!("MoE layer {layer}") } else { "by MoE layer".to_owned() };
        let label = format!("{name}: {}", told(&rows));
        let _ = write!(
            html,
            "<div class=\"map\"><h5>{name}</h5><div class=\"rows\" style=\"--rows:{}\" role=\"img\" aria-label=\"{}\">\
             <svg viewBox=\"0 0 {columns} {}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">",
            rows.len(),
            Text(&label),
            rows.len()
        );
        for (y, row) in rows.iter().enumerate() {
            cells(&mut html, row, y);
        }
        html += "</svg><div class=\"names\" aria-hidden=\"true\">";
        for row in &rows {
            let _ = write!(html, "<span>{}</span>", row.expert.unwrap_or(row.layer));
        }
        html += "</div></div></div>";
    }
    let _ = write!(
        html,
        "<div class=\"ends\"><span>step {first}</span><span>step {last}</span></div><p class=\"caption\">A row is an \
         expert, a column a step or several. Blue took more than its share, orange less; even colour is balance, a blue \
         row beside orange ones a router that collapses.</p></figure>"
    );
    html
}

/// A row's cells, neighbours of one colour as one.
fn cells(html: &mut String, row: &Row, y: usize) {
    let mut start = 0;
    for end in 1..=row.loads.len() {
        if end < row.loads.len() && class(row.loads[end]) == class(row.loads[start]) {
            continue;
        }
        let _ = write!(
            html,
            "<rect class=\"h{}\" x=\"{start}\" y=\"{y}\" width=\"{}\" height=\"1\"/>",
            class(row.loads[start]),
            end - start
        );
        start = end;
    }
}

/// The class of colour: 0 for balance, one more with every half a power of two.
fn class(multiple: f64) -> i32 {
    let log = multiple.max(1e-6).log2() / 2.0 * CLASSES;
    log.clamp(-CLASSES, CLASSES).round() as i32
}

fn told(rows: &[&Row]) -> String {
    let last = |row: &Row| row.loads.last().copied().unwrap_or(1.0);
    let loads = rows.iter().map(|row| format!("{} {:.1}", row.expert.unwrap_or(row.layer), last(row)));
    format!("at the last step {}", loads.take(32).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::{class, html, multiples};
    use ruminate_run::rows::ExpertLoad;

    #[test]
    fn balance_is_neutral_and_collapse_is_not() {
        assert_eq!([1.0, 2.0, 4.0, 100.0, 0.5, 0.0].map(class), [0, 2, 4, 4, -2, -4]);
    }

    #[test]
    fn loads_are_multiples_of_an_even_share() {
        let load = |a, b| ExpertLoad { step: 1, load: vec![vec![a, b]] };
        assert_eq!(multiples(&[load(1, 3), load(2, 2)], 0, 2), [0.75, 1.25]);
        assert_eq!(multiples(&[load(0, 0)], 0, 2), [1.0, 1.0]);
        assert_eq!(multiples(&[load(0, 0)], 7, 2), [1.0, 1.0], "a layer that is not there");
    }

    #[test]
    fn a_large_model_is_shown_by_layer_and_ragged_rows_harm_nothing() {
        let wide = ExpertLoad { step: 3, load: vec![vec![1; 256]; 58] };
        assert!(html(&[wide]).len() < 20_000);
        let ragged = [
            ExpertLoad { step: 1, load: vec![vec![1, 2, 3]] },
            ExpertLoad { step: 2, load: vec![vec![], vec![9]] },
            ExpertLoad { step: 3, load: vec![] },
        ];
        assert!(html(&ragged).contains("MoE layer 1"));
        assert_eq!(html(&[]), "");
    }
}

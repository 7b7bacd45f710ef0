//! Whether what a graph expects holds on its table, each claim with its numbers.

use super::graph::{Expectation, Graph};
use super::table::{Table, compute};
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Every claim and every reported figure as text, and whether all claims hold.
///
/// # Errors
/// A figure that an evaluation does not have, a stage that is not complete.
pub(crate) fn check(graph: &Graph, table: &Table, outs: &[PathBuf]) -> Result<(String, bool)> {
    let (mut text, mut all_hold) = (String::new(), true);
    for expectation in &graph.expectations {
        let (claim, holds, numbers) = tested(expectation, graph, table, outs)?;
        all_hold &= holds;
        let verdict = if holds { "holds" } else { "DOES NOT HOLD" };
        let _ = writeln!(text, "{verdict:<13}  {claim}: {numbers}"); // writing to a String cannot fail
    }
    for reported in &graph.reported {
        let [from, to] = [&reported.from, &reported.to].map(|model| table.figure(model, &reported.metric));
        let told =
            |figure: Option<f64>| figure.map_or("not measured".to_owned(), |figure| format!("{figure:.3}"));
        let _ = writeln!(
            text,
            "{:<13}  {}: {} {} -> {} {}",
            "reported",
            reported.claim,
            reported.from,
            told(from),
            reported.to,
            told(to)
        );
    }
    Ok((text, all_hold))
}

fn tested<'a>(
    expectation: &'a Expectation,
    graph: &Graph,
    table: &Table,
    outs: &[PathBuf],
) -> Result<(&'a str, bool, String)> {
    match expectation {
        Expectation::Exceeds { claim, metric, model, over, at_least } => {
            let figure = |model: &str| {
                table
                    .figure(model, metric)
                    .with_context(|| format!("the evaluation of `{model}` has no `{metric}`"))
            };
            let (high, low) = (figure(model)?, figure(over)?);
            let holds = match at_least {
                // Means of shares differ in the last bits.
                Some(margin) => high - low >= margin - 1e-9,
                None => high > low,
            };
            Ok((claim, holds, format!("{model} {high:.3}, {over} {low:.3}, difference {:+.3}", high - low)))
        }
        Expectation::Consensus { claim, below } => {
            let (mut numbers, mut holds) = (Vec::new(), true);
            for model in table.models() {
                let figure = |metric: &str| {
                    table
                        .figure(model, metric)
                        .with_context(|| format!("the evaluation of `{model}` has no `{metric}`"))
                };
                let (one, most) = (figure("pass@1")?, figure("cons@k")?);
                if one < *below {
                    holds &= most > one;
                    let sign = if most > one { ">" } else { "<=" };
                    numbers.push(format!("{model} {most:.4} {sign} {one:.4}"));
                }
            }
            Ok((
                claim,
                holds,
                if numbers.is_empty() { "no model is below".to_owned() } else { numbers.join(", ") },
            ))
        }
        Expectation::Compute { claim, stages, at_least_that_of } => {
            let total = |names: &[String]| -> Result<f64> {
                let of = |name: &String| {
                    let command =
                        graph.stages.iter().find(|stage| stage.name == *name).map(|stage| &*stage.command);
                    let each = outs.iter().map(|out| compute(out, name, command.unwrap_or_default()));
                    Ok(each.collect::<Result<Vec<f64>>>()?.iter().sum::<f64>() / outs.len() as f64)
                };
                Ok(names.iter().map(of).collect::<Result<Vec<f64>>>()?.iter().sum())
            };
            let (own, other) = (total(stages)?, total(at_least_that_of)?);
            let numbers = format!(
                "{} {own:.3e}, {} {other:.3e} tokens x active parameters",
                stages.join(" + "),
                at_least_that_of.join(" + ")
            );
            Ok((claim, own >= other, numbers))
        }
    }
}

//! Tables of what was measured, a row a stage: pass@1 by set with its interval, and the rest of the main set.

use crate::chart::number;
use crate::escape::{Text, clipped};
use crate::folder::Run;
use ruminate_run::rows::{Figures, Kind, in_order, label};
use std::borrow::Cow;
use std::fmt::Write as _;

/// The set whose other figures are shown.
const MAIN: &str = "validation";

/// Sets and figures that are shown, and characters of a name.
const MAX_SETS: usize = 24;
const MAX_FIGURES: usize = 40;
const MAX_NAME: usize = 80;

/// A stage and its evaluations, one a set.
pub(crate) struct Stage<'a> {
    pub(crate) name: String,
    pub(crate) evaluations: Vec<&'a Figures>,
}

/// A run of its own before and after, with the last of those that it took from; of a pipeline's runs, the last each. Where
/// models were measured by `eval`, only that: it samples all of them alike, and trainings do not.
pub(crate) fn stages<'a>(runs: &'a [Run]) -> Vec<Stage<'a>> {
    let mut measured: Vec<&'a Run> = runs.iter().filter(|run| !run.evaluations.is_empty()).collect();
    let is_eval = |run: &&Run| run.config.get("command").is_some_and(|command| command == "eval");
    if measured.iter().copied().filter(is_eval).count() > 1 {
        measured.retain(is_eval);
    }
    let alone = measured.len() == 1;
    let rows = |run: &&'a Run| {
        if alone || run.name.is_empty() { before_and_after(run) } else { vec![after(run, run.name.clone())] }
    };
    measured.iter().flat_map(rows).collect()
}

fn before_and_after(run: &Run) -> Vec<Stage<'_>> {
    let steps = || run.evaluations.iter().map(|row| row.step);
    let (first, latest) = (steps().min().unwrap_or(0), steps().max().unwrap_or(0));
    if first == latest {
        return vec![after(run, format!("step {latest}"))];
    }
    let before = run.evaluations.iter().filter(|row| row.step == first).collect();
    vec![
        Stage { name: format!("before (step {first})"), evaluations: before },
        after(run, format!("after (step {latest})")),
    ]
}

fn after(run: &Run, name: String) -> Stage<'_> {
    Stage { name, evaluations: last(run) }
}

/// The last evaluation of every set, those before training left out where there are others.
fn last(run: &Run) -> Vec<&Figures> {
    let steps = || run.evaluations.iter().map(|row| row.step);
    let only = steps().min() == steps().max();
    let mut rows: Vec<&Figures> = Vec::new();
    for row in run.evaluations.iter().filter(|row| only || Some(row.step) > steps().min()) {
        match rows.iter_mut().find(|known| known.set == row.set) {
            Some(known) => *known = row,
            None => rows.push(row),
        }
    }
    rows
}

/// Both tables; nothing where nothing was measured.
pub(crate) fn html(stages: &[Stage]) -> String {
    if stages.is_empty() {
        return String::new();
    }
    let mut sets: Vec<&str> = Vec::new();
    for row in stages.iter().flat_map(|stage| &stage.evaluations) {
        // Of supervised runs the loss of held-out samples is measured, and no problem is asked.
        if !row.numbers.contains_key("loss") && !sets.contains(&row.set.as_str()) {
            sets.push(&row.set);
        }
    }
    sets.truncate(MAX_SETS);
    let by_set = if sets.is_empty() { String::new() } else { by_set(stages, &sets) };
    by_set + &main_set(stages)
}

fn by_set(stages: &[Stage], sets: &[&str]) -> String {
    let mut html = "<div class=\"scroll\" tabindex=\"0\"><table class=\"stages\"><caption>pass@1 in %, with 95 % intervals \
                    by bootstrap over problems</caption><thead><tr><th scope=\"col\">stage</th>"
        .to_owned();
    for set in sets {
        let _ = write!(html, "<th scope=\"col\">{}</th>", Text(&clipped(set, MAX_NAME)));
    }
    html += "</tr></thead><tbody>";
    for stage in stages {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", Text(&stage.name));
        for set in sets {
            html += &pass_cell(stage.evaluations.iter().find(|row| row.set == *set));
        }
        html += "</tr>";
    }
    html + "</tbody></table></div>"
}

/// The number, its interval, and both on a line from 0 to 100.
fn pass_cell(row: Option<&&Figures>) -> String {
    let Some((row, pass)) = row.and_then(|row| Some((row, *row.numbers.get("pass@1")?))) else {
        return "<td class=\"none\">–</td>".to_owned();
    };
    let place = |share: f64| 100.0 * share.clamp(0.0, 1.0);
    let mut html = format!("<td><b>{:.1}</b>", 100.0 * pass);
    if let Some([low, high]) = row.interval {
        let _ = write!(
            html,
            " <span class=\"ci\">{:.1}–{:.1}</span><span class=\"range\" aria-hidden=\"true\"><i style=\"left:{:.1}%;\
             width:{:.1}%\"></i><b style=\"left:{:.1}%\"></b></span>",
            100.0 * low,
            100.0 * high,
            place(low),
            (place(high) - place(low)).max(0.4),
            place(pass)
        );
    }
    html + "</td>"
}

/// The other figures of the main set, a column each, where some stage has them.
fn main_set<'a>(stages: &'a [Stage<'a>]) -> String {
    let main = |stage: &'a Stage<'a>| {
        let rows = &stage.evaluations;
        rows.iter().find(|row| row.set == MAIN).or(rows.first()).copied()
    };
    let rows: Vec<(&Stage, &Figures)> =
        stages.iter().filter_map(|stage| Some((stage, main(stage)?))).collect();
    let names = rows.iter().flat_map(|(_, row)| row.numbers.keys().map(String::as_str));
    let mut names = in_order(names.filter(|name| !["pass@1", "n"].contains(name)));
    names.retain(|name| {
        *name != "unscored" || rows.iter().any(|(_, row)| row.get(name).is_some_and(|n| n > 0.0))
    });
    names.sort_by_key(|name| place(name)); // stable
    names.truncate(MAX_FIGURES);
    let Some((_, first)) = rows.first() else { return String::new() };
    let mut html = format!(
        "<div class=\"scroll\" tabindex=\"0\"><table class=\"numbers\"><caption>{} in full; shares in %</caption><thead>\
         <tr><th scope=\"col\">stage</th>",
        Text(&clipped(&first.set, MAX_NAME))
    );
    let counted = if names.contains(&"loss") { "samples" } else { "problems" };
    let headings = names.iter().map(|name| label(name).text).chain([Cow::Borrowed(counted)]);
    for heading in headings {
        let _ = write!(html, "<th scope=\"col\">{}</th>", Text(&clipped(&heading, MAX_NAME)));
    }
    html += "</tr></thead><tbody>";
    for (stage, row) in &rows {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", Text(&stage.name));
        for name in names.iter().copied().chain(["n"]) {
            let cell = match (row.get(name), label(name).kind) {
                (None, _) => "–".to_owned(),
                (Some(value), Kind::Share) => format!("{:.1}", 100.0 * value),
                (Some(value), Kind::Number) => number(value, 4),
            };
            let _ = write!(html, "<td>{cell}</td>");
        }
        html += "</tr>";
    }
    html + "</tbody></table></div>"
}

/// Greedy first, then what is over k samples, and what has a label before what has none.
fn place(name: &str) -> (u8, usize) {
    let k = |prefix: &str| name.strip_prefix(prefix).and_then(|k| k.parse::<usize>().ok());
    match (name, k("pass@"), k("cons@")) {
        ("pass@1_greedy", ..) => (0, 0),
        (_, Some(k), _) => (1, k),
        (_, _, Some(k)) => (2, k),
        _ => (3, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::stages;
    use crate::folder::Run;
    use ruminate_run::rows::Figures;
    use std::collections::BTreeMap;

    fn run(name: &str, rows: &[(u64, &str)]) -> Run {
        let row = |&(step, set): &(u64, &str)| Figures {
            step,
            set: set.to_owned(),
            interval: None,
            numbers: BTreeMap::new(),
        };
        Run { name: name.to_owned(), evaluations: rows.iter().map(row).collect(), ..Run::default() }
    }

    fn told(runs: &[Run]) -> Vec<(String, Vec<(u64, &str)>)> {
        stages(runs)
            .into_iter()
            .map(|stage| {
                (stage.name, stage.evaluations.iter().map(|row| (row.step, row.set.as_str())).collect())
            })
            .collect()
    }

    #[test]
    fn what_was_measured_before_is_never_told_as_after() {
        let going_on = [run("", &[(0, "validation"), (0, "test"), (40, "validation")])];
        let stages = told(&going_on);
        assert_eq!(stages[0].0, "before (step 0)");
        assert_eq!(stages[0].1.len(), 2);
        assert_eq!(stages[1], ("after (step 40)".to_owned(), vec![(40, "validation")]));
    }

    #[test]
    fn a_student_has_its_teacher_below_it_and_a_pipeline_its_last_rows() {
        let names = |runs: &[Run]| told(runs).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let rows = [(0, "a"), (9, "a")];
        assert_eq!(
            names(&[run("", &rows), run("teacher", &rows), run("teacher/base", &[])]),
            ["before (step 0)", "after (step 9)", "teacher"]
        );
        assert_eq!(names(&[run("1-zero", &rows), run("2-sft", &[(0, "a")])]), ["1-zero", "2-sft"]);
        let eval = |name| Run {
            config: [("command".to_owned(), "eval".into())].into_iter().collect(),
            ..run(name, &[(0, "a")])
        };
        assert_eq!(names(&[run("zero", &rows), eval("eval-zero")]), ["zero", "eval-zero"]);
        let pipeline = [run("zero", &rows), run("r1", &rows), eval("eval-zero"), eval("eval-r1")];
        assert_eq!(names(&pipeline), ["eval-zero", "eval-r1"]);
    }
}

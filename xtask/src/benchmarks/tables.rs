//! Records become Markdown tables. It refuses to know how they came about.

use super::growth::Axis;
use super::numbers::{digits, median, percent, rate, time, times};
use super::records::{Ceiling, Kernel, Line, Outcome, Part, Record, Run};
use super::works::{PEER, Side, Target, Work};

/// The name of the record of the embedded default.
pub(super) const DEFAULT: &str = "embedded default";

/// Seconds that it may take.
const DEFAULT_TARGET_S: f64 = 150.0;

/// Works beside their peers: a row a variant of ours.
pub(super) fn models(records: &[Record], works: &[Work], ceiling: &Ceiling) -> String {
    let mut rows = Vec::new();
    for work in works {
        let peer = runs(records, work.id, PEER);
        for side in &work.sides {
            let ours = runs(records, work.id, side.name);
            if !ours.is_empty() {
                rows.push(model_row(work, side, &peer, &ours, ceiling));
            }
        }
    }
    table("| work | peer | ours | ratio | target | met | of the ceiling |", &rows)
}

fn model_row(
    work: &Work,
    side: &Side,
    peer: &[&Outcome],
    ours: &[&Outcome],
    ceiling: &Ceiling,
) -> Vec<String> {
    let (theirs, lines) = (lines(peer), lines(ours));
    let rounds: Vec<(&Line, &Line)> = theirs.iter().copied().zip(lines.iter().copied()).collect();
    let speeds: Vec<f64> = rounds.iter().map(|(peer, ours)| ours.tokens_per_s / peer.tokens_per_s).collect();
    let memory: Vec<f64> =
        rounds.iter().filter_map(|(peer, ours)| Some(ours.peak_gib? / peer.peak_gib?)).collect();
    let parts = mean_parts(&lines);
    let share = ceiling.share(&parts);

    let mut ratio: Vec<String> = speeds.iter().copied().map(times).collect();
    if side.targets.iter().any(|target| matches!(target, Target::Memory(_))) && !memory.is_empty() {
        ratio.push(format!("memory {}", times(median(&memory))));
    }
    let verdict = |target: &Target| {
        let met = match *target {
            Target::Speed(least) => (!speeds.is_empty()).then(|| median(&speeds) >= least),
            Target::Memory(most) => (!memory.is_empty()).then(|| median(&memory) <= most),
            Target::Ceiling(least) => share.map(|share| share >= least),
        };
        met.map_or("not measured", |met| if met { "yes" } else { "no" }).to_owned()
    };
    vec![
        format!("{}, {}", work.title, side.name),
        cell(peer),
        cell(ours),
        ratio.join(", "),
        join(&side.targets, |target| match *target {
            Target::Speed(least) => format!("at least {}", times(least)),
            Target::Memory(most) => format!("at most {} the memory", times(most)),
            Target::Ceiling(least) => format!("at least {} of the ceiling", percent(least)),
        }),
        join(&side.targets, verdict),
        share.map_or(String::new(), percent),
    ]
}

/// What all rounds of one side found.
fn cell(outcomes: &[&Outcome]) -> String {
    let measured = lines(outcomes);
    if measured.is_empty() {
        let why = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::NotMeasured(why) => Some(format!("not measured: {}", why.replace('|', "/"))),
            Outcome::Failed(command) => Some(format!("failed: `{command}`")),
            Outcome::Measured(_) => None,
        });
        return why.unwrap_or_default();
    }
    let rates: Vec<f64> = measured.iter().map(|line| line.tokens_per_s).collect();
    let memory: Vec<f64> = measured.iter().filter_map(|line| line.peak_gib).collect();
    let seconds: Vec<String> = measured.iter().map(|line| time(line.step_s)).collect();
    let mut facts = vec![seconds.join(", "), format!("{} tokens/s", digits(median(&rates)))];
    if !memory.is_empty() {
        facts.push(format!("{} GiB", digits(median(&memory))));
    }
    facts.join("; ")
}

/// The parts of every work that has several: its profile.
pub(super) fn profiles(records: &[Record], works: &[Work], ceiling: &Ceiling) -> String {
    let mut rows = Vec::new();
    for work in works {
        for side in &work.sides {
            let parts = mean_parts(&lines(&runs(records, work.id, side.name)));
            let whole: f64 = parts.iter().map(|part| part.time_s).sum();
            if parts.len() < 2 {
                continue;
            }
            rows.extend(parts.iter().map(|part| {
                vec![
                    format!("{}, {}", work.title, side.name),
                    part.name.clone(),
                    time(part.time_s),
                    percent(part.time_s / whole),
                    rate(part.gflop, part.time_s),
                    rate(part.gb, part.time_s),
                    ceiling.share(std::slice::from_ref(part)).map_or(String::new(), percent),
                ]
            }));
        }
    }
    table("| work | part | time | share | GFLOP/s | GB/s | of the ceiling |", &rows)
}

/// How one quantity's cost grows, beside how the formula's does.
pub(super) fn growth(records: &[Record], axis: &Axis, ceiling: &Ceiling) -> String {
    let points: Vec<(&str, Part)> = records
        .iter()
        .filter_map(|record| match record {
            Record::Run(Run { work, side, outcome: Outcome::Measured(line) }) if work == axis.id => {
                let part = line.parts.iter().find(|part| part.name == axis.part)?;
                Some((side.as_str(), part.clone()))
            }
            _ => None,
        })
        .collect();
    let Some((_, first)) = points.first() else { return String::new() };
    let row = |(value, part): &(&str, Part)| {
        vec![
            (*value).to_owned(),
            time(part.time_s / axis.steps as f64),
            times(part.time_s / first.time_s),
            times(ceiling.least(part) / ceiling.least(first)),
            rate(part.gflop, part.time_s),
            rate(part.gb, part.time_s),
            ceiling.share(std::slice::from_ref(part)).map_or(String::new(), percent),
        ]
    };
    table(
        "| value | time | to the first | by formula | GFLOP/s | GB/s | of the ceiling |",
        &points.iter().map(row).collect::<Vec<_>>(),
    )
}

/// Operations: the fused form beside the composition, where both are measured.
pub(super) fn kernels(records: &[Record], ceiling: &Ceiling) -> String {
    let all: Vec<&Kernel> = records
        .iter()
        .filter_map(|record| match record {
            Record::Kernel(kernel) => Some(kernel),
            _ => None,
        })
        .collect();
    let row = |kernel: &&Kernel| {
        let same = |other: &&&Kernel| (&other.group, &other.shape) == (&kernel.group, &kernel.shape);
        let composed = all.iter().filter(same).find(|other| other.form == "composed");
        let part = Part {
            name: String::new(),
            time_s: kernel.time_s,
            gflop: kernel.gflop.unwrap_or(0.0),
            gb: kernel.gb.unwrap_or(0.0),
        };
        let shape = match kernel.form.as_str() {
            "" | "fused" => kernel.shape.clone(),
            form => format!("{form} {}", kernel.shape).trim_end().to_owned(),
        };
        vec![
            kernel.group.clone(),
            shape,
            time(kernel.time_s),
            composed.map_or(String::new(), |composed| time(composed.time_s)),
            composed.map_or(String::new(), |composed| times(composed.time_s / kernel.time_s)),
            rate(part.gflop, part.time_s),
            rate(part.gb, part.time_s),
            ceiling.share(&[part]).map_or(String::new(), percent),
        ]
    };
    let rows: Vec<Vec<String>> = all.iter().filter(|kernel| kernel.form != "composed").map(row).collect();
    table("| operation | shape | fused | composed | ratio | GFLOP/s | GB/s | of the ceiling |", &rows)
}

/// The embedded default against the clock on the wall.
pub(super) fn wall(records: &[Record]) -> String {
    let rows: Vec<Vec<String>> = records
        .iter()
        .filter_map(|record| match record {
            Record::Wall { name, time_s } => Some(vec![
                name.clone(),
                time(*time_s),
                format!("at most {}", time(DEFAULT_TARGET_S)),
                if *time_s <= DEFAULT_TARGET_S { "yes" } else { "no" }.to_owned(),
            ]),
            _ => None,
        })
        .collect();
    table("| command | pretraining, GRPO and evaluations | target | met |", &rows)
}

fn runs<'a>(records: &'a [Record], id: &str, name: &str) -> Vec<&'a Outcome> {
    let outcome = |record: &'a Record| match record {
        Record::Run(Run { work, side, outcome }) if work == id && side == name => Some(outcome),
        _ => None,
    };
    records.iter().filter_map(outcome).collect()
}

fn lines<'a>(outcomes: &[&'a Outcome]) -> Vec<&'a Line> {
    let line = |outcome: &&'a Outcome| match outcome {
        Outcome::Measured(line) => Some(line),
        Outcome::NotMeasured(_) | Outcome::Failed(_) => None,
    };
    outcomes.iter().filter_map(line).collect()
}

/// The parts of all rounds, each with its mean.
fn mean_parts(lines: &[&Line]) -> Vec<Part> {
    let Some(first) = lines.first() else { return Vec::new() };
    let count = lines.len() as f64;
    let mean = |index: usize, value: &dyn Fn(&Part) -> f64| {
        lines.iter().filter_map(|line| line.parts.get(index)).map(value).sum::<f64>() / count
    };
    let part = |(index, part): (usize, &Part)| Part {
        name: part.name.clone(),
        time_s: mean(index, &|part| part.time_s),
        gflop: mean(index, &|part| part.gflop),
        gb: mean(index, &|part| part.gb),
    };
    first.parts.iter().enumerate().map(part).collect()
}

fn join<T>(values: &[T], text: impl Fn(&T) -> String) -> String {
    values.iter().map(text).collect::<Vec<_>>().join("; ")
}

/// A Markdown table; empty without rows.
fn table(head: &str, rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let rule = "|---".repeat(head.matches('|').count() - 1) + "|";
    let rows = rows.iter().map(|cells| format!("| {} |\n", cells.join(" | ")));
    format!("{head}\n{rule}\n{}", rows.collect::<String>())
}

//! Which metrics are drawn together, and what each figure means. docs/report.md says the same at more length.

use crate::chart::{Chart, Scale, Series};
use crate::escape::clipped;
use crate::folder::Run;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Above it three times in a row, a run ends, unless `max_mismatch_kl` says otherwise; the second where something rounds.
const MISMATCH_LIMITS: [f64; 2] = [1e-3, 0.2];

/// Sets that are drawn in one chart.
const MAX_SETS: usize = 5;

/// Other metrics that are drawn, and the characters of a name: what comes from a file has no end of its own.
const MAX_REST: usize = 100;
const MAX_NAME: usize = 80;

/// A figure of metrics.
struct Plan {
    title: &'static str,
    unit: &'static str,
    caption: &'static str,
    scale: Scale,
    /// Metric and its name in the legend.
    metrics: &'static [(&'static str, &'static str)],
}

const PLANS: [Plan; 12] = [
    Plan {
        title: "Reward",
        unit: "mean of a step",
        caption: "Of training problems. It should rise; how good the policy is, pass@1 says.",
        scale: Scale::Linear,
        metrics: &[("reward", "reward"), ("reward_std", "spread within groups")],
    },
    Plan {
        title: "Length",
        unit: "tokens",
        caption: "Of a completion, its end included, and of the thought in well-formed ones.",
        scale: Scale::Linear,
        metrics: &[("completions/mean_length", "completion"), ("measures/thought_length/mean", "thought")],
    },
    Plan {
        title: "Entropy",
        unit: "nats a token",
        caption: "Mean surprise of what was sampled. A fall to 0 before the reward is high is a collapse.",
        scale: Scale::Linear,
        metrics: &[("entropy", "entropy")],
    },
    Plan {
        title: "KL to the reference",
        unit: "nats a token",
        caption: "How far the policy has gone from its reference, k3 estimate.",
        scale: Scale::Linear,
        metrics: &[("kl", "KL")],
    },
    Plan {
        title: "Clip fraction",
        unit: "share of tokens",
        caption: "Tokens whose ratio the clip held. High: the learning rate is too large.",
        scale: Scale::Linear,
        metrics: &[("clip_ratio/region_mean", "clipped")],
    },
    Plan {
        title: "Loss",
        unit: "nats a token",
        caption: "Mean cross-entropy of the tokens with loss.",
        scale: Scale::Linear,
        metrics: &[("loss", "loss"), ("mtp_loss", "token after next")],
    },
    Plan {
        title: "Gradient norm",
        unit: "before clipping",
        caption: "Over all parameters, mean of a step's updates. Look out for jumps.",
        scale: Scale::Linear,
        metrics: &[("grad_norm", "norm")],
    },
    Plan {
        title: "Groups and limits",
        unit: "share",
        caption: "Groups of equal rewards teach nothing: too hard at first, solved at last. Cut off: at the length limit.",
        scale: Scale::Share,
        metrics: &[("frac_reward_zero_std", "equal groups"), ("completions/clipped_ratio", "cut off")],
    },
    Plan {
        title: "Sampler against trainer",
        unit: "nats a token, logarithmic",
        caption: "KL of the same tokens, computed one by one and all at once. Above the line three times, the run ends.",
        scale: Scale::Log,
        metrics: &[("sampling/mismatch_kl", "mismatch KL")],
    },
    Plan {
        title: "Age of the weights behind a token",
        unit: "steps",
        caption: "How far ahead sampling ran. A mean near `max_staleness`: learning is what a step waits for.",
        scale: Scale::Linear,
        metrics: &[("staleness/mean", "mean"), ("staleness/max", "oldest")],
    },
    Plan {
        title: "Largest load of an expert",
        unit: "times the mean",
        caption: "Of the worst layer; 1 is balance, experts over chosen is collapse.",
        scale: Scale::Linear,
        metrics: &[("moe/load_max", "largest load")],
    },
    Plan {
        title: "Time of a step",
        unit: "seconds",
        caption: "Sampling with scoring, and learning.",
        scale: Scale::Linear,
        metrics: &[("step_time_s", "step"), ("rollout_time_s", "sampling"), ("train_time_s", "learning")],
    },
];

/// The figures of a run as HTML: those that matter, then, folded, every other metric.
pub(crate) fn html(run: &Run) -> String {
    let mut drawn: BTreeSet<&str> = BTreeSet::new();
    let mut flat = Vec::new();
    let mut main = String::new();
    let reinforced = run.metrics.column("reward").is_some();
    for plan in &PLANS {
        let plans: Vec<_> =
            plan.metrics.iter().filter(|(name, _)| run.metrics.column(name).is_some()).collect();
        // The loss of GRPO says little: a group's advantages sum to zero.
        if plans.is_empty() || (plan.title == "Loss" && reinforced) {
            continue;
        }
        drawn.extend(plans.iter().map(|(name, _)| *name));
        if plans.iter().all(|(name, _)| zero(run, name)) {
            flat.push(plan.title);
            continue;
        }
        let series = plans.iter().map(|(name, label)| column(run, name, label)).collect();
        let limit = if plan.scale == Scale::Log { mismatch_limit(run) } else { None };
        let limit = limit.map(|limit| (limit, "limit"));
        main += &Chart {
            title: plan.title.to_owned(),
            unit: plan.unit,
            caption: plan.caption.to_owned(),
            scale: plan.scale,
            series,
            limit,
        }
        .html();
    }
    let (components, names) = components(run);
    main += &components;
    drawn.extend(names);
    let mut html = format!("<div class=\"charts\">{main}</div>");
    if !flat.is_empty() {
        let _ = write!(html, "<p class=\"caption\">0 at every step, and not drawn: {}.</p>", flat.join(", "));
    }
    let rest: String = run
        .metrics
        .columns
        .iter()
        .filter(|(name, _)| !drawn.contains(name.as_str()) && run.metrics.column(name).is_some())
        .take(MAX_REST)
        .map(|(name, _)| Chart {
            title: clipped(name, MAX_NAME),
            unit: "",
            caption: String::new(),
            scale: Scale::Linear,
            series: vec![column(run, name, "")],
            limit: None,
        })
        .map(|chart| chart.html())
        .collect();
    if !rest.is_empty() {
        let _ = write!(
            html,
            "<details class=\"more\"><summary>Every other metric</summary><div class=\"charts\">{rest}</div></details>"
        );
    }
    html
}

/// pass@1 of every set over the steps, with its intervals; nothing before the second evaluation.
pub(crate) fn pass_at_1(run: &Run) -> String {
    let mut sets: Vec<&str> = Vec::new();
    for evaluation in &run.evaluations {
        if !sets.contains(&evaluation.set.as_str()) {
            sets.push(&evaluation.set);
        }
    }
    let series = |set: &&str| {
        let rows: Vec<_> = run
            .evaluations
            .iter()
            .filter(|row| row.set == *set)
            .filter_map(|row| Some((row.step, *row.numbers.get("pass@1")?, row.interval)))
            .collect();
        Series {
            name: clipped(set, MAX_NAME),
            points: rows.iter().map(|row| (row.0, row.1)).collect(),
            band: rows.iter().filter_map(|row| row.2.map(|[low, high]| (low, high))).collect(),
            marked: true,
        }
    };
    let series: Vec<Series> = sets.iter().take(MAX_SETS).map(series).collect();
    if series.iter().all(|one| one.points.len() < 2) {
        return String::new();
    }
    let chart = Chart {
        title: "pass@1".to_owned(),
        unit: "of problems that training never sees",
        caption: "The chance that one sample solves a problem; bands are 95 % intervals, by bootstrap over problems."
            .to_owned(),
        scale: Scale::Share,
        series,
        limit: None,
    };
    format!("<div class=\"wide\">{}</div>", chart.html())
}

/// What the small validation measured while the run learnt; nothing before the second row.
pub(crate) fn validation(run: &Run) -> String {
    let points: Vec<(u64, f64)> =
        run.validations.iter().filter_map(|row| Some((row.step, row.pass_at_1?))).collect();
    if points.len() < 2 {
        return String::new();
    }
    let problems = run.validations.last().map_or(0, |row| row.n);
    let best = run.validations.iter().rev().find(|row| row.is_best);
    let best = best.map(|row| format!(" The best by its measure came after step {}.", row.step));
    let chart = Chart {
        title: "Validation while it learns".to_owned(),
        unit: "pass@1, one sample a problem",
        caption: format!(
            "The same {problems} problems with the same random numbers each time: few, so look at the trend.{}",
            best.unwrap_or_default()
        ),
        scale: Scale::Share,
        series: vec![Series { points, marked: true, ..Series::default() }],
        limit: None,
    };
    format!("<div class=\"wide\">{}</div>", chart.html())
}

/// The parts of the reward that are shares, in one figure, and their metrics.
fn components(run: &Run) -> (String, Vec<&str>) {
    let is_share = |values: &[Option<f64>]| values.iter().flatten().all(|v| (-1e-9..=1.0 + 1e-9).contains(v));
    let parts: Vec<(&str, &str)> = run
        .metrics
        .columns
        .iter()
        .filter_map(|(name, _)| Some((name.as_str(), name.strip_prefix("rewards/")?.strip_suffix("/mean")?)))
        .filter(|(name, _)| run.metrics.column(name).is_some_and(is_share))
        .take(6)
        .collect();
    let chart = Chart {
        title: "Parts of the reward".to_owned(),
        unit: "mean of a step, unweighted",
        caption: "The form rising alone: the form is being learnt, not the task.".to_owned(),
        scale: Scale::Share,
        series: parts.iter().map(|(name, label)| column(run, name, label)).collect(),
        limit: None,
    };
    (chart.html(), parts.into_iter().map(|(name, _)| name).collect())
}

fn column(run: &Run, name: &str, label: &str) -> Series {
    let values = run.metrics.column(name).unwrap_or_default();
    let points = run.metrics.steps.iter().zip(values).filter_map(|(&step, value)| Some((step, (*value)?)));
    Series { name: clipped(label, MAX_NAME), points: points.collect(), ..Series::default() }
}

fn zero(run: &Run, name: &str) -> bool {
    run.metrics.column(name).is_none_or(|values| values.iter().flatten().all(|&value| value == 0.0))
}

/// None where there is none: a policy that has moved since it sampled differs for that reason.
fn mismatch_limit(run: &Run) -> Option<f64> {
    let distilled = run.config.get("command").is_some_and(|command| command == "distill");
    let table = run.config.get(if distilled { "distill" } else { "grpo" });
    let set = table.and_then(|table| table.get("max_mismatch_kl")?.as_f64());
    let dtype = |table: &str| run.config.get(table).and_then(|table| table.get("dtype")?.as_str());
    let rounds =
        ["rollout", "train"].into_iter().any(|table| dtype(table).is_some_and(|dtype| dtype != "float32"));
    let ahead = table.and_then(|table| table.get("max_staleness")?.as_u64()).unwrap_or(0) > 0;
    let unset = (!ahead).then_some(MISMATCH_LIMITS[usize::from(rounds)]);
    set.filter(|limit| *limit > 0.0).or(unset)
}

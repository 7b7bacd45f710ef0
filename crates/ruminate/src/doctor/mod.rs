//! The doctor: static checks of a recipe, before anything is sampled or trained. They draw from no seed of a run and change
//! nothing. `ruminate doctor` runs all of them; every command that runs a recipe runs them first within two seconds. On
//! request the first step of the run is [sampled](sample) besides.

mod batch;
mod data;
mod findings;
mod ids;
mod inputs;
mod length;
mod memory;
mod prompts;
mod rates;
mod rewards;
pub(crate) mod sample;

pub use findings::{Finding, Severity};

use crate::error::{ErrorKind, Refusal};
use crate::progress::Progress;
use crate::run::session::Session;
use anyhow::Result;
use inputs::Inputs;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The pipeline that a recipe is examined for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Work {
    /// GRPO.
    #[default]
    TrainRl,
    /// Supervised fine-tuning.
    Sft,
    /// Next-token training.
    Pretrain,
    /// Distillation.
    Distill,
    /// Evaluation.
    Eval,
}

impl Work {
    const ALL: [Self; 5] = [Self::TrainRl, Self::Sft, Self::Pretrain, Self::Distill, Self::Eval];

    /// The command's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::TrainRl => "train-rl",
            Self::Sft => "sft",
            Self::Pretrain => "pretrain",
            Self::Distill => "distill",
            Self::Eval => "eval",
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Work {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|work| work.name() == name);
        found.ok_or_else(|| format!("expected one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// How thorough an examination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Before a run: at most two seconds, without errors that the run reports itself.
    Quick,
    /// On request.
    Whole,
}

impl Depth {
    fn whole(self) -> bool {
        self == Self::Whole
    }

    fn time(self, quick: Duration, whole: Duration) -> Duration {
        if self.whole() { whole } else { quick }
    }
}

/// Whether the run itself reports it in more detail, with exit code 3: what is wrong with a file of problems.
fn is_left_to_the_run(work: Work, finding: &Finding) -> bool {
    match finding.name {
        "bad_lines" | "rows" | "split" => true,
        "overlap" => finding.is_severe() && work != Work::Sft,
        "positions" => finding.kind() == ErrorKind::Input && work != Work::Sft,
        _ => false,
    }
}

/// Everything that the doctor finds, in the order in which it is read: what is run, on what, at which cost.
pub(crate) fn examine(session: &Session, work: Work, depth: Depth) -> Vec<Finding> {
    let (inputs, mut findings) = Inputs::new(session, work, depth);
    findings.extend(ids::check(&inputs));
    findings.extend(data::check(
        inputs.rows(),
        &inputs.recipe.data,
        inputs.train.as_ref(),
        inputs.eval.as_ref(),
    ));
    findings.extend(prompts::check(&inputs));
    if matches!(work, Work::TrainRl | Work::Distill | Work::Eval) {
        findings.extend(rewards::check(&inputs));
    }
    findings.extend(batch::sampling(work, inputs.recipe));
    match work {
        Work::TrainRl => {
            findings.extend(batch::groups(inputs.recipe, inputs.training_rows()));
            findings.extend(length::check(inputs.recipe, inputs.training_rows()));
        }
        Work::Sft => findings.extend(batch::supervised("sft", &inputs.recipe.sft, inputs.training_rows())),
        Work::Distill if inputs.student.is_some() => {
            findings.extend(batch::supervised("sft", &inputs.recipe.sft, None));
        }
        Work::Pretrain => findings.extend(batch::supervised("pretrain", &inputs.recipe.pretrain, None)),
        Work::Distill | Work::Eval => {}
    }
    findings.extend(rates::check(&inputs));
    findings.extend(memory::check(&inputs));
    findings.extend(memory::disk(&inputs));
    findings
}

/// Examines a recipe before its run: prints warnings, and refuses the run for severe findings unless `--force` is given.
///
/// # Errors
/// With exit code 2 and what to change; with 9 for a memory plan that cannot fit, 7 for a disk too small, 3 for an input
/// file.
pub(crate) fn quick(session: &Session, work: Work) -> Result<()> {
    let checking = Progress::saying("preparing", "a look at the recipe, its data and the machine");
    let mut findings = examine(session, work, Depth::Quick);
    drop(checking);
    findings.retain(|finding| !is_left_to_the_run(work, finding));
    let (severe, others): (Vec<_>, Vec<_>) = findings.into_iter().partition(Finding::is_severe);
    let warnings = others.iter().filter(|finding| finding.severity == Severity::Warning);
    for finding in warnings.chain(severe.iter().filter(|_| session.args.force)) {
        notice!("warning: {finding}");
    }
    if severe.is_empty() || session.args.force {
        return Ok(());
    }
    Err(refusal(&severe))
}

/// The refusal for severe findings.
fn refusal(severe: &[Finding]) -> anyhow::Error {
    let kind = severe.iter().map(Finding::kind).max().unwrap_or(ErrorKind::Usage);
    let list: Vec<String> = severe.iter().map(|finding| format!("\n  {finding}")).collect();
    let message =
        format!("refused; `--force` runs it anyway, with these findings as warnings:{}", list.concat());
    Refusal::Doctor { kind, message }.into()
}

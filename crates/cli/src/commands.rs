//! Commands: arguments to the library's options, and its results to the terminal.

use crate::args::{
    Args, Command, DoctorArgs, EvalArgs, ExportArgs, ImportArgs, InitArgs, MergeArgs, R1Args, ReportArgs,
    RunArgs,
};
use crate::chat;
use crate::exit::Failure;
use crate::terminal;
use ruminate::thoughts::Look;
use ruminate::{Error, Examination, Finished, Output, R1Check, R1Ended, Severity, Summary};
use std::io::{self, Write, stderr};
use std::path::Path;

/// Runs what was asked for.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Pretrain(args) => end(&ruminate::pretrain(args.options())?)?,
        Command::Sft(args) => end(&ruminate::sft(args.options())?)?,
        Command::TrainRl(args) => end(&ruminate::train_rl(args.options())?)?,
        Command::Distill(args) => end(&ruminate::distill(args.options())?)?,
        Command::Init(args) => init(args)?,
        Command::Eval(args) => eval(args.located()?)?,
        Command::Doctor(args) => doctor(args)?,
        Command::R1(args) => r1(args)?,
        Command::Generate(args) if args.chat => chat::run(&args.located()?)?,
        Command::Generate(args) => {
            let args = args.located()?;
            ruminate::generate(&args.options(), &args.lines.files())?;
        }
        Command::Score(args) => ruminate::score(&args.options(), &args.lines.files())?,
        Command::Verify(args) => {
            let programs = args.programs();
            ruminate::verify(&args.lines.files(), programs)?;
        }
        Command::Report(args) => report(&args)?,
        Command::Import(ImportArgs { file, out, pre, dtype }) => {
            ruminate::import(&file, &out, pre.as_deref(), dtype.as_deref())?;
        }
        Command::Export(ExportArgs { model, out, kind }) => ruminate::export(&model, &out, &kind)?,
        Command::Merge(args) => merge(&args)?,
        Command::Bench(command) => Output::standard().row(&ruminate::bench(&command.options())?)?,
    }
    Ok(())
}

/// Prints what a run measured and where it lies; the paths are the command's result.
fn end(finished: &Finished) -> Result<(), Error> {
    terminal::styled(&finished.text(look()));
    eprintln!("\nrun folder    {}", finished.folder().display());
    let model = finished.model_folder();
    let mut paths = vec![("run", finished.folder())];
    if let Some(model) = &model {
        eprintln!("model folder  {}", model.display());
        paths.push(("model", model));
    }
    Output::standard().texts(&paths)
}

/// How text for people looks on standard error; it is for people in a log, too.
fn look() -> Look {
    match Look::of(&stderr()) {
        Look::Raw => Look::Monochrome,
        look => look,
    }
}

fn init(args: InitArgs) -> Result<(), Error> {
    let out = args.out.clone();
    let command = ruminate::init_recipe(args.options(), &out)?;
    eprintln!("wrote {}; start it by `ruminate {command} {}`", out.display(), out.display());
    Output::standard().texts(&[("recipe", &out), ("command", Path::new(command))])
}

fn eval(args: EvalArgs) -> Result<(), Error> {
    if let Some([a, b]) = args.compare.as_deref() {
        let compared = ruminate::compare(a, b)?;
        let mut output = Output::standard();
        return compared.iter().try_for_each(|compared| output.row(compared));
    }
    if let Some(run) = &args.rescore {
        return rows(&ruminate::rescore(args.fit.options(), run)?);
    }
    let finished = ruminate::eval(args.fit.options())?;
    eprintln!("run folder    {}", finished.folder().display());
    rows(&finished.summary())
}

/// Rows on standard output, the table for people.
fn rows(summary: &Summary) -> Result<(), Error> {
    let mut output = Output::standard();
    summary.evaluations().try_for_each(|row| output.row(row))?;
    terminal::styled(&summary.text(look()));
    Ok(())
}

fn doctor(args: DoctorArgs) -> Result<(), Failure> {
    let DoctorArgs { fit, work, sample } = args;
    let RunArgs { resume, stop_at_eof, force, .. } = &fit.run;
    let without_effect =
        [("--resume", resume.is_some()), ("--stop-at-eof", *stop_at_eof), ("--force", *force && !sample)];
    if let Some((flag, _)) = without_effect.into_iter().find(|(_, given)| *given) {
        return Err(Failure::Usage(format!(
            "{flag} has no effect on the doctor: it runs nothing; leave it out"
        )));
    }
    let recipe = fit.run.recipe.as_ref();
    let recipe = recipe.map_or("the embedded recipe".to_owned(), |path| path.display().to_string());
    let examine = if sample { ruminate::doctor_with_sample } else { ruminate::doctor };
    let Examination { work, findings } = examine(fit.options(), work)?;
    // The severe findings last, where they are seen.
    eprintln!("doctor: {recipe}, for {work}");
    for severity in [Severity::Note, Severity::Warning, Severity::Severe] {
        for finding in findings.iter().filter(|finding| finding.severity == severity) {
            eprintln!("  {:<7}  {finding}", severity.to_string());
        }
    }
    let mut output = Output::standard();
    findings.iter().try_for_each(|finding| output.row(finding))?;
    let count = match findings.iter().filter(|finding| finding.is_severe()).count() {
        0 => return Ok(()),
        1 => "1 severe finding".to_owned(),
        severe => format!("{severe} severe findings"),
    };
    let so = if sample { "a run would be refused, or learn nothing" } else { "a run would be refused" };
    Err(Failure::Usage(format!("{count}: {so}")))
}

fn r1(args: R1Args) -> Result<(), Failure> {
    let (only_check, options) = (args.check, args.options());
    let (text, code) = if only_check {
        let R1Check { text, all_hold } = ruminate::check_r1(&options)?;
        (text, u8::from(!all_hold))
    } else {
        let program = std::env::current_exe().map_err(Failure::Program)?;
        match ruminate::r1(&options, &program)? {
            R1Ended::Complete(text) => (text, 0),
            R1Ended::Stopped(code) => (String::new(), code),
        }
    };
    io::stdout().write_all(text.as_bytes()).map_err(Failure::Output)?;
    if code == 0 { Ok(()) } else { Err(Failure::Code(code)) }
}

fn report(args: &ReportArgs) -> Result<(), Error> {
    if args.csv {
        let table = ruminate::report_csv(&args.run, args.out.as_deref())?;
        return Output::standard().texts(&[("csv", &table)]);
    }
    let page = ruminate::report(&args.run, args.out.as_deref())?;
    eprintln!("open {} in a browser", page.display());
    Output::standard().texts(&[("report", &page)])
}

fn merge(args: &MergeArgs) -> Result<(), Error> {
    let base = ruminate::merge(&args.adapter, args.model.as_deref(), &args.out)?;
    Output::standard().texts(&[("model", &args.out), ("base", &base), ("adapter", &args.adapter)])
}

//! Runs what is not complete, one stage after the other: skips, resumes, or rebuilds what another recipe made. Of what
//! stages do it reads `complete.json` and the exit code.
//!
//! A stage never outlives us: it holds the other end of a pipe, stops when that ends, and lets go of its run folder.

use super::graph::{COMPLETE, Graph, Stage};
use super::state::{Begun, State, hashes};
use super::wait::wait;
use anyhow::{Context, Result, ensure};
use ruminate_run::{Error, Lock};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

/// The exit code of a folder that is in use, as the binary has it.
const USAGE: u8 = 2;

/// One run of the whole graph.
pub(crate) struct Pipeline<'a> {
    pub(crate) graph: &'a Graph,
    /// The recipe folder.
    pub(crate) recipes: &'a Path,
    /// Where the stages' run folders lie.
    pub(crate) out: PathBuf,
    /// The `ruminate` binary that runs the stages.
    pub(crate) program: &'a Path,
    /// Overrides for every stage that reads their keys.
    pub(crate) overrides: Vec<String>,
    /// More arguments of every stage, such as `--device`.
    pub(crate) arguments: Vec<String>,
}

/// How a pipeline ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Every stage is complete.
    Complete,
    /// A stage ended with this exit code, or could not be begun.
    Stopped(u8),
}

impl Pipeline<'_> {
    /// Brings the pipeline to its end, or as far as it comes.
    ///
    /// # Errors
    /// A recipe that cannot be read, a disk that cannot be written, a binary that does not start.
    pub(crate) fn run(&self) -> Result<Ended> {
        fs::create_dir_all(&self.out).with_context(|| format!("cannot make {}", self.out.display()))?;
        let _lock = match Lock::of(&self.out) {
            Err(Error::Locked { .. }) => {
                notice!("{}: another `ruminate r1` is at work there", self.out.display());
                return Ok(Ended::Stopped(USAGE));
            }
            lock => lock?,
        };
        let stages = self.graph.all_stages();
        let hashes = hashes(self.recipes, &stages, &self.overrides)?;
        let mut state = State::read(&self.out)?;
        state.order = stages.iter().map(|stage| stage.name.clone()).collect();
        // What a pipeline that was killed has left at work is saving and ending.
        for stage in &stages {
            wait(&self.folder(stage))?;
        }
        self.invalidate(&stages, &mut state, &hashes)?;
        for (at, stage) in stages.iter().enumerate() {
            let hash = &hashes[&stage.name];
            let place = format!("[{}/{}] {}", at + 1, stages.len(), stage.name);
            if self.is_complete(stage, &state, hash) {
                notice!("{place}: complete");
                continue;
            }
            let earlier = state.stages.get(&stage.name).map_or(0.0, |begun| begun.seconds);
            let verb = if earlier > 0.0 || self.folder(stage).exists() { "goes on" } else { "begins" };
            notice!("{place} {verb}: {}; {}", self.shown(stage), self.forecast(&stages[at..], &state));
            state.stages.insert(stage.name.clone(), Begun { hash: hash.clone(), seconds: earlier });
            state.write(&self.out)?;
            let start = Instant::now();
            let status = self.stage(stage)?;
            let seconds = earlier + start.elapsed().as_secs_f64();
            state.stages.insert(stage.name.clone(), Begun { hash: hash.clone(), seconds });
            state.write(&self.out)?;
            if !status.success() {
                // Without a code a signal ended it, as it would end us.
                let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(130);
                notice!("{place}: ended with {status}; the same command goes on from here");
                return Ok(Ended::Stopped(code));
            }
            ensure!(
                self.folder(stage).join(COMPLETE).is_file(),
                "{place}: the command succeeded but left no {COMPLETE}"
            );
        }
        Ok(Ended::Complete)
    }

    /// Runs a stage to its end, holding the pipe at whose end it stops.
    fn stage(&self, stage: &Stage) -> Result<ExitStatus> {
        let mut child = self
            .command(stage)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let _pipe = child.stdin.take(); // else waiting would close it
        child.wait().with_context(|| format!("cannot wait for {}", stage.name))
    }

    /// Puts aside what was made by another recipe, and says where.
    fn invalidate(
        &self,
        stages: &[Stage],
        state: &mut State,
        hashes: &std::collections::BTreeMap<String, String>,
    ) -> Result<()> {
        for stage in stages {
            let Some(begun) = state.stages.get(&stage.name) else { continue };
            if begun.hash == hashes[&stage.name] {
                continue;
            }
            let before = stage.dependencies().find(|name| !state.stages.contains_key(*name));
            let reason = match before {
                Some(before) => format!("`{before}`, which it depends on, is made again"),
                None => "its recipe has changed".to_owned(),
            };
            if let Some(aside) = put_aside(&self.folder(stage))? {
                let folder = self.folder(stage);
                notice!("{}: {reason}; {} is now {}", stage.name, folder.display(), aside.display());
            }
            state.stages.remove(&stage.name);
            state.write(&self.out)?;
        }
        Ok(())
    }

    fn is_complete(&self, stage: &Stage, state: &State, hash: &str) -> bool {
        let made = state.stages.get(&stage.name).is_some_and(|begun| begun.hash == hash);
        made && self.folder(stage).join(COMPLETE).is_file()
    }

    fn folder(&self, stage: &Stage) -> PathBuf {
        self.out.join(&stage.name)
    }

    fn command(&self, stage: &Stage) -> Command {
        let mut command = Command::new(self.program);
        command.arg(&stage.command).arg(self.recipes.join(&stage.recipe));
        command
            .arg("--out")
            .arg(self.folder(stage))
            .args(["--resume", "auto", "--stop-at-eof"])
            .args(&self.arguments);
        for set in &self.overrides {
            // Every command reads the seed; another key may be for some of the stages.
            command.arg(if set.starts_with("seed=") { "--set" } else { "--set-if-read" }).arg(set);
        }
        let inputs =
            stage.inputs.iter().map(|(key, input)| format!("{key}={}", self.out.join(input).display()));
        for set in inputs {
            command.arg("--set").arg(set);
        }
        command
    }

    fn shown(&self, stage: &Stage) -> String {
        format!("ruminate {} {}", stage.command, self.recipes.join(&stage.recipe).display())
    }

    /// How long this stage and the rest take: the graph's minutes, stretched as those of the stages so far were.
    fn forecast(&self, left: &[Stage], state: &State) -> String {
        let all = self.graph.all_stages();
        let done = all.iter().filter(|stage| self.folder(stage).join(COMPLETE).is_file());
        let (mut expected, mut taken) = (0.0, 0.0);
        for stage in done {
            if let Some(begun) = state.stages.get(&stage.name) {
                expected += stage.minutes;
                taken += begun.seconds / 60.0;
            }
        }
        let stretch = if expected > 0.0 { taken / expected } else { 1.0 };
        let minutes = |stages: &[Stage]| stretch * stages.iter().map(|stage| stage.minutes).sum::<f64>();
        format!("about {:.1} min, and {:.0} min to the end", minutes(&left[..1]), minutes(left))
    }
}

/// Moves a stage's folder out of its pipeline, `seed0/zero` to `seed0-earlier/zero-1`: a user's own files may lie in it,
/// and hours of work. Returns where it is now; none where there was nothing.
fn put_aside(folder: &Path) -> Result<Option<PathBuf>> {
    let (Some(pipeline), Some(name)) = (folder.parent(), folder.file_name()) else { return Ok(None) };
    if folder.symlink_metadata().is_err() {
        return Ok(None);
    }
    let mut earlier = pipeline.as_os_str().to_owned();
    earlier.push("-earlier");
    let earlier = PathBuf::from(earlier);
    fs::create_dir_all(&earlier).with_context(|| format!("cannot make {}", earlier.display()))?;
    let mut number = 0;
    loop {
        number += 1;
        let mut numbered = name.to_owned();
        numbered.push(format!("-{number}"));
        let aside = earlier.join(numbered);
        if aside.symlink_metadata().is_err() {
            fs::rename(folder, &aside).with_context(|| format!("cannot move {}", folder.display()))?;
            return Ok(Some(aside));
        }
    }
}

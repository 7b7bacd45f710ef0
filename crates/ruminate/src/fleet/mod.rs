//! Servers as the engine of a training run: each version of the weights becomes a folder, which every server loads and proves
//! against the trainer's own forward pass. How servers are spoken to is `ruminate-fleet`'s.

mod background;
mod scoring;
mod settings;
mod teacher;

pub(crate) use scoring::LostUnscored;
pub(crate) use settings::check;
pub(crate) use teacher::{RemoteTeacher, check as check_teacher};

use crate::interrupt;
use crate::policy;
use crate::recipe::Recipe;
use crate::run::stage::Stage;
use anyhow::{Context, Result};
use burn::module::Module;
use ruminate_data::{Request, Sink};
use ruminate_fleet::{Background, Canary, Error, Event, Fleet, Push, Tally, Weights};
use ruminate_model::{self as model, Decoder, Format};
use ruminate_rollout::{self as rollout, Dtype, Engine, Logprobs, SpeculationStats};
use ruminate_run::{Appended, FolderWriter, JsonlAppender, remove_committed};
use ruminate_text::Renderer;
use ruminate_train::logprobs;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::path::PathBuf;

/// Versions of the weights that stay on the disk: the current one, and the one that a slow server may still read.
const KEPT: usize = 2;

/// The folder that servers are started on, among those of the versions.
const START: &str = "start";

/// What the canary's sequence begins with, which any model of English finds likely.
const CANARY: &str = "The sum of two and two is four. If a train travels sixty miles in one hour, then in two hours it travels \
                      one hundred and twenty miles. The answer is therefore 120, and we can check that 60 + 60 = 120 by hand.";

/// Servers that sample for a run.
pub(crate) struct ServerEngine<'a> {
    servers: Servers,
    renderer: &'a Renderer,
    /// Names folders, labels and adapters; no other start of any run has it.
    name: String,
    folder: PathBuf,
    format: Format,
    /// Whether the run trains adapters, which are pushed in place of whole weights.
    adapters: bool,
    canary: Vec<u32>,
    /// Versions on the disk, with the names of their adapters.
    kept: VecDeque<(PathBuf, String)>,
    logprobs: Logprobs,
    /// Whether the servers return what top-k, top-p and min-p kept.
    records_kept: bool,
    log: JsonlAppender,
    version: u64,
}

/// The servers, and when they generate.
enum Servers {
    /// In turns with the trainer.
    InTurns(Fleet),
    /// Beside it.
    Beside(Background),
    /// Neither: the thread could not be started.
    Gone,
}

impl<'a> ServerEngine<'a> {
    /// The servers of a recipe whose `rollout.engine` is not "local", for prompts of about so many tokens. Writes the folder that they are started on, where it is
    /// not there, and asks none of them yet.
    ///
    /// # Errors
    /// With exit code 2 for an address that cannot be asked, 7 where the folder cannot be written.
    pub(crate) fn new(
        recipe: &Recipe,
        stage: &Stage,
        policy: &Decoder,
        renderer: &'a Renderer,
        prompt_tokens: usize,
    ) -> Result<Self> {
        let name = settings::name(&stage.identity);
        let config = recipe.fleet.clone().unwrap_or_default();
        // A shared folder may serve several runs: each has its own in it.
        let of_run = |shared: &PathBuf| shared.join(name.split('-').next().unwrap_or_default());
        let folder = config.folder.as_ref().map_or_else(|| stage.folder.path().join("weights"), of_run);
        let folder = std::path::absolute(&folder).with_context(|| folder.display().to_string())?;
        let setup = settings::setup(recipe, config, policy.config(), renderer, name.clone(), prompt_tokens)?;
        let fleet = Fleet::new(setup).map_err(refused)?;
        let dtype = match recipe.rollout.dtype {
            Dtype::Float32 => model::WeightType::Float32,
            _ => model::WeightType::Bfloat16,
        };
        let text = renderer.tokenizer.encode(CANARY)?;
        let log = JsonlAppender::open(&stage.folder.fleet_path())?;
        let engine = Self {
            servers: Servers::InTurns(fleet),
            renderer,
            name,
            folder,
            format: Format { dtype, ..Format::default() },
            adapters: recipe.lora.is_some(),
            canary: Canary::sequence(&text, policy.config().vocab_size),
            kept: VecDeque::new(),
            logprobs: settings::logprobs(recipe.rollout.dtype),
            records_kept: recipe.rollout.sampling().cuts(),
            log,
            version: 0,
        };
        engine.write_start(policy)?;
        Ok(engine)
    }

    /// Removes what an earlier start of the run left, and writes the folder that servers are started on.
    fn write_start(&self, policy: &Decoder) -> Result<()> {
        std::fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot make {}", self.folder.display()))?;
        let start = self.folder.join(START);
        if !start.join("config.json").exists() {
            let base = policy.valid().without_adapters().untied();
            policy::save(&start, &base, Some(self.renderer), self.format)?;
        }
        let earlier = self.name.split('-').next().unwrap_or_default();
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !earlier.is_empty() && name.starts_with(&format!("{earlier}-")) {
                remove_committed(&entry.path())?;
            }
        }
        notice!(
            "servers sample: they can be started on {} (docs/servers.md), and are waited for",
            start.display()
        );
        Ok(())
    }

    /// The next version as a folder, whole or not there.
    fn write(&self, policy: &Decoder, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        if self.adapters {
            let writer = FolderWriter::create(&folder)?;
            model::save(policy, writer.folder())?;
            writer.commit(Value::Null)?;
        } else {
            // One matrix under two names would be loaded into one of two places (vLLM on a CPU).
            policy::save(&folder, &policy.untied(), Some(self.renderer), self.format)?;
        }
        Ok(folder)
    }

    /// The trainer's own numbers for the canary.
    fn canary(&self, policy: &Decoder) -> Result<Canary> {
        let (first, rest) = self.canary.split_at(1);
        let mut scores = logprobs::score(policy, &[(first, rest)], 1.0, 1)?;
        Ok(Canary { ids: self.canary.clone(), logprobs: scores.pop().unwrap_or_default() })
    }

    fn publish(&mut self, policy: &Decoder, version: u64) -> Result<()> {
        let name = format!("{}-v{version}", self.name);
        let folder = self.write(policy, &name)?;
        let canary = self.canary(policy)?;
        let gone = self.kept.len().saturating_sub(KEPT - 1);
        let gone: Vec<(PathBuf, String)> = self.kept.drain(..gone).collect();
        self.kept.push_back((folder.clone(), name.clone()));
        let weights = if self.adapters {
            let retired = gone.iter().map(|(_, name)| name.clone()).collect();
            Weights::Adapter { name, folder, retired }
        } else {
            Weights::Folder(folder)
        };
        for (folder, _) in gone {
            remove_committed(&folder)?;
        }
        let push = Push { version, weights, canary };
        let before = std::mem::replace(&mut self.version, version);
        match &mut self.servers {
            Servers::InTurns(fleet) => fleet.publish(push)?,
            Servers::Beside(background) => {
                let tally = background.publish(push)?;
                self.tell_sampled(before, &tally);
            }
            Servers::Gone => return Err(ended().into()),
        }
        Ok(())
    }

    /// Writes what happened to servers into the log, and shows what a person should know.
    fn tell(&mut self) {
        let events = match &self.servers {
            Servers::InTurns(fleet) => fleet.take_events(),
            Servers::Beside(background) => background.take_events(),
            Servers::Gone => Vec::new(),
        };
        for event in events {
            let row = match &event {
                Event::Ready { server, version, canary_kl, canary_max, seconds } => json!({
                    "step": version, "event": "ready", "server": server, "canary_kl": canary_kl,
                    "canary_logprob_diff_max": canary_max, "seconds": seconds,
                }),
                Event::Stale { server, found } => {
                    notice!("warning: {server} has the weights {found:?}; it is given the current ones");
                    json!({ "step": self.version, "event": "stale", "server": server, "found": found })
                }
                Event::Down { server, why, retry_s } => {
                    notice!("warning: {server} is down: {why}; it is tried again in {retry_s:.0} s");
                    json!({ "step": self.version, "event": "down", "server": server, "why": why })
                }
                Event::Lost { request, why } => {
                    notice!("warning: completion {request} was given up, its group has no verdict: {why}");
                    json!({ "step": self.version, "event": "lost", "request": request, "why": why })
                }
            };
            self.write_row(&row);
        }
    }

    /// What was sampled with a version of the weights.
    fn tell_sampled(&mut self, version: u64, tally: &Tally) {
        self.write_row(&json!({
            "step": version, "event": "sampled", "completions": tally.completions, "tokens": tally.tokens,
            "absent": tally.absent, "again": tally.again, "stale": tally.stale, "late": tally.late,
            "continued": tally.continued, "lost": tally.lost,
        }));
    }

    fn write_row(&mut self, row: &Value) {
        if let Appended::Failed(error) = self.log.append(row) {
            notice!("warning: {error}");
        }
    }
}

impl Engine for ServerEngine<'_> {
    fn load_weights(&mut self, policy: &Decoder, version: u64) -> Result<(), rollout::Error> {
        let published = self.publish(policy, version);
        self.tell();
        published.map_err(|error| match error.downcast::<Error>() {
            Ok(error) => of_fleet(error),
            Err(error) => rollout::Error::Engine { message: format!("weights for the servers: {error:#}") },
        })
    }

    fn generate(
        &mut self,
        requests: Vec<Request>,
        sink: &mut dyn Sink,
    ) -> Result<SpeculationStats, rollout::Error> {
        let Servers::InTurns(fleet) = &mut self.servers else {
            let message = "servers that generate beside the trainer take no requests in turns".to_owned();
            return Err(rollout::Error::Engine { message });
        };
        let outcome = fleet.generate(requests, sink);
        self.tell();
        self.tell_sampled(self.version, &outcome.map_err(of_fleet)?);
        Ok(SpeculationStats::default())
    }

    fn background(&mut self) -> Result<Option<&mut dyn rollout::Background>, rollout::Error> {
        self.start_background().map_err(of_fleet)?;
        Ok(Some(self))
    }

    fn records_kept(&self) -> bool {
        self.records_kept
    }

    fn logprobs(&self) -> Logprobs {
        self.logprobs
    }
}

/// What a fleet's error is to those who know engines only.
fn of_fleet(error: Error) -> rollout::Error {
    let message = error.to_string();
    match error {
        Error::Refused { .. } | Error::Sampling(_) | Error::Servers(_) => {
            rollout::Error::EngineUnfit { message }
        }
        Error::Mismatch { .. } => rollout::Error::EngineMismatch { message },
        Error::Stopped => rollout::Error::Stopped { finished: 0, requested: 0 },
        _ => rollout::Error::Engine { message },
    }
}

fn ended() -> Error {
    Error::Servers("the client of the servers has ended".to_owned())
}

fn refused(error: Error) -> anyhow::Error {
    of_fleet(error).into()
}

/// Whether the run has been asked to end.
fn interrupted() -> bool {
    interrupt::requested()
}

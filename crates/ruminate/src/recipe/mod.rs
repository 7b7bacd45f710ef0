//! A recipe: everything that a run depends on, typed. Each table is its owner crate's own configuration; this module
//! adds the tables that only the binary needs and checks the whole before any tensor is made.

mod distill;
mod epochs;
mod eval;
mod foreign;
pub(crate) mod idle;
pub(crate) mod keys;
pub(crate) mod layers;
pub(crate) mod load;
mod log;
pub(crate) mod paths;
mod preset;
pub(crate) mod text;
mod trainer;
pub(crate) mod write;

pub(crate) use distill::{Distill, RemoteEngine, StudentTokenizer};
pub(crate) use eval::{Eval, Metric};
pub(crate) use layers::Layers;
pub(crate) use load::{Loaded, read};
pub(crate) use log::Log;
pub(crate) use ruminate_env::{BadLines, Component, Data, Reward, Shots};

use anyhow::{Context, Result};

use ruminate_fleet as fleet;
use ruminate_grpo as grpo;
use ruminate_model::{Format, lora};
use ruminate_rollout as rollout;
use ruminate_train::{self as train, supervised};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// The whole recipe, with defaults where it says nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Recipe {
    /// Decides every random number of the run.
    pub(crate) seed: u64,
    /// The model to train or to evaluate. `pretrain` needs a table, `eval` a folder.
    pub(crate) model: Option<Model>,
    /// What `[grpo]` has where the recipe states nothing: the settings of a paper or of another library.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) preset: Option<grpo::Preset>,
    /// GRPO steps of `train-rl`, from 1, unless `num_train_epochs` decides. The supervised stages have a
    /// `max_steps` of their own.
    pub(crate) max_steps: usize,
    /// Passes of `train-rl` over the training problems of a file, in place of `max_steps`; above 0, also a
    /// fraction. A recipe states one of both.
    #[serde(skip_serializing_if = "Option::is_none")] // a run without it is the same run as ever
    pub(crate) num_train_epochs: Option<f64>,
    /// Threads of the CPU backend and of the verifiers; 0 is one per core. More than there are cores are not
    /// used. No result depends on it.
    pub(crate) threads: usize,
    /// Where problems, traces and texts come from.
    pub(crate) data: Data,
    /// Next-token training from random weights: the command `pretrain`, and the base policy of `train-rl`
    /// where `model` is a table.
    pub(crate) pretrain: supervised::Config,
    /// Supervised fine-tuning: the command `sft`, and the student of `distill`.
    pub(crate) sft: supervised::Config,
    /// Optimizer, schedule, router and saving of GRPO.
    pub(crate) train: train::Config,
    /// How completions are sampled in training. Evaluations take their length limit, what texts ask of
    /// completions, memory and speculation from here, too.
    pub(crate) rollout: rollout::Config,
    /// Servers that sample in `train-rl`, where `rollout.engine` is not "local". A resumed run may have others.
    #[serde(skip_serializing_if = "Option::is_none")] // a run without them is the same run as ever
    pub(crate) fleet: Option<fleet::Config>,
    /// The steps of GRPO: their sizes, advantages and loss.
    pub(crate) grpo: grpo::Config,
    /// Adapters of low rank on frozen weights, for `train-rl`, `sft` and the student of `distill`. Without
    /// the table all weights are trained; an empty one takes the defaults, which are TRL's.
    #[serde(skip_serializing_if = "Option::is_none")] // a run without them is the same run as ever
    pub(crate) lora: Option<lora::Config>,
    /// What a completion is worth: a verifier of the answer plus a little for the form, or `components`.
    pub(crate) reward: Reward,
    /// Teacher, student, and how the student learns.
    pub(crate) distill: Distill,
    /// What is measured before, during and after training.
    pub(crate) eval: Eval,
    /// When a run is reported to learn nothing, or the wrong thing: a limit per alarm, or `false` for never.
    /// Only `all_wrong` and `unscored` end a run. A resumed run may have other limits.
    pub(crate) alarms: train::alarms::Config,
    /// A logger beside the run folder: a program that gets every row. No result depends on it.
    #[serde(skip_serializing_if = "Option::is_none")] // a run without one is the same run as ever
    pub(crate) log: Option<Log>,
    /// How the weights of `final/` are stored. Checkpoints, and the base that is trained on, are always f32.
    pub(crate) save: Format,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            seed: 0,
            model: None,
            max_steps: 500,
            num_train_epochs: None,
            threads: 0,
            data: Data::default(),
            pretrain: supervised::Config::default(),
            sft: supervised::Config::default(),
            train: train::Config::default(),
            rollout: rollout::Config::default(),
            fleet: None,
            grpo: grpo::Config::default(),
            preset: None,
            lora: None,
            reward: Reward::default(),
            distill: Distill::default(),
            eval: Eval::default(),
            alarms: train::alarms::Config::default(),
            log: None,
            save: Format::default(),
        }
    }
}

/// A model by its folder, or by its architecture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a model folder, or a table with the keys of a config.json")]
pub(crate) enum Model {
    /// A model folder in Hugging Face's layout.
    Folder(PathBuf),
    /// The keys of a `config.json`, for a model that starts from random weights; `vocab_size` and
    /// `eos_token_id` are the embedded tokenizer's unless given.
    Inline(Map<String, Value>),
}

impl Recipe {
    /// Checks every range that can be checked without reading a file.
    pub(crate) fn validate(&self) -> Result<()> {
        use crate::error::Refusal;
        if self.max_steps == 0 {
            return Err(Refusal::usage("`max_steps` is 0; expected a whole number from 1"));
        }
        self.check_epochs()?;
        self.data.validate().context("[data]")?;
        self.pretrain.validate().context("[pretrain]")?;
        if self.pretrain.num_train_epochs > 0.0 {
            return Err(Refusal::usage(
                "`pretrain.num_train_epochs` counts a set of samples, and traces have no end; set `pretrain.max_steps`",
            ));
        }
        self.sft.validate().context("[sft]")?;
        self.train.validate().context("[train]")?;
        self.rollout.validate().context("[rollout]")?;
        self.fleet.as_ref().map_or(Ok(()), fleet::Config::validate).context("[fleet]")?;
        crate::fleet::check(self)?;
        self.controls().validate().context("[rollout]")?;
        self.grpo.validate().context("[grpo]")?;
        self.lora.as_ref().map_or(Ok(()), lora::Config::validate).context("[lora]")?;
        self.reward.rubric(&self.data).map(drop).context("[reward]")?;
        self.distill.validate().context("[distill]")?;
        self.eval.validate().context("[eval]")?;
        self.alarms.validate().context("[alarms]")?;
        self.log.as_ref().map_or(Ok(()), Log::validate).context("[log]")?;
        for (name, model) in [("model", &self.model), ("distill.student", &self.distill.student)] {
            if let Some(Model::Inline(keys)) = model {
                crate::policy::inline_config(name, keys)?;
            }
        }
        Ok(())
    }
}

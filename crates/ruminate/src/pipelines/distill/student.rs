//! The student: where it begins, whether it can learn what the recipe asks of it, and its training by each method.

use super::logits::{self, Teacher};
use crate::error::Refusal;
use crate::evaluator::Evaluator;
use crate::observer::Observer;
use crate::pipelines::sft::{Fit, Fitted, Start, mean_length};
use crate::pipelines::train_rl;
use crate::policy;
use crate::recipe::{Model, StudentTokenizer};
use crate::run::session::Session;
use crate::run::stage::Stage;
use anyhow::Result;
use burn::tensor::Tensor;
use ruminate_data::{Epochs, Sample, Seed};
use ruminate_distill::logits::{TeacherSample, TopKSpec, logit_loss};
use ruminate_distill::on_policy::{self, OnPolicyArgs};
use ruminate_distill::{self as distill, Method};
use ruminate_env::Grader;
use ruminate_env::Problems;
use ruminate_model::{self as model, Decoder};
use ruminate_rollout::{GroupArgs, LocalEngine};
use ruminate_text::Renderer;
use ruminate_train::packing::Packed;
use ruminate_train::{self as train, Batch, State, supervised};
use std::ops::Range;
use std::path::Path;

/// A student before it has learned anything.
pub(super) struct Student {
    pub(super) renderer: Renderer,
    start: Start,
}

/// The student of a recipe. `teacher` is what its teacher is, or is made of, where that is known.
///
/// # Errors
/// With exit code 2 where its tokenizer is another than its teacher's and the method needs one for both; those of its folder.
pub(super) fn student(session: &Session, given: &Model, teacher: Option<&Model>) -> Result<Student> {
    let recipe = &session.recipe;
    let speaks = |model: &Model| policy::renderer_beside(model, recipe);
    let (renderer, start) = match (given, teacher) {
        (Model::Inline(keys), Some(teacher)) if recipe.distill.tokenizer == StudentTokenizer::Teacher => {
            let renderer = speaks(teacher)?;
            let vocab_size = vocab_size(teacher)?;
            let config = policy::inline_config_for("distill.student", keys, &renderer.tokenizer, vocab_size)?;
            (renderer, Start::Fresh(Box::new(config)))
        }
        _ => (speaks(given)?, Start::of(given)?),
    };
    let (Some(teacher), true) = (teacher, recipe.distill.learning.method != Method::Traces) else {
        return Ok(Student { renderer, start });
    };
    if let Some(difference) = speaks(teacher)?.tokenizer.difference(&renderer.tokenizer) {
        let hint = match given {
            Model::Inline(_) => "; `distill.tokenizer = \"teacher\"` gives a new student its teacher's",
            Model::Folder(_) => "",
        };
        return Err(Refusal::usage(format!(
            "`distill.method` compares teacher and student token by token, and their tokenizers differ: {difference}; \
             expected one tokenizer, or `method = \"traces\"`{hint}"
        )));
    }
    Ok(Student { renderer, start })
}

fn vocab_size(model: &Model) -> Result<usize> {
    Ok(match model {
        Model::Folder(folder) => model::load_config(folder)?.vocab_size,
        Model::Inline(keys) => policy::inline_config("model", keys)?.vocab_size,
    })
}

impl Student {
    /// Pretrains a new student, where the recipe says so.
    ///
    /// # Errors
    /// Those of pretraining.
    pub(super) fn pretrained(self, session: &Session, out: &Path) -> Result<Self> {
        let steps = session.recipe.distill.pretrain_steps;
        let Start::Fresh(config) = &self.start else { return Ok(self) };
        if steps == 0 {
            return Ok(self);
        }
        let mut settings = session.recipe.pretrain.clone();
        settings.max_steps = steps;
        let folder = train_rl::base(session, &out.join("student-base"), config, &settings)?;
        Ok(Self { start: Start::Folder(folder), ..self })
    }

    /// Its architecture.
    pub(super) fn config(&self) -> Result<model::Config> {
        Ok(match &self.start {
            Start::Folder(folder) => model::load_config(folder)?,
            Start::Fresh(config) => config.as_ref().clone(),
        })
    }

    fn fit<'a>(&'a self, samples: usize, length: usize, evaluator: &'a Evaluator<'a>) -> Fit<'a> {
        Fit {
            start: self.start.clone(),
            renderer: &self.renderer,
            samples,
            length,
            evaluator: Some(evaluator),
            validation: None,
        }
    }

    /// Learns to write the traces.
    pub(super) fn by_traces(
        &self,
        session: &Session,
        stage: &Stage,
        samples: &[Sample],
        evaluator: &Evaluator,
    ) -> Result<Fitted> {
        let fit = self.fit(samples.len(), mean_length(samples), evaluator);
        fit.run(session, stage, |state, settings, seed, observer| {
            let mut source = distill::source(samples, seed.child("shuffle"))?;
            Ok(supervised::train(state, &mut source, settings, observer)?)
        })
    }

    /// Learns the teacher's distribution at every token of the traces. The teacher is in memory only where it has to be asked.
    pub(super) fn by_logits(
        &self,
        session: &Session,
        stage: &Stage,
        samples: &[Sample],
        teacher: &Path,
        evaluator: &Evaluator,
    ) -> Result<Fitted> {
        let learning = &session.recipe.distill.learning;
        let (beta, temperature) = (learning.beta, learning.temperature);
        let (of_teacher, own) = (model::load_config(teacher)?.vocab_size, self.config()?.vocab_size);
        let kept = TopKSpec::new(learning.top_k, temperature, of_teacher, own);
        let asked = Teacher { folder: teacher, device: &session.device };
        let tops = logits::cached(&asked, samples, kept, &stage.folder.inner("logits")?)?;
        let fit = self.fit(samples.len(), mean_length(samples), evaluator);
        fit.run(session, stage, |state, settings, seed, observer| {
            let mut epochs =
                Epochs::new(samples.len(), seed.child("shuffle")).ok_or(distill::Error::NoSamples)?;
            let mut batches = |_: &State, indices: Range<u64>, _: &mut dyn train::Observer| {
                let taught = |index| {
                    let place = epochs.position(index);
                    TeacherSample { sample: &samples[place], top: &tops[place] }
                };
                Ok(Batch::from(indices.map(taught).collect::<Vec<_>>()))
            };
            let loss = |policy: &Decoder, hidden: Tensor<2>, packed: &Packed, items: &[&TeacherSample]| {
                logit_loss(policy, hidden, packed, items, beta, temperature)
            };
            let check = &mut |_, _: &train::Metrics| Ok::<_, train::Error>(());
            Ok(supervised::train_with_loss(
                state,
                &mut batches,
                &loss,
                check,
                settings,
                &train::Alone,
                observer,
            )?)
        })
    }

    /// Learns on its own way: it writes, the teacher judges each token.
    pub(super) fn on_policy(
        &self,
        session: &Session,
        stage: &Stage,
        teacher: &dyn on_policy::Teacher,
        problems: &mut Problems,
        judge: &Grader,
        evaluator: &Evaluator,
    ) -> Result<Fitted> {
        let recipe = &session.recipe;
        let stop = recipe.stop(&self.renderer)?;
        let mut engine = LocalEngine::new(recipe.rollout.engine());
        let groups = GroupArgs {
            count: recipe.distill.learning.num_samples,
            sampling: recipe.rollout.sampling(),
            stop: &stop,
        };
        let seed = Seed::new(recipe.seed).child("on_policy");
        let max_mismatch_kl = recipe.distill.learning.max_mismatch_kl;
        let prompts = recipe.distill.prompts as u64;
        let mut problem = |index: u64| problems.training(&self.renderer, index % prompts);
        let length = problem(0)?.prompt_ids.len() + recipe.rollout.max_new_tokens / 2;
        let fit = self.fit(recipe.distill.prompts * groups.count, length, evaluator);
        fit.run(session, stage, |state, settings, _, observer: &mut Observer| {
            let mut problem = |index| Ok(problem(index)?);
            let args = OnPolicyArgs { teacher, groups, seed, config: settings, max_mismatch_kl };
            Ok(on_policy::train(state, &mut engine, &mut problem, judge, &args, observer)?)
        })
    }
}

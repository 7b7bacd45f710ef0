//! What a run will hold in memory and on the disk against what the machine has left.

use super::Work;
use super::findings::{Finding, gib};
use super::inputs::{Inputs, Known};
use crate::allocator;
use crate::error::ErrorKind;
use crate::machine;
use crate::policy;
use ruminate_data::{Seed, Stop};
use ruminate_distill::Method;
use ruminate_grpo as grpo;
use ruminate_model::WeightType;
use ruminate_rollout::Budget;
use ruminate_train::{MemoryPlan, Trained, optimizer_state, supervised};

/// A plan so many times above what there is cannot be met by what is freed in the meantime.
const HOPELESS: u64 = 2;

/// The plan of a run, and which keys lower it.
struct Plan {
    bytes: u64,
    told: String,
    keys: String,
}

pub(super) fn check(inputs: &Inputs) -> Option<Finding> {
    let plan = plan(inputs)?;
    let device = inputs.session.args.device;
    let Plan { bytes, told, keys } = &plan;
    allocator::set_plan(format!("planned were {told}; {keys}"));
    let name = "memory";
    let Some(there) = machine::memory(device) else {
        return Some(Finding::note(name, format!("planned: {told}")));
    };
    let found = format!("planned: {told}; {} are {}", gib(there.bytes), there.limit);
    if *bytes > there.bytes.saturating_mul(HOPELESS) {
        return Some(Finding::severe(name, found, keys).with_kind(ErrorKind::Memory));
    }
    Some(if *bytes > there.bytes { Finding::warning(name, found, keys) } else { Finding::note(name, found) })
}

fn plan(inputs: &Inputs) -> Option<Plan> {
    let recipe = inputs.recipe;
    match inputs.work {
        Work::TrainRl => reinforcement(inputs),
        Work::Sft => Some(fine_tuning(inputs, inputs.model.as_ref()?, inputs.mean_prompt())),
        Work::Pretrain => {
            let config = &inputs.model.as_ref()?.config;
            let length = recipe.pretrain.row_length / 2;
            let plan = supervised::memory_plan(config, Trained::Weights, length, &recipe.pretrain);
            Some(of(plan, "pretrain"))
        }
        Work::Eval => asking(inputs, inputs.model.as_ref()?, recipe.eval.n * recipe.eval.num_samples),
        Work::Distill => {
            let samples = recipe.distill.prompts * recipe.distill.learning.num_samples;
            let teacher = asking(inputs, inputs.model.as_ref()?, samples);
            let length = inputs.mean_prompt() + recipe.rollout.max_new_tokens / 2;
            let student = inputs.student.as_ref().map(|student| fine_tuning(inputs, student, length));
            match (teacher, student) {
                (Some(teacher), Some(student)) if recipe.distill.learning.method == Method::OnPolicy => {
                    Some(Plan {
                        bytes: teacher.bytes + student.bytes,
                        told: format!("for the teacher {}, for the student {}", teacher.told, student.told),
                        keys: student.keys,
                    })
                }
                // Of the others one is there at a time.
                (teacher, student) => teacher.into_iter().chain(student).max_by_key(|plan| plan.bytes),
            }
        }
    }
}

fn trained(inputs: &Inputs, known: &Known) -> Option<Trained> {
    policy::trained(inputs.recipe.lora.as_ref(), &known.config, &inputs.session.device).ok()
}

fn reinforcement(inputs: &Inputs) -> Option<Plan> {
    let (recipe, known) = (inputs.recipe, inputs.model.as_ref()?);
    let setup = grpo::TrainerArgs {
        config: &recipe.grpo,
        train: &recipe.train,
        sampling: recipe.rollout.sampling(),
        stop: &Stop::default(),
        alarms: &recipe.alarms,
        max_steps: recipe.max_steps,
        seed: Seed::new(0).child("doctor"),
    };
    let demand = grpo::Demand {
        trained: trained(inputs, known)?,
        prompt_tokens: inputs.mean_prompt().max(1),
        evaluated: recipe.eval.n * recipe.eval.num_samples,
    };
    // What makes no plan is refused by the run, with its key.
    let plan = grpo::memory_plan(&known.config, demand, &recipe.rollout.engine(), &setup).ok()?;
    let memory = plan.memory;
    let sampling = memory.prepared + memory.caches;
    let training = memory.peak() - memory.program - memory.weights - memory.moments;
    let keys = if memory.weights + memory.moments > memory.peak() / 2 {
        "add a table [lora], or choose a smaller model"
    } else if sampling >= training {
        "lower `rollout.max_num_seqs` or `rollout.max_new_tokens`, or set `rollout.kv_cache_memory_gib`"
    } else {
        "lower `grpo.micro_batch_size` and `grpo.micro_batch_tokens`, or set `train.gradient_checkpointing = true`"
    };
    Some(Plan { bytes: memory.peak(), told: plan.to_string(), keys: keys.to_owned() })
}

fn fine_tuning(inputs: &Inputs, known: &Known, length: usize) -> Plan {
    let trained = trained(inputs, known).unwrap_or(Trained::Weights);
    of(supervised::memory_plan(&known.config, trained, length.max(1), &inputs.recipe.sft), "sft")
}

fn of(plan: MemoryPlan, table: &str) -> Plan {
    let keys = if plan.weights + plan.moments > plan.peak() / 2 {
        "add a table [lora], or choose a smaller model".to_owned()
    } else {
        format!(
            "raise `{table}.gradient_accumulation_steps`, lower `{table}.batch_size`, or set `{table}.gradient_checkpointing = true`"
        )
    };
    Plan { bytes: plan.peak(), told: plan.to_string(), keys }
}

/// Sampling alone.
fn asking(inputs: &Inputs, known: &Known, completions: usize) -> Option<Plan> {
    let recipe = inputs.recipe;
    let columns = inputs.mean_prompt().max(1) + recipe.rollout.max_new_tokens;
    let budget = Budget::new(&known.config, &recipe.rollout.engine(), completions, columns).ok()?;
    let weights = 4 * known.config.parameters().all as u64;
    // Weights are packed beside those that were read; prompts enter a cache a layer at a time.
    let caches = budget.bytes + budget.bytes / known.config.num_hidden_layers.max(1) as u64;
    let plan = MemoryPlan { weights, prepared: weights, caches, ..MemoryPlan::default() };
    Some(Plan {
        bytes: plan.peak(),
        told: format!(
            "about {} (weights {}, sampling {})",
            gib(plan.peak()),
            gib(weights),
            gib(weights + caches)
        ),
        keys:
            "lower `rollout.max_num_seqs` or `rollout.max_new_tokens`, or set `rollout.kv_cache_memory_gib`"
                .to_owned(),
    })
}

/// Room for what a run keeps: two checkpoints, under `train-rl` the best one, and the final model.
pub(super) fn disk(inputs: &Inputs) -> Option<Finding> {
    let known = inputs.learner()?;
    let out = inputs.session.out();
    let free = machine::free_disk(&out)?;
    let all = known.config.parameters().all as u64;
    let width = match inputs.recipe.save.dtype {
        WeightType::Float32 => 4,
        WeightType::Bfloat16 => 2,
    };
    // Weights and optimizer state of what learns; a reference policy beside it.
    let reference = inputs.work == Work::TrainRl && inputs.recipe.grpo.beta > 0.0;
    let trained = trained(inputs, known)?;
    let learning = match trained {
        Trained::Weights if reference => 2 * all,
        Trained::Weights => all,
        Trained::Adapters(count) => count as u64,
    };
    let settings = match inputs.work {
        Work::TrainRl | Work::Eval => &inputs.recipe.train,
        Work::Pretrain => &inputs.recipe.pretrain.train,
        Work::Sft | Work::Distill => &inputs.recipe.sft.train,
    };
    let optimizer = settings.new_optimizer();
    let checkpoint = 4 * learning + optimizer_state(optimizer.as_ref(), &known.config, trained);
    let keeps_best = inputs.work == Work::TrainRl && inputs.recipe.eval.validation_steps() > 0;
    let (count, word) = if keeps_best { (3, "three") } else { (2, "two") };
    let needed = count * checkpoint + width * all;
    let found = format!(
        "{word} checkpoints of {} and a model of {} take {}; {} are free in {}",
        gib(checkpoint),
        gib(width * all),
        gib(needed),
        gib(free),
        out.display()
    );
    if free >= needed {
        return Some(Finding::note("disk", found));
    }
    let advice = "make room, or choose another folder with --out; `[save] dtype = \"bfloat16\"` halves the model, [lora] makes \
                  checkpoints small, and `eval.validation_steps = 0` keeps no best one";
    Some(Finding::severe("disk", found, advice).with_kind(ErrorKind::Disk))
}

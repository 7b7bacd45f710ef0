//! Settings of `train-rl`, `eval` and a teacher that samples: what a right answer is, what asks for its form, how long it may
//! be, and how much is sampled a step.

use super::golds::{self, Chosen};
use super::look::{self, Look};
use super::{Fitting, Starts, adapters, whole};
use crate::device::Device;
use crate::error::Refusal;
use crate::recipe::Recipe;
use crate::settings::rates::{Kind, sensible};
use anyhow::Result;
use ruminate_data::{Message, Task};
use ruminate_text::Columns;
use ruminate_text::GenerationPrompt;
use ruminate_text::Preamble;
use ruminate_text::PromptStyle;
use toml::{Table, Value};

/// Asks for R1's tags, which `exact` and others read.
const TAGS: &str = "Think about the problem between <think> and </think>. Then write the final answer, and nothing else, \
                    between <answer> and </answer>.";

/// Asks for a letter behind words that `choice` reads.
const LETTER: &str = "Think about the question, then end with one line `Answer: X`, where X is the letter of the right choice.";

/// Asks for GSM8K's last line, which `gsm8k` reads.
const MARK: &str = "Work the problem out step by step. End with one line `#### ` and the final number.";

/// Asks a model that explains at length to come to the number.
const NUMBER: &str = "You solve math problems. Reply with the final number only.";

/// How long an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Short,
    Tagged,
    WorkedOut,
}

/// Adds the settings.
///
/// # Errors
/// With exit code 2, for rows about programs without a reward that runs them.
pub(super) fn settings(fitting: &Fitting, recipe: &Recipe, starts: &mut Starts) -> Result<()> {
    let layers = fitting.layers;
    let tasks = fitting.look.tasks();
    let family = if tasks.is_empty() { recipe.data.family()? } else { None };
    let stated_kind = recipe.reward.stated_kind();
    if stated_kind.is_none()
        && let Some(column) = golds::tests(&tasks)
    {
        return Err(Refusal::usage(format!(
            "the rows have a column `{column}`: answers are programs, which only the kind `code` can judge, and a recipe has to \
             name it, since it runs what the model writes: \
             --set 'reward.components=[{{kind=\"code\"}}]' (docs/cli.md says what the sandbox holds back)"
        )));
    }
    let chosen = match (&stated_kind, &family) {
        (Some(kind), _) => Chosen { kind: kind.clone(), choices: 4, why: String::new() },
        (None, Some(family)) => {
            Chosen { kind: family.verifier_kind().to_owned(), choices: 4, why: String::new() }
        }
        (None, None) => golds::choose(&tasks),
    };
    let tagged = recipe.reward.tagged_kind(&chosen.kind);
    let style = style(fitting, recipe, starts);
    if stated_kind.is_none() && family.is_none() && !tasks.is_empty() {
        verifier(fitting, &chosen, starts);
    }
    if !layers.states("reward.components") && chosen.choices <= 4 {
        let (weight, why) = if tagged || style == PromptStyle::R1 {
            (0.1, "the prompt asks for the tags, and a little reward keeps them")
        } else {
            (0.0, "nothing asks the model for tags")
        };
        starts.set(layers, "reward.format", weight, why);
    }
    system(fitting, recipe, &chosen.kind, tagged, style, &tasks, starts);

    let length = if golds::are_worked_out(&chosen.kind, &tasks)
        || family.as_ref().is_some_and(|_| chosen.kind == "countdown")
    {
        Length::WorkedOut
    } else if tagged || style == PromptStyle::R1 || chosen.kind == "choice" {
        Length::Tagged
    } else {
        Length::Short
    };
    new_tokens(fitting, length, starts);
    match fitting.asked.command {
        "eval" => evaluation(fitting, 200, if length == Length::WorkedOut { 1 } else { 4 }, starts),
        "distill" => {
            let problems = if fitting.look.rows > 0 { fitting.look.rows.min(1000) } else { 1000 };
            starts.set(
                layers,
                "distill.prompts",
                whole(problems),
                "one pass over the problems, at most 1000",
            );
            starts.set(layers, "distill.num_samples", 4, "a problem that is missed once may be solved");
            if !tagged && style != PromptStyle::R1 {
                starts.set(
                    layers,
                    "distill.required_rewards",
                    Value::Array(Vec::new()),
                    "nothing asks the teacher for tags",
                );
            }
            if recipe.distill.teacher.is_none() {
                training(fitting, recipe, length, starts); // its teacher is trained first
            }
            evaluation(fitting, 50, 1, starts);
        }
        _ => training(fitting, recipe, length, starts),
    }
    Ok(())
}

/// Which form prompts have, told where the recipe leaves it to the model.
fn style(fitting: &Fitting, recipe: &Recipe, starts: &mut Starts) -> PromptStyle {
    if recipe.data.prompt != PromptStyle::Auto {
        return recipe.data.prompt;
    }
    let (style, name, why) = if fitting.renderer.template.has_template() {
        (PromptStyle::Chat, "chat", "the model has a chat template")
    } else {
        (PromptStyle::R1, "r1", "the model has no chat template, and R1-Zero's prompt is for base models")
    };
    starts.set(fitting.layers, "data.prompt", name, why);
    style
}

fn verifier(fitting: &Fitting, chosen: &Chosen, starts: &mut Starts) {
    let layers = fitting.layers;
    if chosen.kind == "choice" && chosen.choices != 4 {
        let mut component = Table::new();
        component.insert("kind".to_owned(), "choice".into());
        component.insert("choices".to_owned(), i64::from(chosen.choices).into());
        let only = Value::Array(vec![Value::Table(component)]);
        starts.set(layers, "reward.components", only, chosen.why.as_str());
    } else {
        starts.set(layers, "reward.verifier", chosen.kind.as_str(), chosen.why.as_str());
    }
}

/// A system message where the verifier reads a form that neither the prompts nor the recipe ask for.
fn system(
    fitting: &Fitting,
    recipe: &Recipe,
    kind: &str,
    tagged: bool,
    style: PromptStyle,
    tasks: &[Task],
    starts: &mut Starts,
) {
    if style == PromptStyle::R1 || recipe.data.shots.is_some() || look::bring_a_system_message(tasks) {
        return; // they ask for the form, or show it
    }
    let mentions = |what: &str| tasks.iter().take(20).any(|task| task.prompt.text().contains(what));
    let (text, why) = match kind {
        _ if tagged && !mentions("<answer>") => {
            (TAGS, format!("`{kind}` reads the content of <answer>, and no prompt asks for it"))
        }
        "choice" if !mentions("Answer:") => {
            (LETTER, "`choice` reads a letter that is given as the answer, not one in passing".to_owned())
        }
        "gsm8k" if !mentions("####") => {
            (MARK, "`gsm8k` reads the line behind ####, and no prompt asks for it".to_owned())
        }
        "last_number" if !golds::are_worked_out(kind, tasks) && !asks_for_a_number(tasks) => (
            NUMBER,
            "the answers are short, and chat models explain at length unless they are asked not to"
                .to_owned(),
        ),
        _ => return,
    };
    // Some templates know no system message (Gemma's).
    let turns = Preamble::of_system(Some(text)).before(&[Message::new("user", "?")]);
    if style == PromptStyle::Chat
        && fitting.renderer.template.chat(&turns, &Columns::new(), GenerationPrompt::Add).is_err()
    {
        return;
    }
    starts.set(fitting.layers, "data.system", text, why);
}

/// Whether prompts say themselves how to answer.
fn asks_for_a_number(tasks: &[Task]) -> bool {
    let asks = |task: &Task| {
        let text = task.prompt.text().to_lowercase();
        ["reply with", "answer with", "only the number", "number only", "just the number"]
            .iter()
            .any(|words| text.contains(words))
    };
    !tasks.is_empty() && tasks.iter().take(20).all(asks)
}

/// The length of a completion, within the model's positions.
fn new_tokens(fitting: &Fitting, length: Length, starts: &mut Starts) {
    let (wanted, why) = match length {
        Length::Short => (96, "answers are short, and so are the questions"),
        Length::Tagged => (160, "a short thought and an answer have to fit"),
        Length::WorkedOut => (512, "answers are worked out in sentences"),
    };
    let longest = longest_prompt(fitting);
    let positions = fitting.config.max_position_embeddings;
    let room = positions.saturating_sub(longest);
    if room >= wanted {
        starts.set(fitting.layers, "rollout.max_new_tokens", whole(wanted), why);
    } else {
        // At least a part of the prompts has room; what is too long is left out and counted.
        let fits = room.max(positions / 4).clamp(1, wanted);
        let why = format!("the model has {positions} positions, and prompts take up to {longest} of them");
        starts.set(fitting.layers, "rollout.max_new_tokens", whole(fits), why);
    }
}

/// Tokens of the longest prompt, about: the derived system message is not in it yet. A prompt that cannot be rendered is told
/// with its line by the reader of the file.
pub(super) fn longest_prompt(fitting: &Fitting) -> usize {
    let tasks = fitting.look.longest_tasks();
    let tokens =
        |task: &Task| fitting.renderer.prompt_ids(&task.prompt, &task.columns).map_or(0, |ids| ids.len());
    tasks.iter().map(tokens).max().unwrap_or(64).max(16)
}

/// What is sampled and learned a step.
fn training(fitting: &Fitting, recipe: &Recipe, length: Length, starts: &mut Starts) {
    let layers = fitting.layers;
    let on_cpu = fitting.asked.device == Device::Flex;
    let long = length == Length::WorkedOut;
    let prompts = match (long, on_cpu) {
        (true, true) => 4,
        (_, false) => 16,
        (false, true) => 8,
    };
    let prompts = match trainable_rows(recipe, fitting.look) {
        Some(rows) => prompts.min(rows.max(1)),
        None => prompts,
    };
    starts.set(
        layers,
        "grpo.prompts_per_step",
        whole(prompts),
        if long { "long answers take time" } else { "a step of short answers is quick" },
    );
    starts.set(layers, "grpo.num_generations", 8, "fewer in a group are too often all right or all wrong");
    let parameters = fitting.parameters();
    let adapters = adapters(fitting, recipe, parameters, "train.learning_rate", starts);
    let rates = sensible(Kind::Reinforcement, parameters, adapters);
    let what = if adapters { "adapters on" } else { "all weights of" };
    let why = format!(
        "that suits {what} {} parameters; above {:.0e} such models are ruined",
        crate::policy::millions(parameters),
        rates.high
    );
    // Schedule and passes belong to a rate: a stated one has its own.
    if !layers.states("train.learning_rate") {
        starts.set(layers, "train.learning_rate", rates.default, why);
        starts.set(layers, "train.lr_scheduler_type", "linear", "a constant rate damages what was learned");
        if !adapters && parameters <= super::ALL_WEIGHTS {
            let why = "two passes over what was sampled cost less than sampling again";
            starts.set(layers, "grpo.num_iterations", 2, why);
        }
    }
    if recipe.num_train_epochs.is_none() {
        starts.set(layers, "max_steps", 100, "small models learn short tasks in 60 to 100 steps");
    }
    starts.set(layers, "train.save_steps", 20, "that is the most that a crash can cost");
    evaluation(fitting, if long { 32 } else { 100 }, 1, starts);
}

/// Rows that are about left to train on.
fn trainable_rows(recipe: &Recipe, look: &Look) -> Option<usize> {
    recipe.data.train.as_ref()?;
    let kept = if recipe.data.eval.is_some() { 1.0 } else { 1.0 - recipe.data.split.validation };
    Some((look.rows as f64 * kept) as usize)
}

fn evaluation(fitting: &Fitting, n: usize, samples: usize, starts: &mut Starts) {
    let layers = fitting.layers;
    starts.set(layers, "eval.n", whole(n), "enough to see a change of some points");
    starts.set(layers, "eval.num_samples", whole(samples), "with many problems one sample each says as much");
    starts.set(layers, "eval.empty_thought", false, "the model was not trained to think in tags");
}

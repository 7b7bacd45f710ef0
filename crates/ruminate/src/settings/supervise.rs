//! Settings of `[sft]`: the rate by size, rows that hold the longest sample, and how often the samples are seen.

use super::reinforce::longest_prompt;
use super::{Fitting, Starts, adapters, whole};
use crate::policy;
use crate::recipe::{Model, Recipe};
use crate::settings::rates;
use crate::settings::rates::{Kind, sensible};
use anyhow::Result;
use ruminate_data::{Message, Prompt};
use ruminate_model::{self as model, lora};
use ruminate_text::PromptStyle;
use serde_json::{Map, Value};

/// Adds the settings of the command `sft`.
pub(super) fn settings(fitting: &Fitting, recipe: &Recipe, starts: &mut Starts) {
    let parameters = fitting.parameters();
    if recipe.data.prompt == PromptStyle::Auto {
        let (name, why) = if fitting.renderer.template.has_template() {
            ("chat", "the model has a chat template")
        } else {
            ("r1", "the model has no chat template")
        };
        starts.set(fitting.layers, "data.prompt", name, why);
    }
    let adapters = adapters(fitting, recipe, parameters, "sft.learning_rate", starts);
    rate(fitting, parameters, adapters, starts);
    row_length(fitting, longest_sample(fitting), starts);
    passes(fitting, fitting.look.rows, starts);
}

/// Adds those of a student: a model folder, or one to be made.
///
/// # Errors
/// Those of its folder.
pub(super) fn student(fitting: &Fitting, recipe: &Recipe, starts: &mut Starts) -> Result<()> {
    let (parameters, adapters) = match &recipe.distill.student {
        None => return Ok(()),
        Some(Model::Folder(folder)) => {
            let parameters =
                model::load_config(&lora::base_folder(&crate::hub::folder(folder)?)?)?.parameters().all;
            (parameters, adapters(fitting, recipe, parameters, "sft.learning_rate", starts))
        }
        // Checked with its teacher's tokenizer later; here its size counts.
        Some(Model::Inline(keys)) => {
            let config = policy::inline_config("distill.student", keys)?;
            (config.parameters().all, recipe.lora.is_some())
        }
    };
    rate(fitting, parameters, adapters, starts);
    let room = longest_prompt(fitting) + recipe.rollout.max_new_tokens;
    row_length(fitting, room, starts);
    passes(fitting, fitting.look.rows, starts);
    Ok(())
}

fn rate(fitting: &Fitting, parameters: usize, adapters: bool, starts: &mut Starts) {
    let rates::Rates { default, high, .. } = sensible(Kind::Supervised, parameters, adapters);
    let what = if adapters { "adapters on" } else { "all weights of" };
    let why = format!(
        "that suits {what} {} parameters; above {high:.0e} such models are ruined",
        policy::millions(parameters)
    );
    starts.set(fitting.layers, "sft.learning_rate", default, why);
}

/// A multiple of 64 that holds the longest sample with a quarter to spare, within the model's positions.
fn row_length(fitting: &Fitting, longest: usize, starts: &mut Starts) {
    let wanted = (longest + longest / 4).next_multiple_of(64).max(256);
    let length = wanted.min(fitting.config.max_position_embeddings.max(2));
    starts.set(
        fitting.layers,
        "sft.row_length",
        whole(length),
        format!("the longest samples have about {longest} tokens"),
    );
}

fn passes(fitting: &Fitting, rows: usize, starts: &mut Starts) {
    let layers = fitting.layers;
    let batch = 16.min(rows.max(1));
    starts.set(
        layers,
        "sft.batch_size",
        whole(batch),
        "small enough for many updates, large enough for steady ones",
    );
    // A recipe that states the steps does not count in epochs.
    if !layers.states("sft.max_steps") {
        let (epochs, why) =
            if rows < 1000 { (3.0, "few rows bear three passes") } else { (1.0, "many rows are seen once") };
        starts.set(layers, "sft.num_train_epochs", epochs, why);
    }
    let warmup = if layers.states("sft.max_steps") { 2 } else { (3 * rows / batch / 20).clamp(1, 10) };
    starts.set(layers, "sft.warmup_steps", whole(warmup), "the first steps of AdamW are its roughest");
    starts.set(layers, "sft.save_steps", 50, "that is the most that a crash can cost");
}

/// Tokens of the longest samples, about: of a conversation all turns, as the template writes them.
fn longest_sample(fitting: &Fitting) -> usize {
    fitting.look.longest_rows().map(|row| tokens(fitting, &row)).max().unwrap_or(0)
}

fn tokens(fitting: &Fitting, row: &Map<String, Value>) -> usize {
    let count = |text: &str| fitting.renderer.tokenizer.encode(text).map_or(text.len() / 3, |ids| ids.len());
    let texts =
        ["prompt", "completion"].iter().filter_map(|key| row.get(*key)?.as_str()).map(count).sum::<usize>()
            + 1;
    let Some(messages) = row.get("messages") else { return texts };
    let Ok(messages) = serde_json::from_value::<Vec<Message>>(messages.clone()) else { return texts };
    if let Ok(ids) = fitting.renderer.prompt_ids(&Prompt::Messages(messages.clone()), row) {
        return ids.len();
    }
    messages.iter().map(|message| count(&message.text()) + 8).sum()
}

//! `eval`: how good a model folder is on problems that training never sees. Rows on standard output and in
//! `eval.jsonl`, the table for people.

use crate::args::RunArgs;
use crate::commands::report;
use crate::evaluate::{Evaluator, Sets};
use crate::exit::Refusal;
use crate::lines::Output;
use crate::policy;
use crate::problems::Problems;
use crate::recipe::Model;
use crate::scoring::Judge;
use crate::session::Session;
use crate::story::Story;
use anyhow::Result;
use ruminate_data::Seed;
use ruminate_model as model;
use ruminate_run::{RunFolder, write_file};

pub(crate) fn run(args: RunArgs) -> Result<()> {
    let session = Session::new("eval", args)?;
    let recipe = &session.recipe;
    let Some(model @ Model::Folder(folder)) = &recipe.model else {
        return Err(Refusal::usage(
            "eval measures trained weights: set `model` to a model folder (--set model=DIR)",
        ));
    };
    let config = model::load_config(folder)?;
    let language = policy::language(model, recipe.data.prompt)?;
    let problems = Problems::new(recipe, &language, config.max_position_embeddings, Seed::new(recipe.seed))?;
    let judge = Judge { language: &language, pool: recipe.reward.pool(&recipe.data, recipe.threads)? };
    let evaluator = Evaluator::new(recipe, &language, &judge, &problems)?;
    let policy = policy::Source::new(folder, None)?.load(&session.device)?;

    let out = RunFolder::create(&session.out())?;
    write_file(&out.recipe_path(), session.recipe_toml().as_bytes())?;
    write_file(&out.config_path(), &serde_json::to_vec_pretty(&session.config_json()?)?)?;
    let evaluation = evaluator.run(0, &policy, Sets::All)?;
    evaluation.write_samples(&out, 0)?;
    let mut rows = Vec::new();
    ruminate_data::jsonl::write(&mut rows, &evaluation.reports)?;
    write_file(&out.eval_path(), &rows)?;
    report::leave(&out);
    let mut results = Output::open(None)?;
    for report in &evaluation.reports {
        results.line(report)?;
    }
    let mut story = Story::default();
    story.add("model", evaluation);
    story.tell();
    Ok(())
}

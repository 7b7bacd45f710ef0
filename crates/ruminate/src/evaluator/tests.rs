//! An evaluation by an engine that answers from a script: what is asked of it, and what comes of the answers.

use super::{Evaluated, Evaluator, Sets};
use crate::policy;
use crate::recipe::load::load;
use ruminate_data::{Completion, FinishReason, Request, Seed};
use ruminate_rollout::{Logprobs, ScriptedEngine};
use std::collections::HashMap;

#[test]
fn an_engine_that_answers_from_a_script_is_measured_as_it_answers() {
    let sets = ["eval.n=6", "eval.num_samples=4", "eval.empty_thought=false", "rollout.dtype=int8"];
    let recipe = load(None, &sets.map(str::to_owned)).expect("a recipe").recipe;
    let model = recipe.model.as_ref().expect("the default has one");
    let renderer = policy::renderer(model, &recipe).expect("the embedded tokenizer");
    let problems = recipe.problems(&renderer, 256, Seed::new(0)).expect("sums");
    let judge = recipe.grader(&renderer).expect("a reward");
    let evaluator = Evaluator::new(&recipe, &renderer, &judge, &problems).expect("prompts");
    let answers: HashMap<Vec<u32>, String> = evaluator.sets[0]
        .problems
        .iter()
        .map(|(task, prompt_ids)| (prompt_ids.clone(), task.answer.clone()))
        .collect();

    // Of four samples one is right; greedy, all are.
    let answer = |number: usize, request: &Request| {
        assert_eq!(request.stop.token_ids(), renderer.end_ids);
        assert_eq!(request.sampling.max_new_tokens, recipe.rollout.max_new_tokens);
        let is_right = request.sampling.temperature == 0.0 || number.is_multiple_of(4);
        let answer = if is_right { answers[&request.prompt_ids].as_str() } else { "no number" };
        let text = format!("<think>so</think><answer>{answer}</answer>");
        let mut ids = renderer.tokenizer.encode(&text).expect("it encodes");
        ids.push(renderer.end_ids[0]);
        let (prompt_ids, logprobs) = (request.prompt_ids.clone(), vec![-1.0; ids.len()]);
        Completion::new(prompt_ids, ids, logprobs, FinishReason::Stop)
    };
    let mut engine = ScriptedEngine::new(Logprobs::Exact, answer);
    let config = policy::inline_config("model", &keys(model)).expect("an architecture");
    let policy = policy::fresh(&config, Seed::new(0), &burn::tensor::Device::flex());
    let mut kept = 0;
    let evaluated = evaluator.run_with(&mut engine, 7, &policy, Sets::Development, None, &mut |set| {
        kept += set.sampled.len();
        Ok(())
    });
    let Evaluated { evaluations, samples, .. } = evaluated.expect("measured");
    assert_eq!((engine.versions(), kept, samples.len()), (&[7][..], 6, 6));
    let [row] = &evaluations[..] else { panic!("one set: {evaluations:?}") };
    assert_eq!((row.step, row.set.as_str(), row.pass_at_1), (7, "validation", Some(0.25)));
    assert_eq!((row.pass_at_1_greedy, row.truncated), (Some(1.0), 0.0));
}

fn keys(model: &crate::recipe::Model) -> serde_json::Map<String, serde_json::Value> {
    let crate::recipe::Model::Inline(keys) = model else { panic!("the default has an architecture") };
    keys.clone()
}

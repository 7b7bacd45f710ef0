//! Problems of a mixture of two families, and the grader's verdicts on a right and a wrong answer to each:
//! `cargo run -p ruminate-env --example grade`

use ruminate_data::{Completion, FinishReason, Seed};
use ruminate_env::{Data, Error, Grader, ProblemSettings, Problems, Reward, TaskShare, TextMetrics};
use ruminate_text::{PromptStyle, Renderer};
use serde_json::Value;

#[expect(clippy::print_stdout, reason = "an example shows its result")]
fn main() -> Result<(), Error> {
    let share = |task: &str, weight| TaskShare { task: task.into(), params: Value::Null, weight, name: None };
    let data = Data { tasks: vec![share("gcd", 1.0), share("spell_backward", 2.0)], ..Data::default() };
    let (reward, renderer) = (Reward::default(), Renderer::embedded(PromptStyle::Bare)?);
    let settings =
        ProblemSettings { positions: 1024, max_new_tokens: 64, eval_n: 10, asked: 100, pools: false };
    let notify = &mut |notice| println!("{notice}");
    let mut problems = Problems::new(&data, &reward, settings, &renderer, Seed::new(0), notify)?;
    let metrics = TextMetrics::new(&["wait".to_owned()], &[]);
    let grader = Grader::new(&reward, &data, 0, metrics, &renderer)?;

    for index in 0..4 {
        let problem = problems.training(&renderer, index)?;
        println!("{} ({} tokens)", problem.task.prompt.text(), problem.prompt_ids.len());
        let texts = [
            format!("<think>wait</think><answer>{}</answer>", problem.task.answer),
            "<answer>I give up</answer>".to_owned(),
        ];
        let completions: Vec<Completion> = texts
            .iter()
            .map(|text| {
                let ids = renderer.completion_ids(text)?;
                let (prompt_ids, logprobs) = (problem.prompt_ids.clone(), vec![0.0; ids.len()]);
                Ok(Completion::new(prompt_ids, ids, logprobs, FinishReason::Stop))
            })
            .collect::<Result<_, Error>>()?;
        for verdict in &grader.verdicts(&[(&problem.task, &completions)], "")[0] {
            println!("  {:?}, score {:.2}: {:?}", verdict.outcome, verdict.score, verdict.rewards);
        }
    }
    Ok(())
}

//! The text side of a trainer: problems by index with their token ids, the grader that turns completions'
//! ids into verdicts, and metrics of texts. This crate knows no tensor and no file of a run.
//!
//! - [`Data`] and [`Reward`]: the tables `[data]` and `[reward]` of a recipe.
//! - [`Problems`]: what to train on, by index, and the sets that training never sees; [`Room`]: what fits
//!   into a model.
//! - [`Grader`]: decodes and judges; a trainer takes it as its [`Score`](ruminate_data::Score).
//!   [`TextMetrics`]: what it reports of a thought beside the reward.
//! - [`shots`]: the system message and the solved examples before every prompt.
//!
//! # Example
//!
//! ```
//! use ruminate_data::{Completion, FinishReason, Seed};
//! use ruminate_env::{Data, Grader, ProblemSettings, Problems, Reward, TextMetrics};
//! use ruminate_text::{PromptStyle, Renderer};
//!
//! let (data, reward) = (Data { task: Some("gcd".into()), ..Data::default() }, Reward::default());
//! let renderer = Renderer::embedded(PromptStyle::Bare)?;
//! let settings = ProblemSettings { positions: 1024, max_new_tokens: 64, eval_n: 10, asked: 100, pools: false };
//! let notify = &mut |notice| eprintln!("{notice}");
//! let mut problems = Problems::new(&data, &reward, settings, &renderer, Seed::new(0), notify)?;
//! let grader = Grader::new(&reward, &data, 0, TextMetrics::default(), &renderer)?;
//!
//! let problem = problems.training(&renderer, 0)?;
//! let answer = format!("<think>?</think><answer>{}</answer>", problem.task.answer);
//! let ids = renderer.completion_ids(&answer)?;
//! let logprobs = vec![0.0; ids.len()];
//! let completion = Completion::new(problem.prompt_ids, ids, logprobs, FinishReason::Stop);
//! let verdicts = grader.verdicts(&[(&problem.task, &[completion])], "");
//! assert_eq!(verdicts[0][0].score, 1.1); // correct and well formed
//! # Ok::<(), ruminate_env::Error>(())
//! ```

mod data;
mod error;
mod golds;
mod grader;
mod metrics;
mod problems;
mod reward;
mod room;
mod shots;

pub use data::{BadLines, Data, Shots, TaskShare};
pub use error::Error;
pub use grader::Grader;
pub use metrics::TextMetrics;
pub use problems::{ProblemSettings, Problems};
pub use reward::{Component, Reward};
pub use room::Room;
pub use shots::{refuse_beside_texts, shots};

/// The examples of the README are tested with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

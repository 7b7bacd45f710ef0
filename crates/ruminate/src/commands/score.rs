//! `score`: log-probabilities of given completions, natural logarithm, temperature 1.

use crate::commands::generate::{check_ids, optional_renderer, token_ids};
use crate::commands::lines::{self, Lines, Output};
use crate::device::Device;
use crate::error::Refusal;
use crate::frontend;
use crate::hub;
use crate::interrupt;
use crate::policy;
use anyhow::{Context, Result};
use ruminate_data::jsonl::{Mismatch, parse_object};
use ruminate_model as model;
use ruminate_train::logprobs;
use serde::Serialize;
use serde_json::Value;
use std::path::PathBuf;

/// What scores, and how.
#[derive(Clone, Debug)]
pub struct ScoreOptions {
    /// A model folder in Hugging Face's layout, or an adapter folder that names one.
    pub model: PathBuf,
    /// Adapters in PEFT's layout, made for that model.
    pub adapter: Option<PathBuf>,
    /// Where to compute.
    pub device: Device,
    /// Sequences computed at once.
    pub batch: usize,
}

enum Input {
    Text { prompt: String, completion: String },
    Ids { prompt: Vec<u32>, completion: Vec<u32> },
}

#[derive(Serialize)]
struct Line<'a> {
    index: usize,
    logprobs: &'a [f32],
    sum: f64,
}

pub(crate) fn run(args: &ScoreOptions, files: &Lines) -> Result<()> {
    let source = policy::Source::new(&hub::folder(&args.model)?, args.adapter.as_deref())?;
    let config = model::load_config(&source.base)?;
    let lines = lines::read(files, parse)?;
    let needs_text = lines.iter().any(|row| matches!(row.value, Input::Text { .. }));
    let renderer = optional_renderer(&source.base, &config, needs_text)?;
    let name = lines::name(files);
    let mut sequences = Vec::new();
    for row in &lines {
        let at = |problem: String| Refusal::line(&name, row.line, problem);
        let (prompt, completion) = match (&row.value, &renderer) {
            (Input::Ids { prompt, completion }, _) => (prompt.clone(), completion.clone()),
            (Input::Text { prompt, completion }, Some(renderer)) => {
                let pair = renderer.tokenizer.encode_pair(prompt, completion);
                pair.map_err(|error| at(error.to_string()))?
            }
            (Input::Text { .. }, None) => return Err(at("text needs a tokenizer".to_owned())),
        };
        check_ids(&prompt, &config).map_err(at)?;
        check_ids(&[prompt.as_slice(), &completion].concat(), &config).map_err(at)?;
        sequences.push((prompt, completion));
    }
    let device = args.device.open()?;
    let policy = source.load(&device)?;
    frontend::catch_interrupts("what is computed is written, and the rest is given up");
    let mut output = Output::open(files.output.as_deref())?;
    // A few batches at a time, so that results come as they are computed.
    let size = args.batch.max(1);
    let mut progress = lines::progress(files, "score", lines.len());
    for (at, (rows, sequences)) in lines.chunks(size).zip(sequences.chunks(size)).enumerate() {
        if interrupt::requested() {
            output.finish()?;
            let done = format!(" after {} of {} lines, which are written", at * size, lines.len());
            return Err(Refusal::Interrupted(done).into());
        }
        let pairs: Vec<(&[u32], &[u32])> =
            sequences.iter().map(|(p, c)| (p.as_slice(), c.as_slice())).collect();
        let scores = logprobs::score(&policy, &pairs, 1.0, size);
        let scores = scores.with_context(|| format!("{}, from line {}", name.display(), rows[0].line))?;
        for (row, logprobs) in rows.iter().zip(scores) {
            let sum = logprobs.iter().map(|&logprob| f64::from(logprob)).sum();
            output.line(&Line { index: row.line - 1, logprobs: &logprobs, sum })?;
        }
        if let Some(progress) = &mut progress {
            progress.at((at * size + rows.len()) as u64, "lines");
        }
    }
    output.finish()
}

fn parse(line: &str) -> Result<Input, Mismatch> {
    let row = parse_object(line)?;
    let text = |key: &str| row.get(key).and_then(Value::as_str).map(str::to_owned);
    match (row.get("prompt_ids"), row.get("completion_ids"), text("prompt"), text("completion")) {
        (Some(prompt), Some(completion), _, _) => Ok(Input::Ids {
            prompt: token_ids(prompt, "prompt_ids")?,
            completion: token_ids(completion, "completion_ids")?,
        }),
        (_, _, Some(prompt), Some(completion)) => Ok(Input::Text { prompt, completion }),
        _ => Err(Mismatch {
            expected: "texts `prompt` and `completion`, or lists `prompt_ids` and `completion_ids`"
                .to_owned(),
            found: "neither pair".to_owned(),
        }),
    }
}

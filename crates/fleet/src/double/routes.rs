//! What the double answers on each route of its dialect, and how a fault changes a completion.

use super::{Fault, Inner, log_softmax, logprobs, unit};
use crate::Kind;
use ruminate_data::Seed;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub(super) enum Outcome {
    Reply(u16, Vec<u8>),
    Half(Vec<u8>),
    Hangup,
}

/// A completion before it is written in a dialect.
struct Made {
    ids: Vec<u32>,
    /// Of what was kept.
    logprobs: Vec<Option<f64>>,
    /// Of the whole distribution.
    uncut: Vec<f64>,
    /// What was kept at each token, where that is returned.
    masks: Option<Vec<Vec<u32>>>,
    finish: &'static str,
    label: String,
    prompt_scores: Option<Vec<f32>>,
}

pub(super) fn answer(inner: &Inner, path: &str, body: &[u8], ends: &AtomicBool) -> Outcome {
    inner.script().asked.push(path.to_owned());
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    if matches!(path, "/inference/v1/generate" | "/v1/completions" | "/generate") {
        return completion(inner, path, &body, ends);
    }
    match control(inner, path, &body) {
        Ok(answer) => ok(&answer),
        Err((status, said)) => refuse(status, &said),
    }
}

fn ok(answer: &Value) -> Outcome {
    Outcome::Reply(200, answer.to_string().into_bytes())
}

fn refuse(status: u16, said: &str) -> Outcome {
    Outcome::Reply(status, json!({ "error": { "message": said } }).to_string().into_bytes())
}

fn control(inner: &Inner, path: &str, body: &Value) -> Result<Value, (u16, String)> {
    let mut guard = inner.script();
    let script = &mut *guard;
    let folder = |value: &Value| PathBuf::from(value.as_str().unwrap_or_default());
    let reload = |script: &mut super::Script, folder: PathBuf| {
        if script.fails_pushes || inner.brain.logits(&folder, &[0]).is_none() {
            return Err((500, format!("cannot load {}", folder.display())));
        }
        if !script.keeps_weights {
            script.weights = folder;
        }
        Ok(())
    };
    match (inner.kind, path) {
        (Kind::Vllm, "/v1/models") => {
            let base = json!({ "id": script.model, "max_model_len": script.max_len, "parent": null });
            Ok(json!({ "object": "list", "data": [base] }))
        }
        (Kind::Vllm, "/server_info") => Ok(json!({ "vllm_config": { "model_config": {
            "dtype": format!("torch.{}", script.dtype), "logprobs_mode": script.logprobs_mode,
            "return_sampling_mask": script.returns_masks,
            "hf_text_config": { "vocab_size": script.vocab_size },
        }}})),
        (Kind::Vllm, "/weight_info") => Ok(json!({ "weight_version": script.label })),
        (Kind::Sglang, "/model_info") => Ok(json!({
            "model_path": script.first_weights, "weight_version": script.label, "vocab_size": script.vocab_size,
        })),
        (Kind::Sglang, "/server_info") => {
            Ok(json!({ "dtype": script.dtype, "context_length": script.max_len }))
        }
        (_, "/tokenize") if script.has_tokenizer => {
            let text = body["prompt"].as_str().unwrap_or_default();
            let ids: Vec<u32> = text.bytes().map(|byte| u32::from(byte) + script.first_id).collect();
            Ok(json!({ "count": ids.len(), "tokens": ids }))
        }
        (Kind::Vllm, "/pause") | (Kind::Sglang, "/pause_generation") => {
            (script.paused, script.pauses) = (true, script.pauses + 1);
            Ok(json!({ "status": "paused" }))
        }
        (Kind::Vllm, "/resume") | (Kind::Sglang, "/continue_generation") => {
            script.paused = false;
            Ok(json!({ "status": "resumed" }))
        }
        (Kind::Vllm, "/collective_rpc") => {
            reload(script, folder(&body["kwargs"]["weights_path"]))?;
            // What loading leaves behind until it is told.
            Ok(json!({ "results": [null] }))
        }
        (Kind::Vllm, "/update_weight_version") => {
            body["new_version"].as_str().unwrap_or_default().clone_into(&mut script.label);
            Ok(json!({ "success": true }))
        }
        (Kind::Sglang, "/update_weights_from_disk") => {
            reload(script, folder(&body["model_path"]))?;
            body["weight_version"].as_str().unwrap_or_default().clone_into(&mut script.label);
            Ok(json!({ "success": true, "message": "" }))
        }
        (Kind::Vllm, "/v1/load_lora_adapter") | (Kind::Sglang, "/load_lora_adapter") => {
            let name = body["lora_name"].as_str().unwrap_or_default().to_owned();
            if script.adapters.contains_key(&name) {
                return Err((400, format!("the adapter {name} has already been loaded")));
            }
            let folder = folder(&body["lora_path"]);
            if script.fails_pushes || inner.brain.logits(&folder, &[0]).is_none() {
                return Err((404, format!("no adapter in {}", folder.display())));
            }
            script.adapters.insert(name, folder);
            Ok(json!({ "success": true }))
        }
        (Kind::Vllm, "/v1/unload_lora_adapter") | (Kind::Sglang, "/unload_lora_adapter") => {
            let name = body["lora_name"].as_str().unwrap_or_default();
            match script.adapters.remove(name) {
                Some(_) => Ok(json!({ "success": true })),
                None => Err((404, format!("no adapter {name}"))),
            }
        }
        (Kind::Vllm, "/abort_requests") | (Kind::Sglang, "/abort_request") => {
            let one = body["rid"].as_str();
            let ids = body["request_ids"].as_array().into_iter().flatten().filter_map(Value::as_str);
            // The route puts its name before the request's.
            let names = ids.chain(one).map(|id| id.trim_start_matches("generate-tokens-").to_owned());
            script.aborted.extend(names);
            Ok(json!({ "status": "aborted" }))
        }
        _ => Err((404, format!("Not Found: {path}"))),
    }
}

fn completion(inner: &Inner, path: &str, body: &Value, ends: &AtomicBool) -> Outcome {
    let fits = match inner.kind {
        Kind::Vllm => path != "/generate",
        Kind::Sglang => path == "/generate",
    };
    if !fits || (path == "/inference/v1/generate" && !inner.script().has_token_route) {
        return refuse(404, "Not Found");
    }
    let parameters = match path {
        "/inference/v1/generate" | "/generate" => &body["sampling_params"],
        _ => body,
    };
    let prompt = ["token_ids", "prompt", "input_ids"].iter().find_map(|key| body[key].as_array());
    let prompt: Vec<u32> =
        prompt.into_iter().flatten().map(|id| id.as_u64().unwrap_or(u64::MAX) as u32).collect();
    let number = |keys: &[&str]| keys.iter().find_map(|key| parameters[key].as_f64());
    let Some(most) = number(&["max_tokens", "max_new_tokens"]).filter(|_| !prompt.is_empty()) else {
        return refuse(400, "a request without a prompt or without max_tokens");
    };
    let scores = parameters["prompt_logprobs"].is_u64() || body["logprob_start_len"] == 0;
    // Faults are of what is trained on; canaries and probes have their own.
    let trains = !scores && number(&["temperature"]) != Some(0.5);
    let (weights, label, vocab_size, fault) = {
        let mut script = inner.script();
        if let Some(id) = prompt.iter().find(|id| **id as usize >= script.vocab_size) {
            return refuse(400, &format!("Token id {id} is out of vocabulary"));
        }
        if prompt.len() + most as usize > script.max_len {
            return refuse(400, "longer than the model's length");
        }
        if inner.kind == Kind::Vllm && script.returns_masks && parameters["top_k"].as_u64() == Some(0) {
            return refuse(400, "return_sampling_mask requires top_k > 0");
        }
        let name = body["lora_path"].as_str().or(body["model"].as_str()).unwrap_or_default().to_owned();
        let adapter = script.adapters.get(&name).cloned();
        if adapter.is_none() && !name.is_empty() && name != script.model {
            return refuse(404, &format!("The model `{name}` does not exist."));
        }
        let fault = match (trains, scores) {
            (true, _) => script.faults.pop_front().or_else(|| script.always.clone()),
            (false, true) => match script.sound_scores.as_mut() {
                Some(0) => Some(Fault::Status(500)),
                Some(left) => {
                    *left -= 1;
                    None
                }
                None => script.scoring_faults.pop_front(),
            },
            (false, false) => None,
        };
        if trains {
            let seed = ["seed", "sampling_seed"].iter().find_map(|key| parameters[key].as_u64());
            script.prompts.push((seed.unwrap_or_default(), prompt.clone()));
            script.in_flight += 1;
            script.most_in_flight = script.most_in_flight.max(script.in_flight);
        }
        (adapter.unwrap_or_else(|| script.weights.clone()), script.label.clone(), script.vocab_size, fault)
    };
    let masks = match inner.kind {
        Kind::Vllm => inner.script().returns_masks,
        Kind::Sglang => body["return_sampling_mask"] == true,
    };
    let made = make(inner, parameters, &prompt, most as usize, &weights, scores)
        .map(|made| Made { masks: made.masks.filter(|_| masks), ..made });
    let outcome = match made {
        None => refuse(500, "cannot read the weights"),
        Some(made) => {
            let name = body["request_id"].as_str().or(body["rid"].as_str()).unwrap_or_default().to_owned();
            let asked = Asked { path, name, prompt: &prompt };
            spoiled(inner, &asked, Made { label, ..made }, fault, vocab_size, ends)
        }
    };
    if trains {
        inner.script().in_flight -= 1;
    }
    outcome
}

fn make(
    inner: &Inner,
    parameters: &Value,
    prompt: &[u32],
    most: usize,
    weights: &std::path::Path,
    scores: bool,
) -> Option<Made> {
    let temperature = parameters["temperature"].as_f64().unwrap_or(1.0);
    let seed = ["seed", "sampling_seed"].iter().find_map(|key| parameters[key].as_u64()).unwrap_or_default();
    let stops: Vec<u64> =
        parameters["stop_token_ids"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    let raw = inner.script().raw_logprobs;
    let (mut context, mut ids, mut numbers) = (prompt.to_vec(), Vec::new(), Vec::new());
    let (mut uncut, mut masks) = (Vec::new(), Vec::new());
    let mut finish = "length";
    while ids.len() < most {
        let logits = inner.brain.logits(weights, &context)?;
        let whole = log_softmax(&logits, temperature);
        let mask = kept(&whole, parameters);
        let only = |(id, logit): (usize, &f32)| {
            if mask.contains(&(id as u32)) { *logit } else { f32::NEG_INFINITY }
        };
        let cut: Vec<f32> = logits.iter().enumerate().map(only).collect();
        let sampled = log_softmax(&cut, temperature);
        let draw = unit(Seed::new(seed).index(context.len() as u64).value());
        let mut sum = 0.0;
        let found = sampled.iter().position(|number| {
            sum += f64::from(*number).exp();
            sum > draw
        });
        let id = found.unwrap_or(sampled.len() - 1);
        let reported = if raw { log_softmax(&logits, 1.0)[id] } else { sampled[id] };
        ids.push(id as u32);
        numbers.push(Some(f64::from(reported)));
        uncut.push(f64::from(whole[id]));
        masks.push(mask);
        context.push(id as u32);
        if stops.contains(&(id as u64)) {
            finish = "stop";
            break;
        }
    }
    let prompt_scores = if scores { Some(logprobs(&*inner.brain, weights, prompt, 1.0)?) } else { None };
    let (masks, label) = (Some(masks), String::new());
    Some(Made { ids, logprobs: numbers, uncut, masks, finish, label, prompt_scores })
}

/// What top-k, then top-p, then min-p leave of log-probabilities; in no order.
fn kept(logprobs: &[f32], parameters: &Value) -> Vec<u32> {
    let number = |key: &str| parameters[key].as_f64();
    let mut ranked: Vec<usize> = (0..logprobs.len()).collect();
    ranked.sort_by(|a, b| logprobs[*b].total_cmp(&logprobs[*a]));
    if let Some(top_k) = number("top_k").filter(|top_k| *top_k > 0.0) {
        ranked.truncate(top_k as usize);
    }
    let p = |id: usize| f64::from(logprobs[id]).exp();
    let mass: f64 = ranked.iter().map(|id| p(*id)).sum();
    let mut before = 0.0;
    ranked.retain(|id| {
        let stays = before < number("top_p").unwrap_or(1.0) * mass;
        before += p(*id);
        stays
    });
    let most = p(ranked[0]);
    ranked.retain(|id| p(*id) >= number("min_p").unwrap_or(0.0) * most);
    ranked.into_iter().map(|id| id as u32).collect()
}

/// A request for a completion.
struct Asked<'a> {
    path: &'a str,
    name: String,
    prompt: &'a [u32],
}

/// The completion as it is sent, with its fault.
fn spoiled(
    inner: &Inner,
    asked: &Asked,
    mut made: Made,
    fault: Option<Fault>,
    vocab_size: usize,
    ends: &AtomicBool,
) -> Outcome {
    let Asked { path, name, prompt } = asked;
    let absent = |made: &mut Made, every: usize, value: Option<f64>| {
        made.logprobs.iter_mut().step_by(every.max(1)).for_each(|number| *number = value);
    };
    let cut = |made: &mut Made, at: usize| {
        if at < made.ids.len() {
            made.ids.truncate(at);
            made.logprobs.truncate(at);
            made.finish = "abort";
            made.masks = None;
        }
    };
    match fault {
        None => {}
        Some(Fault::Hangup) => return Outcome::Hangup,
        Some(Fault::Truncated) => {
            return Outcome::Half(written(path, &made, prompt).to_string().into_bytes());
        }
        Some(Fault::Hang(time)) => {
            wait(inner, name, time, ends);
            return Outcome::Hangup;
        }
        Some(Fault::Slow(time)) => {
            let parked = wait(inner, name, time, ends);
            let at = if parked { made.ids.len() / 2 } else { made.ids.len() };
            cut(&mut made, at);
        }
        Some(Fault::Status(status)) => return refuse(status, "scripted"),
        Some(Fault::Body(body)) => return Outcome::Reply(200, body),
        Some(Fault::Label(label)) => made.label = label,
        Some(Fault::Absent(every)) => absent(&mut made, every, Some(-9999.0)),
        Some(Fault::Null(every)) => absent(&mut made, every, None),
        Some(Fault::FewLogprobs) => drop(made.logprobs.pop()),
        Some(Fault::FewTokens) => {
            made.ids.pop();
            made.logprobs.pop();
        }
        Some(Fault::WrongId) => {
            if let Some(last) = made.ids.last_mut() {
                *last = vocab_size as u32;
            }
        }
        Some(Fault::Positive) => absent(&mut made, 1, Some(0.7)),
        Some(Fault::Abort(at)) => cut(&mut made, at),
        Some(Fault::NoMask) => made.masks = None,
    }
    ok(&written(path, &made, prompt))
}

/// Waits; true where a pause, or an abort of the request, came first.
fn wait(inner: &Inner, name: &str, time: Duration, ends: &AtomicBool) -> bool {
    let (started, pauses) = (Instant::now(), inner.script().pauses);
    while started.elapsed() < time && !ends.load(Ordering::Acquire) {
        {
            let script = inner.script();
            if script.pauses > pauses || script.aborted.contains(name) {
                return true;
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}

fn written(path: &str, made: &Made, prompt: &[u32]) -> Value {
    let Made { ids, logprobs, uncut, masks, finish, label, prompt_scores } = made;
    let usage = json!({ "prompt_tokens": prompt.len(), "completion_tokens": ids.len() });
    let spans =
        if ids.is_empty() { json!([]) } else { json!([{ "version": label, "start": 0, "end": ids.len() }]) };
    let by_place = || {
        let scores = prompt_scores.as_ref()?;
        let entry = |(score, id): (&f32, &u32)| json!({ id.to_string(): { "logprob": score, "rank": 1 } });
        let entries = scores.iter().zip(&prompt[1..]).map(entry);
        Some(std::iter::once(Value::Null).chain(entries).collect::<Vec<_>>())
    };
    match path {
        "/inference/v1/generate" => {
            let content: Vec<Value> = logprobs
                .iter()
                .zip(ids)
                .map(|(number, id)| json!({ "token_id": id, "logprob": number, "rank": 1, "top_logprobs": [] }))
                .collect();
            json!({ "request_id": "r", "output_mode": "tokens", "usage": usage, "prompt_logprobs": by_place(),
                "choices": [{ "index": 0, "finish_reason": finish, "stop_reason": null, "token_ids": ids,
                    "weight_versions": spans, "sampling_mask": masks, "logprobs": { "content": content } }] })
        }
        "/v1/completions" => json!({ "id": "c", "usage": usage,
            "choices": [{ "index": 0, "text": "", "finish_reason": finish, "token_ids": ids,
                "prompt_logprobs": by_place(), "logprobs": { "token_logprobs": logprobs } }] }),
        _ => {
            let token = |(id, (number, uncut)): (&u32, (&Option<f64>, &f64))| match masks {
                Some(_) => json!([uncut, id, null]),
                None => json!([number, id, null]),
            };
            let tokens: Vec<Value> = ids.iter().zip(logprobs.iter().zip(uncut)).map(token).collect();
            let inputs = prompt_scores.as_ref().map(|scores| {
                let numbers = std::iter::once(Value::Null).chain(scores.iter().map(|score| json!(score)));
                numbers.zip(prompt).map(|(number, id)| json!([number, id, null])).collect::<Vec<_>>()
            });
            json!({ "text": "", "output_ids": ids, "meta_info": { "id": "r", "completion_tokens": ids.len(),
                "finish_reason": { "type": finish }, "output_token_logprobs": tokens,
                "input_token_logprobs": inputs, "weight_version": label, "output_token_sampling_mask": masks,
                "output_token_sampling_logprobs": masks.as_ref().map(|_| logprobs) } })
        }
    }
}

//! SGLang 0.5: written to its schema, never run against a server.

use super::{Ask, Dialect, Facts, read};
use crate::http::{Client, Failure, Right};
use crate::reply::{Answer, Asked, sglang_generate, sglang_scores};
use crate::{Target, Weights};
use ruminate_data::SamplingParams;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

pub(super) struct Sglang;

#[derive(Deserialize)]
struct Tokens {
    tokens: Vec<u32>,
}

#[derive(Deserialize)]
struct Updated {
    success: bool,
    #[serde(default)]
    message: Option<String>,
}

impl Dialect for Sglang {
    fn hello(&self, client: &Client, deadline: Duration) -> Result<Facts, Failure> {
        let model: Value = read(&client.get("/model_info", deadline)?)?;
        let server: Value = match client.get("/server_info", deadline) {
            Ok(body) => read(&body)?,
            Err(Failure::Missing(_)) => Value::Null,
            Err(failure) => return Err(failure),
        };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let number = |keys: &[&str]| {
            let found = keys.iter().find_map(|key| model[key].as_u64().or(server[key].as_u64()));
            found.map(|number| number as usize)
        };
        Ok(Facts {
            model: text(&model["model_path"]).unwrap_or_default(),
            max_len: number(&["context_length", "max_total_num_tokens"]),
            vocab_size: number(&["vocab_size"]),
            // "auto" says nothing.
            dtype: text(&server["dtype"]).filter(|dtype| dtype != "auto"),
            logprobs_mode: None,
            version: text(&model["weight_version"]),
            has_token_route: true,
            returns_masks: None,
        })
    }

    fn hello_of_teacher(
        &self,
        client: &Client,
        _: Option<&str>,
        deadline: Duration,
    ) -> Result<Facts, Failure> {
        self.hello(client, deadline) // it serves one model, whatever it is called
    }

    fn tokenize(
        &self,
        client: &Client,
        _: &Facts,
        text: &str,
        deadline: Duration,
    ) -> Result<Option<Vec<u32>>, Failure> {
        let body = json!({ "prompt": text, "add_special_tokens": false });
        match client.post("/tokenize", &body, Right::Use, deadline) {
            Ok(body) => Ok(Some(read::<Tokens>(&body)?.tokens)),
            Err(Failure::Missing(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn push(&self, client: &Client, target: &Target, deadline: Duration) -> Result<(), Failure> {
        let post = |path: &str, body: &Value| client.post(path, body, Right::Admin, deadline);
        let update = |path: &str, body: &Value| {
            let updated: Updated = read(&post(path, body)?)?;
            let said = || Failure::Broken(format!("{path}: {}", updated.message.unwrap_or_default()));
            if updated.success { Ok(()) } else { Err(said()) }
        };
        match &target.push.weights {
            Weights::Folder(folder) => {
                post("/pause_generation", &json!({ "mode": "abort" }))?;
                let body =
                    json!({ "model_path": folder, "weight_version": target.label, "flush_cache": true });
                update("/update_weights_from_disk", &body)?;
                post("/continue_generation", &json!({}))?;
            }
            Weights::Adapter { name, folder, retired } => {
                let body = json!({ "lora_name": name, "lora_path": folder, "pinned": false });
                match update("/load_lora_adapter", &body) {
                    Err(Failure::Refused(400, said) | Failure::Broken(said)) if said.contains("already") => {}
                    other => other?,
                }
                for name in retired {
                    // One that is not there, as after a restart, is as good as gone.
                    let _ = post("/unload_lora_adapter", &json!({ "lora_name": name }));
                }
            }
        }
        Ok(())
    }

    fn generate(
        &self,
        client: &Client,
        _: &Facts,
        target: &Target,
        ask: &Ask,
        deadline: Duration,
    ) -> Result<Answer, Failure> {
        let SamplingParams { temperature, top_p, top_k, min_p, .. } = ask.sampling;
        let top_k = if top_k == 0 { -1 } else { top_k as i64 };
        let mut body = json!({
            "rid": ask.id, "input_ids": ask.prompt, "stream": false, "extra_key": target.label,
            "sampling_params": {
                "n": 1, "max_new_tokens": ask.max_tokens, "temperature": temperature, "top_p": top_p, "top_k": top_k,
                "min_p": min_p, "stop_token_ids": ask.stop_ids, "ignore_eos": false, "no_stop_trim": true,
                "skip_special_tokens": false, "sampling_seed": ask.seed >> 33, // 31 bits
            },
            "return_logprob": true, "logprob_start_len": -1, "top_logprobs_num": 0,
            "return_routed_experts": ask.experts.is_some(), "return_sampling_mask": ask.sampling.cuts(),
        });
        if let Some(name) = target.adapter() {
            body["lora_path"] = json!(name);
        }
        let reply = client.post("/generate", &body, Right::Use, deadline)?;
        let asked = Asked {
            prompt: &ask.prompt,
            max_tokens: ask.max_tokens,
            stop_ids: &ask.stop_ids,
            vocab_size: ask.vocab_size,
            experts: ask.experts.as_ref(),
            kept: ask.sampling.cuts(),
        };
        sglang_generate(&reply, &asked).map_err(Failure::Broken)
    }

    fn score(
        &self,
        client: &Client,
        _: &Facts,
        target: &Target,
        ids: &[u32],
        deadline: Duration,
    ) -> Result<Vec<f32>, Failure> {
        let mut body = json!({
            "input_ids": ids, "stream": false, "extra_key": format!("canary {}", target.label),
            "sampling_params": { "max_new_tokens": 1, "temperature": 1.0 },
            "return_logprob": true, "logprob_start_len": 0, "top_logprobs_num": 0,
        });
        if let Some(name) = target.adapter() {
            body["lora_path"] = json!(name);
        }
        sglang_scores(&client.post("/generate", &body, Right::Use, deadline)?, ids).map_err(Failure::Broken)
    }

    fn version(&self, client: &Client, deadline: Duration) -> Result<Option<String>, Failure> {
        let model: Value = read(&client.get("/model_info", deadline)?)?;
        Ok(model["weight_version"].as_str().map(str::to_owned))
    }

    fn abort(&self, client: &Client, ids: &[String], deadline: Duration) {
        for id in ids {
            let _ = client.post("/abort_request", &json!({ "rid": id }), Right::Admin, deadline);
        }
    }
}

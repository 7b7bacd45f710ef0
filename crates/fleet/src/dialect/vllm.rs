//! vLLM, 0.30 and later, with `VLLM_SERVER_DEV_MODE=1`: token ids by `/inference/v1/generate` (`--enable-scale-out`) or by
//! `/v1/completions`, weights from a folder by `reload_weights`, adapters by name.

use super::{Ask, Dialect, Facts, read};
use crate::http::{Client, Failure, Right};
use crate::reply::{Answer, Asked, vllm_completions, vllm_generate, vllm_scores};
use crate::{Target, Weights};
use ruminate_data::SamplingParams;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

pub(super) struct Vllm;

#[derive(Deserialize)]
struct Models {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
    max_model_len: Option<usize>,
    parent: Option<String>,
}

#[derive(Deserialize)]
struct Version {
    weight_version: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    tokens: Vec<u32>,
}

impl Dialect for Vllm {
    fn hello(&self, client: &Client, deadline: Duration) -> Result<Facts, Failure> {
        let models: Models = read(&client.get("/v1/models", deadline)?)?;
        let base = models.data.into_iter().find(|model| model.parent.is_none());
        let base = base.ok_or_else(|| Failure::Broken("`/v1/models` names no model".to_owned()))?;
        // Without the development mode there is none of it, and no way to push weights either.
        let info =
            client.get("/server_info?config_format=json", deadline).map_err(|failure| match failure {
                Failure::Missing(said) => Failure::Refused(
                    404,
                    format!("no /server_info ({said}); start the server with VLLM_SERVER_DEV_MODE=1"),
                ),
                other => other,
            })?;
        let info: Value = read(&info)?;
        let config = &info["vllm_config"]["model_config"];
        let text = |key: &str| config[key].as_str().map(str::to_owned);
        let vocab_size = ["/hf_text_config/vocab_size", "/hf_config/vocab_size"]
            .iter()
            .find_map(|path| config.pointer(path)?.as_u64().map(|size| size as usize));
        Ok(Facts {
            model: base.id,
            max_len: base.max_model_len,
            vocab_size,
            dtype: text("dtype").map(|dtype| dtype.trim_start_matches("torch.").to_owned()),
            logprobs_mode: text("logprobs_mode"),
            version: self.version(client, deadline)?,
            has_token_route: has_token_route(client, deadline)?,
            returns_masks: Some(returns_masks(config)),
        })
    }

    fn hello_of_teacher(
        &self,
        client: &Client,
        name: Option<&str>,
        deadline: Duration,
    ) -> Result<Facts, Failure> {
        let Models { data } = read(&client.get("/v1/models", deadline)?)?;
        let names: Vec<String> = data.iter().map(|model| model.id.clone()).collect();
        let named = |model: &Model| name.map_or(model.parent.is_none(), |name| model.id == name);
        let model = data.into_iter().find(named);
        let model = model.ok_or_else(|| {
            let asked = name.unwrap_or_default();
            Failure::Refused(404, format!("it serves {names:?} and not {asked:?} (`distill.remote_model`)"))
        })?;
        Ok(Facts {
            model: model.id,
            max_len: model.max_model_len,
            has_token_route: has_token_route(client, deadline)?,
            ..Facts::default()
        })
    }

    fn tokenize(
        &self,
        client: &Client,
        facts: &Facts,
        text: &str,
        deadline: Duration,
    ) -> Result<Option<Vec<u32>>, Failure> {
        let body = json!({ "model": facts.model, "prompt": text, "add_special_tokens": false });
        match client.post("/tokenize", &body, Right::Use, deadline) {
            Ok(body) => Ok(Some(read::<Tokens>(&body)?.tokens)),
            Err(Failure::Missing(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn push(&self, client: &Client, target: &Target, deadline: Duration) -> Result<(), Failure> {
        let post = |path: &str, body: &Value| client.post(path, body, Right::Admin, deadline);
        match &target.push.weights {
            Weights::Folder(folder) => {
                post("/pause?mode=abort", &Value::Null)?;
                let kwargs = json!({ "weights_path": folder });
                post("/collective_rpc", &json!({ "method": "reload_weights", "kwargs": kwargs }))?;
                post("/update_weight_version", &json!({ "new_version": target.label }))?;
                post("/resume", &Value::Null)?;
            }
            Weights::Adapter { name, folder, retired } => {
                let body = json!({ "lora_name": name, "lora_path": folder });
                match post("/v1/load_lora_adapter", &body) {
                    // The name is taken, by this run's own push of the same version: a label is never used twice.
                    Err(Failure::Refused(400, said)) if said.contains("already") => {}
                    other => drop(other?),
                }
                for name in retired {
                    // One that is not there, as after a restart, is as good as gone.
                    let _ = post("/v1/unload_lora_adapter", &json!({ "lora_name": name }));
                }
            }
        }
        Ok(())
    }

    fn generate(
        &self,
        client: &Client,
        facts: &Facts,
        target: &Target,
        ask: &Ask,
        deadline: Duration,
    ) -> Result<Answer, Failure> {
        let asked = Asked {
            prompt: &ask.prompt,
            max_tokens: ask.max_tokens,
            stop_ids: &ask.stop_ids,
            vocab_size: ask.vocab_size,
            experts: ask.experts.as_ref(),
            kept: ask.sampling.cuts(),
        };
        if facts.has_token_route {
            let mut sampling = sampling(ask);
            sampling["detokenize"] = false.into();
            if ask.experts.is_some() {
                sampling["routed_experts_prompt_start"] = 0.into();
            }
            let body = json!({
                "request_id": ask.id, "model": target.model(facts), "token_ids": ask.prompt, "stream": false,
                "output_mode": "tokens", "cache_salt": target.label, "sampling_params": sampling,
            });
            let reply = client.post("/inference/v1/generate", &body, Right::Use, deadline)?;
            return vllm_generate(&reply, &asked).map_err(Failure::Broken);
        }
        // This route does not say which weights sampled: a server that was started again says so before or behind the answer.
        let before = self.version(client, deadline)?;
        let mut body = sampling(ask);
        for (key, value) in [
            ("model", json!(target.model(facts))),
            ("prompt", json!(ask.prompt)),
            ("return_token_ids", true.into()),
            ("cache_salt", json!(target.label)),
        ] {
            body[key] = value;
        }
        let reply = client.post("/v1/completions", &body, Right::Use, deadline)?;
        let mut answer = vllm_completions(&reply, &asked).map_err(Failure::Broken)?;
        // The label behind it alone may be that of a push which cut the answer short.
        let label = match before {
            Some(label) if label != target.label => Some(label),
            _ => self.version(client, deadline)?,
        };
        if let Some(label) = label
            && !answer.ids.is_empty()
        {
            answer.versions = Some(vec![(label, 0..answer.ids.len())]);
        }
        Ok(answer)
    }

    fn score(
        &self,
        client: &Client,
        facts: &Facts,
        target: &Target,
        ids: &[u32],
        deadline: Duration,
    ) -> Result<Vec<f32>, Failure> {
        // The token that comes with it is of no use; one that returns masks wants them bounded.
        let top_k = u32::from(facts.returns_masks == Some(true));
        // Without a salt of its own, cached states would stand in for what is to be computed, and have no log-probabilities.
        let sampling = json!({
            "n": 1, "temperature": 1.0, "top_p": 1.0, "top_k": top_k, "max_tokens": 1, "prompt_logprobs": 0, "seed": 0,
        });
        let body = if facts.has_token_route {
            let mut sampling = sampling;
            sampling["logprobs"] = 0.into();
            sampling["detokenize"] = false.into();
            let body = json!({
                "model": target.model(facts), "token_ids": ids, "stream": false, "output_mode": "tokens",
                "cache_salt": format!("canary {}", target.label), "sampling_params": sampling,
            });
            client.post("/inference/v1/generate", &body, Right::Use, deadline)?
        } else {
            let mut body = sampling;
            body["model"] = json!(target.model(facts));
            body["prompt"] = json!(ids);
            body["cache_salt"] = json!(format!("canary {}", target.label));
            client.post("/v1/completions", &body, Right::Use, deadline)?
        };
        vllm_scores(&body, ids).map_err(Failure::Broken)
    }

    fn version(&self, client: &Client, deadline: Duration) -> Result<Option<String>, Failure> {
        match client.get("/weight_info", deadline) {
            Ok(body) => Ok(read::<Version>(&body)?.weight_version),
            Err(Failure::Missing(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn abort(&self, client: &Client, ids: &[String], deadline: Duration) {
        // The route puts its name before the request's.
        let ids: Vec<String> = ids.iter().map(|id| format!("generate-tokens-{id}")).collect();
        let _ = client.post("/abort_requests", &json!({ "request_ids": ids }), Right::Admin, deadline);
    }
}

/// Whether there is the route that takes token ids: it refuses an empty request, and elsewhere it is forbidden or unknown.
fn has_token_route(client: &Client, deadline: Duration) -> Result<bool, Failure> {
    match client.post("/inference/v1/generate", &json!({}), Right::Use, deadline) {
        Err(failure @ (Failure::Unreachable(_) | Failure::Late | Failure::Busy(_))) => Err(failure),
        probe => Ok(!matches!(probe, Err(Failure::Missing(_) | Failure::Refused(403 | 405, _)))),
    }
}

/// Whether it was started with `--return-sampling-mask`, which older versions call `--enable-return-sampling-mask`.
fn returns_masks(model_config: &Value) -> bool {
    let is_on = |key: &str| model_config[key].as_bool().unwrap_or(false);
    is_on("return_sampling_mask") || is_on("enable_return_sampling_mask")
}

/// Every parameter is sent: one that is left out would take the server's default.
fn sampling(ask: &Ask) -> Value {
    let SamplingParams { temperature, top_p, top_k, min_p, .. } = ask.sampling;
    json!({
        "n": 1, "temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": min_p,
        "presence_penalty": 0.0, "frequency_penalty": 0.0, "repetition_penalty": 1.0,
        "seed": ask.seed >> 1, // 63 bits
        "max_tokens": ask.max_tokens, "min_tokens": 0,
        // What ends a completion is ours to say, not the model folder's.
        "stop_token_ids": ask.stop_ids, "ignore_eos": true,
        "logprobs": 0, "skip_special_tokens": false,
    })
}

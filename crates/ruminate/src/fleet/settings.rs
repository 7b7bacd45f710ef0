//! From a recipe to what a fleet is told; keys that mean something else on a server are refused.

use super::interrupted;
use crate::error::Refusal;
use crate::recipe::Recipe;
use anyhow::Result;
use ruminate_fleet::reply::ExpertShape;
use ruminate_fleet::{Config, Kind, Secret, Setup};
use ruminate_model as model;
use ruminate_reward::{Bearer, check_address};
use ruminate_rollout::{Dtype, EngineKind, Logprobs, Speculative};
use ruminate_run::sha256_hex;
use ruminate_text::Renderer;
use serde_json::Value;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Limits of the canary, mean k3 per token in nats.
const EXACT_KL: f64 = 1e-3;
const ROUNDED_KL: f64 = 2e-2;

/// Texts that a server's tokenizer has to read as the policy's does: words, numbers, code, scripts, spaces, tags.
pub(super) const TEXTS: [&str; 20] = [
    "What is 2+2?",
    "The quick brown fox jumps over the lazy dog.",
    "1234567890",
    "3.14159 - 2.71828 = 0.42331",
    "<think>\nFirst, 12 * 7 = 84.\n</think>\n\n<answer>84</answer>",
    "def f(x):\n    return x ** 2\n",
    "{\"a\": [1, 2, null], \"b\": \"\\n\"}",
    "\\boxed{\\frac{1}{2}}",
    "  two  spaces   and\ttabs\t\t",
    "\n\n\n",
    "CamelCase snake_case kebab-case",
    "naïve café Straße",
    "Привет, мир",
    "你好,世界",
    "こんにちは",
    "مرحبا",
    "x² + y² = z²",
    "a≤b ∧ b≠c ⇒ ∃d",
    "👍🏽 emoji",
    "don't won't it's I'm",
];

/// A name that no other start of any run has: the run's, and when it was started.
pub(super) fn name(identity: &Value) -> String {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let run = sha256_hex(identity.to_string().as_bytes());
    format!("{}-{started:x}", run.chars().take(8).collect::<String>())
}

/// Whether the recipe's keys go with servers, as far as they say.
///
/// # Errors
/// With exit code 2, and the key.
pub(crate) fn check(recipe: &Recipe) -> Result<()> {
    let rollout = &recipe.rollout;
    let refused = |key: &str, found: String, expected: &str| {
        Err(Refusal::usage(format!("`{key}` is {found}; expected {expected} where servers sample")))
    };
    if rollout.engine.is_local() {
        return Ok(());
    }
    if !recipe.fleet.as_ref().is_some_and(Config::names_servers) {
        return Err(Refusal::usage(
            "`rollout.engine` samples on servers, and `fleet.servers` names none; expected addresses like \
             [\"http://127.0.0.1:8000\"], or a `fleet.servers_file`",
        ));
    }
    let cuts = rollout.sampling().cuts();
    if cuts && rollout.top_k == 0 && rollout.engine == EngineKind::Vllm {
        // Its sampling mask is what makes the policy that was sampled one that can be learned.
        return refused(
            "rollout.top_k",
            "0".to_owned(),
            "a number above 0 beside `top_p` and `min_p`, as vLLM demands,",
        );
    }
    if cuts && recipe.grpo.staleness() > 0 {
        return refused(
            "grpo.max_staleness",
            recipe.grpo.staleness().to_string(),
            "0 with `top_p`, `top_k` or `min_p`, since a push loses what was kept of completions in flight,",
        );
    }
    // What a server would compute by rules of its own, or not at all.
    let controls = [
        ("rollout.repetition_penalty", rollout.repetition_penalty != 1.0),
        ("rollout.presence_penalty", rollout.presence_penalty != 0.0),
        ("rollout.frequency_penalty", rollout.frequency_penalty != 0.0),
        ("rollout.bad_words", !rollout.bad_words.is_empty()),
        ("rollout.thought_prefix", !rollout.thought_prefix.is_empty()),
        ("rollout.thinking_budget", rollout.thinking_budget > 0),
    ];
    if let Some((key, _)) = controls.iter().find(|(_, set)| *set) {
        return refused(key, "set".to_owned(), "it left out");
    }
    if rollout.speculative != Speculative::None {
        return refused("rollout.speculative", "\"mtp\"".to_owned(), "\"none\"");
    }
    if rollout.dtype == Dtype::Int8 {
        return refused("rollout.dtype", "\"int8\"".to_owned(), "\"float32\" or \"bfloat16\"");
    }
    Ok(())
}

/// How near the log-probabilities of servers are that hold weights in a dtype.
pub(super) fn logprobs(dtype: Dtype) -> Logprobs {
    match dtype {
        Dtype::Float32 => Logprobs::Exact,
        Dtype::Bfloat16 | Dtype::Int8 => Logprobs::Approximate,
    }
}

/// What the fleet is told.
///
/// # Errors
/// With exit code 2 for a key that the environment lacks.
pub(super) fn setup(
    recipe: &Recipe,
    config: Config,
    model: &model::Config,
    renderer: &Renderer,
    name: String,
    prompt_tokens: usize,
) -> Result<Setup> {
    let rollout = &recipe.rollout;
    let kind = match rollout.engine {
        EngineKind::Sglang => Kind::Sglang,
        EngineKind::Vllm | EngineKind::Local => Kind::Vllm,
    };
    let (dtype, limit) = match rollout.dtype {
        Dtype::Float32 => ("float32", EXACT_KL),
        Dtype::Bfloat16 | Dtype::Int8 => ("bfloat16", ROUNDED_KL), // the last is refused
    };
    let logprobs = logprobs(rollout.dtype).beside(recipe.train.dtype.into());
    let replays = recipe.grpo.replays_routes(logprobs) && model.moe.is_some();
    let key = secret("fleet.key_env", config.key_env.as_deref())?;
    let admin_key = secret("fleet.admin_key_env", config.admin_key_env.as_deref())?;
    let with_key = key.is_some() || admin_key.is_some();
    // A small tokenizer has no tokens for some of them, and nothing to compare there.
    let encode = |text: &str| Some((text.to_owned(), renderer.tokenizer.encode(text).ok()?));
    Ok(Setup {
        max_canary_kl: config.max_canary_kl.unwrap_or(limit),
        config,
        kind,
        run: name,
        vocab_size: model.vocab_size,
        max_tokens: prompt_tokens + rollout.max_new_tokens,
        dtype,
        tokenizer: TEXTS.iter().copied().filter_map(encode).collect(),
        cuts: rollout.sampling().cuts().then(|| rollout.sampling()),
        experts: replays.then(|| experts(model)).flatten(),
        key,
        admin_key,
        check_address: if with_key { with_a_key } else { without_a_key },
        interrupted: Arc::new(interrupted),
    })
}

fn with_a_key(url: &str) -> Result<(), String> {
    check_address(url, Bearer::Key, "fleet.key_env")
}

fn without_a_key(url: &str) -> Result<(), String> {
    check_address(url, Bearer::None, "fleet.key_env")
}

fn experts(model: &model::Config) -> Option<ExpertShape> {
    let moe = model.moe.as_ref()?;
    Some(ExpertShape {
        num_hidden_layers: model.num_hidden_layers,
        moe_layers: (0..model.num_hidden_layers).filter(|layer| model.is_moe(*layer)).collect(),
        experts_per_token: moe.num_experts_per_tok,
        num_experts: moe.n_routed_experts,
    })
}

/// The key in a variable of the environment.
pub(super) fn secret(key: &str, name: Option<&str>) -> Result<Option<Secret>> {
    let Some(name) = name else { return Ok(None) };
    let secret = std::env::var(name).ok().and_then(|value| Secret::new(&value));
    let none = || {
        Refusal::usage(format!(
            "`{key}` is {name}, and the environment has no key in a variable of that name"
        ))
    };
    secret.map(Some).ok_or_else(none)
}

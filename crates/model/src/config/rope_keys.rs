//! Position embedding in `config.json`: `rope_parameters` of newer files, `rope_theta` and `rope_scaling` of older ones.

use super::keys::{ConfigError, Keys};
use super::{Rope, Scaling};
use serde_json::{Value, json};

/// The position embedding, in either form.
pub(super) fn rope(keys: &Keys) -> Result<Rope, ConfigError> {
    // Newer files hold theta and scaling in `rope_parameters`, older ones beside each other.
    let newer = keys.0.get("rope_parameters").filter(|value| value.is_object());
    let older = keys.0.get("rope_scaling").filter(|value| value.is_object());
    let theta = match newer.map(Keys).filter(|keys| keys.has("rope_theta")) {
        Some(inner) => inner.number("rope_theta")?,
        None => keys.number_or("rope_theta", 10_000.0)?,
    };
    if theta <= 1.0 {
        return Err(ConfigError::Value {
            key: "rope_theta",
            found: theta.to_string(),
            expected: "a number above 1".to_owned(),
        });
    }
    let Some(inner) = newer.or(older).map(Keys) else {
        return Ok(Rope { theta, scaling: Scaling::None });
    };
    if inner.0.as_object().is_some_and(|keys| keys.values().any(Value::is_object)) {
        let key = if newer.is_some() { "rope_parameters" } else { "rope_scaling" };
        return Err(keys.wrong(key, "one set for all blocks"));
    }
    inner.only("attention_factor", &[], "absent (it follows from `factor` and `mscale`)")?;
    inner.only("truncate", &[json!(true)], "true")?;
    let kind = ["rope_type", "type"].iter().find_map(|key| inner.0.get(*key)?.as_str()).unwrap_or("default");
    let original = || -> Result<f64, ConfigError> {
        Ok(match inner.optional_size("original_max_position_embeddings")? {
            Some(tokens) => tokens,
            None => keys.size_or("max_position_embeddings", 4096)?,
        } as f64)
    };
    let scaling = match kind {
        "default" => Scaling::None,
        "yarn" => Scaling::Yarn {
            factor: inner.positive_or("factor", None)?,
            original_max_position_embeddings: original()?,
            beta_fast: inner.positive_or("beta_fast", Some(32.0))?,
            beta_slow: inner.positive_or("beta_slow", Some(1.0))?,
            mscale: inner.number_or("mscale", 0.0)?,
            mscale_all_dim: inner.number_or("mscale_all_dim", 0.0)?,
        },
        "llama3" => {
            let low_freq_factor = inner.positive_or("low_freq_factor", None)?;
            let high_freq_factor = inner.positive_or("high_freq_factor", None)?;
            if high_freq_factor <= low_freq_factor {
                return Err(inner.wrong("high_freq_factor", "a number above low_freq_factor"));
            }
            Scaling::Llama3 {
                factor: inner.positive_or("factor", None)?,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings: original()?,
            }
        }
        other => {
            return Err(ConfigError::Value {
                key: "rope_scaling",
                found: format!("{other:?}"),
                expected: "default, yarn or llama3".to_owned(),
            });
        }
    };
    Ok(Rope { theta, scaling })
}

/// `rope_scaling` of the older form, which every version of transformers reads.
pub(super) fn rope_scaling_json(scaling: Scaling) -> Value {
    match scaling {
        Scaling::None => Value::Null,
        Scaling::Yarn {
            factor,
            original_max_position_embeddings,
            beta_fast,
            beta_slow,
            mscale,
            mscale_all_dim,
        } => json!({
            "rope_type": "yarn",
            "factor": factor,
            "original_max_position_embeddings": original_max_position_embeddings as u64,
            "beta_fast": beta_fast,
            "beta_slow": beta_slow,
            "mscale": mscale,
            "mscale_all_dim": mscale_all_dim,
        }),
        Scaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
            json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low_freq_factor,
                "high_freq_factor": high_freq_factor,
                "original_max_position_embeddings": original_max_position_embeddings as u64,
            })
        }
    }
}

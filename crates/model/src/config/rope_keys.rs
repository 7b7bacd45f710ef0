//! Position embedding in `config.json`: `rope_parameters` of newer files, `rope_theta` and `rope_scaling` of older ones,
//! in the order in which transformers takes them (`modeling_rope_utils.py`, 5.24). A key of the table is read, known to
//! change nothing, or refused.

use super::keys::{ConfigError, Keys, is_off, shown};
use super::{Family, LongRope, Rope, Scaling, defaults};
use serde_json::{Map, Value, json};

/// Keys of the table that are read, or that transformers reads under another `rope_type` only.
const KNOWN: [&str; 16] = [
    "rope_type",
    "type",
    "rope_theta",
    "factor",
    "original_max_position_embeddings",
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "mscale",
    "mscale_all_dim",
    "truncate",
    "low_freq_factor",
    "high_freq_factor",
    "partial_rotary_factor",
    "short_factor",
    "long_factor",
];

/// Of the first YaRN models: says that the weights were tuned for it.
const HARMLESS: &str = "finetuned";

/// Frequencies are divided by the factor, and angles are 32-bit floats.
const LEAST_FACTOR: f64 = 1e-6;

/// The position embedding, in either form; `theta` is the base of the frequencies where a file says nothing.
pub(super) fn rope(
    keys: &Keys,
    family: Family,
    max_position_embeddings: usize,
    theta: f64,
) -> Result<Rope, ConfigError> {
    let chosen = table(keys)?;
    let theta = match &chosen {
        Some((_, inner)) if inner.has("rope_theta") => inner.number("rope_theta")?,
        _ => keys.number_or("rope_theta", theta)?,
    };
    if theta <= 1.0 {
        return Err(ConfigError::Value {
            key: "rope_theta",
            found: theta.to_string(),
            expected: "a number above 1".to_owned(),
        });
    }
    let scaling = match chosen {
        Some((name, inner)) => scaling(keys, family, name, &inner, max_position_embeddings)?,
        None => Scaling::None,
    };
    Ok(Rope { theta, scaling })
}

/// The table that counts: `rope_scaling` where it says anything, since transformers puts it in the place of the other.
pub(super) fn table<'a>(keys: &Keys<'a>) -> Result<Option<(&'static str, Keys<'a>)>, ConfigError> {
    for key in ["rope_scaling", "rope_parameters"] {
        match keys.0.get(key) {
            Some(value) if is_off(value) => {}
            Some(value @ Value::Object(_)) => return Ok(Some((key, Keys(value)))),
            Some(_) => return Err(keys.wrong(key, "a table of positions, or null")),
            None => {}
        }
    }
    Ok(None)
}

/// What lengths are stretched by.
fn factor(table: &Keys) -> Result<f64, ConfigError> {
    let factor = table.positive_or("factor", None)?;
    if factor < LEAST_FACTOR { Err(table.wrong("factor", "a number from 0.000001")) } else { Ok(factor) }
}

fn scaling(
    keys: &Keys,
    family: Family,
    name: &'static str,
    inner: &Keys,
    max_position_embeddings: usize,
) -> Result<Scaling, ConfigError> {
    let entries = || inner.0.as_object().into_iter().flat_map(Map::iter);
    if entries().any(|(_, value)| value.as_object().is_some_and(|inner| !inner.contains_key("__float__"))) {
        return Err(keys.wrong(name, "one set for all blocks"));
    }
    let unknown = |key: &str| !KNOWN.contains(&key) && key != HARMLESS;
    if let Some((key, value)) = entries().find(|(key, value)| unknown(key) && !is_off(value)) {
        let key = key.chars().take(80).collect();
        return Err(ConfigError::Unknown { table: name, key, found: shown(value) });
    }
    if family.traits().rotated_share.is_none() {
        inner.only("partial_rotary_factor", &[json!(1), json!(1.0)], "1 (all of a head is rotated)")?;
    }
    let kind = match ["rope_type", "type"].into_iter().find(|key| inner.has(key)) {
        None => "default",
        Some(key) => inner.0[key].as_str().ok_or_else(|| inner.wrong(key, "a name, such as \"yarn\""))?,
    };
    if family == Family::Phi3 {
        return long_rope(keys, name, inner, kind, max_position_embeddings);
    }
    // What stands beside the table comes before what stands in it.
    let original = || -> Result<f64, ConfigError> {
        const KEY: &str = "original_max_position_embeddings";
        let stated = match keys.optional_size(KEY)? {
            Some(tokens) => Some(tokens),
            None => inner.optional_size(KEY)?,
        };
        Ok(stated.unwrap_or(max_position_embeddings) as f64)
    };
    Ok(match kind {
        "default" => Scaling::None,
        "yarn" => {
            inner.only("truncate", &[json!(true)], "true")?;
            if inner.is_null("truncate") {
                return Err(inner.wrong("truncate", "true"));
            }
            let original_max_position_embeddings = original()?;
            Scaling::Yarn {
                factor: if inner.is_null("factor") {
                    max_position_embeddings as f64 / original_max_position_embeddings
                } else {
                    factor(inner)?
                },
                original_max_position_embeddings,
                beta_fast: inner.positive_unless_zero("beta_fast", 32.0)?,
                beta_slow: inner.positive_unless_zero("beta_slow", 1.0)?,
                mscale: inner.number_or("mscale", 0.0)?,
                mscale_all_dim: inner.number_or("mscale_all_dim", 0.0)?,
                attention_factor: if inner.has("attention_factor") {
                    Some(inner.positive_or("attention_factor", None)?)
                } else {
                    None
                },
            }
        }
        "dynamic" => Scaling::Dynamic { factor: factor(inner)? },
        "llama3" => {
            let low_freq_factor = inner.positive_or("low_freq_factor", None)?;
            let high_freq_factor = inner.positive_or("high_freq_factor", None)?;
            if high_freq_factor <= low_freq_factor {
                return Err(inner.wrong("high_freq_factor", "a number above low_freq_factor"));
            }
            Scaling::Llama3 {
                factor: factor(inner)?,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings: original()?,
            }
        }
        other => {
            return Err(ConfigError::Value {
                key: name,
                found: shown(&json!(other)),
                expected: "default, dynamic, yarn or llama3".to_owned(),
            });
        }
    })
}

/// Phi-3's table: plain, or LongRoPE, for which its class takes `su` and `yarn`, too.
fn long_rope(
    keys: &Keys,
    name: &'static str,
    inner: &Keys,
    kind: &str,
    max_position_embeddings: usize,
) -> Result<Scaling, ConfigError> {
    if kind == "default" {
        return Ok(Scaling::None);
    }
    if !["longrope", "su", "yarn"].contains(&kind) {
        return Err(ConfigError::Value {
            key: name,
            found: shown(&json!(kind)),
            expected: "default or longrope, in this family".to_owned(),
        });
    }
    let factors = |key: &'static str| -> Result<Vec<f64>, ConfigError> {
        let list = inner.0.get(key).ok_or(ConfigError::Missing { key })?.as_array();
        let number = |value: &Value| value.as_f64().filter(|number| (LEAST_FACTOR..1e9).contains(number));
        let numbers: Option<Vec<f64>> = list.and_then(|list| list.iter().map(number).collect());
        numbers.ok_or_else(|| inner.wrong(key, "a list of numbers from 0.000001, below 1e9"))
    };
    // The class has a default for the key beside the table, which therefore counts.
    let original = keys.size_or("original_max_position_embeddings", defaults::ORIGINAL_POSITIONS)?;
    if original < 2 {
        return Err(keys.wrong("original_max_position_embeddings", "at least 2"));
    }
    Ok(Scaling::LongRope(Box::new(LongRope {
        short_factor: factors("short_factor")?,
        long_factor: factors("long_factor")?,
        original_max_position_embeddings: original,
        max_position_embeddings,
        factor: if inner.has("factor") { Some(factor(inner)?) } else { None },
        attention_factor: if inner.has("attention_factor") {
            Some(inner.positive_or("attention_factor", None)?)
        } else {
            None
        },
    })))
}

/// `rope_scaling` of the older form, which every version of transformers reads.
pub(super) fn rope_scaling_json(scaling: &Scaling) -> Value {
    match *scaling {
        Scaling::None => Value::Null,
        Scaling::Dynamic { factor } => json!({ "rope_type": "dynamic", "factor": factor }),
        Scaling::LongRope(ref long) => {
            let mut json = json!({
                "rope_type": "longrope",
                "short_factor": long.short_factor,
                "long_factor": long.long_factor,
            });
            for (key, value) in [("factor", long.factor), ("attention_factor", long.attention_factor)] {
                if let Some(value) = value {
                    json[key] = json!(value);
                }
            }
            json
        }
        Scaling::Yarn {
            factor,
            original_max_position_embeddings,
            beta_fast,
            beta_slow,
            mscale,
            mscale_all_dim,
            attention_factor,
        } => {
            let mut json = json!({
                "rope_type": "yarn",
                "factor": factor,
                "original_max_position_embeddings": original_max_position_embeddings as u64,
                "beta_fast": beta_fast,
                "beta_slow": beta_slow,
            });
            // Zero is what a file without them means.
            for (key, value) in [("mscale", mscale), ("mscale_all_dim", mscale_all_dim)] {
                if value != 0.0 {
                    json[key] = json!(value);
                }
            }
            if let Some(factor) = attention_factor {
                json["attention_factor"] = json!(factor);
            }
            json
        }
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

//! What a `config.json` leaves out, and the order of its rope keys, against transformers' own classes
//! (`fixtures/model/make_defaults.py`).

use ruminate_model::{Config, ConfigError};
use ruminate_testkit as testkit;
use serde_json::{Map, Value, json};

/// Sizes that every published file states: no default stands in for them.
const STATED: [&str; 17] = [
    "hidden_size",
    "intermediate_size",
    "kv_lora_rank",
    "moe_intermediate_size",
    "n_routed_experts",
    "n_shared_experts",
    "num_attention_heads",
    "num_experts",
    "num_experts_per_tok",
    "num_hidden_layers",
    "num_local_experts",
    "qk_nope_head_dim",
    "qk_rope_head_dim",
    "shared_expert_intermediate_size",
    "v_head_dim",
    "vocab_size",
    "model_type",
];

fn families() -> Map<String, Value> {
    testkit::json("model/defaults.json")
}

#[test]
fn a_key_that_is_left_out_is_the_default_of_transformers_class_or_missing() {
    for (family, of) in families() {
        for made in ["defaults", "small"] {
            let whole = &of[made];
            let config = Config::from_json(whole).unwrap_or_else(|error| panic!("{family} {made}: {error}"));
            for key in whole.as_object().expect("an object").keys() {
                let mut without = whole.clone();
                without.as_object_mut().expect("an object").shift_remove(key);
                // One that was given is no default.
                let given = made == "small" && of["given"].get(key).is_some();
                match Config::from_json(&without) {
                    Ok(same) => assert!(given || same == config, "{family} {made} without {key}: {same:?}"),
                    Err(ConfigError::Missing { key: named }) => {
                        assert!(STATED.contains(&key.as_str()), "{family} {made} without {key}");
                        assert!(named == key || named == "num_experts", "{key} is named {named}");
                    }
                    Err(ConfigError::Family { .. }) => assert_eq!(key, "model_type"),
                    Err(error) => assert!(given, "{family} {made} without {key}: {error}"),
                }
            }
        }
    }
}

#[test]
fn sizes_alone_are_the_class_made_of_them() {
    for (family, of) in families() {
        let mut given = of["given"].clone();
        given["model_type"] = json!(family);
        let small = Config::from_json(&of["small"]).expect("the class's own");
        assert_eq!(Config::from_json(&given).expect("sizes are enough"), small, "{family}");
    }
}

#[test]
fn null_is_what_it_means_to_transformers() {
    let with = |family: &str, key: &str| {
        let mut json = families()[family]["small"].clone();
        json[key] = Value::Null;
        Config::from_json(&json)
    };
    let mla = |config: Config| match config.attention {
        ruminate_model::Attention::Mla(mla) => mla.q_lora_rank,
        ruminate_model::Attention::Gqa(_) => panic!("latent attention"),
    };
    assert_eq!(mla(with("deepseek_v3", "q_lora_rank").expect("queries are projected directly")), None);
    for family in ["llama", "qwen2", "qwen3", "phi3", "olmo2", "internlm3"] {
        let config = with(family, "num_key_value_heads").expect("one per query head");
        let ruminate_model::Attention::Gqa(gqa) = config.attention else { panic!("grouped queries") };
        assert_eq!(gqa.num_key_value_heads, gqa.num_attention_heads, "{family}");
    }
    // There transformers cannot compute it, or versions of it differ.
    for (family, key) in
        [("qwen3_moe", "num_key_value_heads"), ("mixtral", "num_key_value_heads"), ("qwen3", "head_dim")]
    {
        let missing = with(family, key);
        assert!(
            matches!(missing, Err(ConfigError::Missing { key: named }) if named == key),
            "{family} {missing:?}"
        );
    }
    assert!(with("llama", "eos_token_id").expect("no end").eos_token_ids.is_empty());
}

#[test]
fn rope_tables_give_the_frequencies_of_transformers_in_every_order() {
    let rows: Vec<Value> = testkit::json("model/positions.json");
    assert_eq!(rows.len(), 108);
    for row in rows {
        let config = Config::from_json(&row["config"]).unwrap_or_else(|error| panic!("{error}: {row}"));
        let expected: Vec<f32> = serde_json::from_value(row["inv_freq"].clone()).expect("numbers");
        let actual = config.rope.frequencies(config.rotary_width());
        assert_eq!(actual.len(), expected.len());
        for (actual, expected) in actual.iter().zip(&expected) {
            assert!(
                (actual / expected - 1.0).abs() < 1e-5,
                "{actual} instead of {expected}: {}",
                row["config"]
            );
        }
        let factor = row["attention_scaling"].as_f64().expect("a number");
        assert!((config.rope.angle_factor() - factor).abs() < 1e-6, "{}", row["config"]);

        // What we write has one table, so that no order is left to a reader.
        let written = config.to_json();
        assert_eq!(Config::from_json(&written).expect("ours"), config);
        assert!(written.get("rope_parameters").is_none(), "{written}");
        // Phi-3's class looks for it beside the table.
        let beside = written["rope_scaling"]["rope_type"] == "longrope";
        assert_eq!(written.get("original_max_position_embeddings").is_some(), beside, "{written}");
    }
}

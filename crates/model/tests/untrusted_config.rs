//! The config.json of a model folder comes from anywhere: whatever is in it, the answer is an architecture or an error
//! that names what is wrong.

use proptest::prelude::*;
use ruminate_model::{Config, ConfigError};
use ruminate_testkit as testkit;
use serde_json::{Value, json};

const CASES: [&str; 14] = [
    "deepseek_v3_plain/config.json",
    "deepseek_v3_full/hub_config.json",
    "deepseek_v3_mtp/config.json",
    "llama_rope3/config.json",
    "qwen2/config.json",
    "qwen3/config.json",
    "qwen3_moe/config.json",
    "phi3/config.json",
    "phi3_longrope/config.json",
    "glm4_moe/config.json",
    "dots1/config.json",
    "mixtral/config.json",
    "qwen2_moe/config.json",
    "internlm3/config.json",
];

fn config(name: &str) -> Value {
    testkit::json(&format!("model/{name}"))
}

/// The valid configuration of a case with some keys replaced; null removes what a key says.
fn with(name: &str, changes: &Value) -> Result<Config, ConfigError> {
    let mut json = config(name);
    for (key, value) in changes.as_object().expect("changes are an object") {
        json[key] = value.clone();
    }
    Config::from_json(&json)
}

#[test]
fn both_generations_of_config_json_say_the_same() {
    let newer = Config::from_json(&config("deepseek_v3_full/config.json")).expect("valid");
    let older = Config::from_json(&config("deepseek_v3_full/hub_config.json")).expect("valid");
    assert_eq!(newer, older);
}

#[test]
fn what_we_write_we_read_as_the_same_architecture() {
    for name in CASES {
        let config = Config::from_json(&config(name)).expect(name);
        assert_eq!(Config::from_json(&config.to_json()).expect(name), config, "{name}");
    }
}

/// The table of `phi3_longrope` with a key replaced.
fn long_rope(key: &str, value: Value) -> Value {
    let mut table = config("phi3_longrope/config.json")["rope_parameters"].clone();
    table[key] = value;
    json!({"rope_parameters": table})
}

#[test]
fn a_family_that_is_not_read_is_refused_with_the_part_that_is_lacking() {
    for (model_type, part) in [
        ("gemma3_text", "sliding-window attention, gains of norms around 1"),
        ("gpt_oss", "attention sinks"),
        ("olmo3", "sliding-window attention"),
        ("qwen3_next", "linear attention with a gated delta rule"),
        ("qwen2_5_vl", "a vision tower"),
        ("arcee", "a feed-forward layer without a gate"),
    ] {
        let error = Config::from_json(&json!({"model_type": model_type})).expect_err("not read").to_string();
        assert!(error.contains(&format!("for which the decoder lacks {part}")), "{error}");
        assert!(error.contains("expected one of deepseek_v3, dots1, glm4_moe, granite"), "{error}");
    }
    let error = Config::from_json(&json!({"model_type": "quux"})).expect_err("unknown").to_string();
    assert!(error.contains("model_type is \"quux\"; expected one of"), "{error}");
}

/// Each case, a fixture with changes, is refused by that key.
fn refused(cases: &[(&str, &str, Value)]) {
    for (name, expected, changes) in cases {
        match with(&format!("{name}/config.json"), changes) {
            Err(ConfigError::Value { key, .. }) => assert_eq!(key, *expected, "{changes}"),
            other => panic!("{changes}: {other:?}"),
        }
    }
}

#[test]
fn a_value_that_cannot_be_is_refused_by_its_key() {
    let cases = [
        ("deepseek_v3_plain", "hidden_size", json!({"hidden_size": 0})),
        ("deepseek_v3_plain", "hidden_size", json!({"hidden_size": "16"})),
        ("deepseek_v3_plain", "vocab_size", json!({"vocab_size": 1_u64 << 40})),
        ("deepseek_v3_plain", "vocab_size", json!({"vocab_size": -1})),
        ("deepseek_v3_plain", "num_attention_heads", json!({"num_attention_heads": 0})),
        ("deepseek_v3_plain", "q_lora_rank", json!({"q_lora_rank": 0})),
        ("deepseek_v3_plain", "qk_rope_head_dim", json!({"qk_rope_head_dim": 7})),
        ("deepseek_v3_plain", "rope_interleave", json!({"rope_interleave": false})),
        ("deepseek_v3_full", "n_group", json!({"n_group": 3})),
        ("deepseek_v3_full", "topk_group", json!({"topk_group": 5})),
        ("deepseek_v3_full", "num_experts_per_tok", json!({"num_experts_per_tok": 5})),
        ("deepseek_v3_full", "n_routed_experts", json!({"n_routed_experts": 65_536})),
        ("deepseek_v3_plain", "num_nextn_predict_layers", json!({"num_nextn_predict_layers": 2})),
        ("llama_tied", "num_key_value_heads", json!({"num_key_value_heads": 3})),
        ("llama_tied", "head_dim", json!({"hidden_size": 2, "head_dim": null})),
        ("llama_tied", "hidden_act", json!({"hidden_act": "gelu"})),
        ("llama_tied", "eos_token_id", json!({"eos_token_id": [1, "two"]})),
        ("llama_tied", "rope_theta", json!({"rope_parameters": {"rope_theta": 1.0}})),
        ("llama_tied", "rope_parameters", json!({"rope_parameters": {"rope_type": "longrope"}})),
        ("llama_tied", "rope_scaling", json!({"rope_scaling": {"type": "linear", "factor": 2}})),
        ("llama_tied", "rope_scaling", json!({"rope_scaling": "yarn"})),
        ("llama_tied", "rope_type", json!({"rope_scaling": {"rope_type": 1}})),
        ("llama_tied", "partial_rotary_factor", json!({"rope_parameters": {"partial_rotary_factor": 0.5}})),
        ("llama_tied", "per_layer_config", json!({"per_layer_config": {"1": {"head_dim": 4}}})),
        ("llama_tied", "eos_token_id", json!({"eos_token_id": 40})),
        ("llama_tied", "eos_token_id", json!({"eos_token_id": [1, 40]})),
        ("llama_tied", "bos_token_id", json!({"bos_token_id": 40})),
        ("llama_tied", "pad_token_id", json!({"pad_token_id": 40})),
        ("llama_tied", "pad_token_id", json!({"pad_token_id": -2})),
        ("deepseek_v3_plain", "num_key_value_heads", json!({"num_key_value_heads": 1})),
        ("deepseek_v3_plain", "num_local_experts", json!({"num_local_experts": 5})),
        ("llama_tied", "factor", json!({"rope_parameters": {"rope_type": "yarn", "factor": 0}})),
        ("llama_tied", "factor", json!({"rope_parameters": {"rope_type": "yarn", "factor": 1.2e-308}})),
        (
            "llama_tied",
            "attention_factor",
            json!({"rope_parameters": {"rope_type": "yarn", "factor": 4, "attention_factor": "one"}}),
        ),
        (
            "llama_tied",
            "truncate",
            json!({"rope_parameters": {"rope_type": "yarn", "factor": 2, "truncate": false}}),
        ),
        ("llama_tied", "rope_parameters", json!({"rope_parameters": {"full_attention": {"rope_theta": 5}}})),
        ("deepseek_v3_plain", "attention_bias", json!({"attention_bias": true})),
        ("llama_tied", "attention_bias", json!({"attention_bias": 1})),
        ("qwen2", "mlp_bias", json!({"mlp_bias": true})),
        ("mistral", "mlp_bias", json!({"mlp_bias": true})),
        // Of 64 positions.
        ("mistral", "sliding_window", json!({"sliding_window": 63})),
        ("mistral", "sliding_window", json!({"sliding_window": 4096, "max_position_embeddings": 4097})),
        ("smollm3", "no_rope_layers", json!({"no_rope_layers": [1, 0]})),
        ("smollm3", "no_rope_layers", json!({"no_rope_layers": [1, 0, 2]})),
        ("smollm3", "no_rope_layers", json!({"no_rope_layers": "all"})),
        ("seed_oss", "attention_out_bias", json!({"attention_bias": false, "attention_out_bias": true})),
        ("granite", "residual_multiplier", json!({"residual_multiplier": 0})),
        ("granite", "logits_scaling", json!({"logits_scaling": -1.0})),
        ("llama_tied", "partial_rotary_factor", json!({"partial_rotary_factor": 0.5})),
        ("qwen2", "use_sliding_window", json!({"use_sliding_window": true})),
        ("qwen2", "layer_types", json!({"layer_types": ["full_attention", "sliding_attention"]})),
        ("qwen3", "mlp_bias", json!({"mlp_bias": true})),
        ("qwen3_moe", "mlp_only_layers", json!({"mlp_only_layers": [0]})),
        ("deepseek_v3_plain", "scoring_func", json!({"scoring_func": "softmax"})),
        ("deepseek_v3_plain", "topk_method", json!({"topk_method": "greedy"})),
        ("deepseek_v3_plain", "moe_layer_freq", json!({"moe_layer_freq": 2})),
        ("qwen3_moe", "decoder_sparse_step", json!({"decoder_sparse_step": 2})),
        ("qwen2_moe", "mlp_only_layers", json!({"mlp_only_layers": [1]})),
        ("qwen2_moe", "decoder_sparse_step", json!({"decoder_sparse_step": 2})),
        ("qwen2_moe", "num_experts_per_tok", json!({"num_experts_per_tok": 7})),
    ];
    refused(&cases);
}

#[test]
fn so_is_one_of_the_parts_that_few_families_have() {
    let cases = [
        // Of 64 positions, and of the 24 that LongRoPE's short factors are for.
        ("phi3", "sliding_window", json!({"sliding_window": 63})),
        ("phi3_longrope", "sliding_window", json!({"sliding_window": 23})),
        ("mixtral", "sliding_window", json!({"sliding_window": 63})),
        (
            "dots1",
            "sliding_window",
            json!({"sliding_window": 63, "layer_types": null, "max_window_layers": 2}),
        ),
        (
            "dots1",
            "layer_types",
            json!({"layer_types": ["full_attention", "full_attention", "sliding_attention"]}),
        ),
        ("phi3", "partial_rotary_factor", json!({"rope_parameters": {"partial_rotary_factor": 1.5}})),
        ("phi3", "partial_rotary_factor", json!({"rope_parameters": {"partial_rotary_factor": 0.1}})),
        ("phi3", "partial_rotary_factor", json!({"rope_parameters": {"partial_rotary_factor": 0.4}})),
        ("phi3", "partial_rotary_factor", json!({"rope_parameters": null, "partial_rotary_factor": 0})),
        ("phi3", "rope_parameters", json!({"rope_parameters": {"rope_type": "llama3"}})),
        ("phi3_longrope", "short_factor", long_rope("short_factor", json!([1, 1]))),
        ("phi3_longrope", "short_factor", long_rope("short_factor", json!([1, 1, "x"]))),
        ("phi3_longrope", "short_factor", long_rope("short_factor", json!(2))),
        ("phi3_longrope", "long_factor", long_rope("long_factor", json!([1, 0, 1]))),
        ("phi3_longrope", "long_factor", long_rope("long_factor", json!([1, 1, 1, 1]))),
        ("phi3_longrope", "attention_factor", long_rope("attention_factor", json!(0))),
        ("phi3_longrope", "original_max_position_embeddings", json!({"original_max_position_embeddings": 1})),
        ("internlm3", "attention_bias", json!({"mlp_bias": false})),
        ("internlm3", "qkv_bias", json!({"qkv_bias": false})),
        ("internlm3", "bias", json!({"bias": false})),
        ("glm4_moe", "num_nextn_predict_layers", json!({"num_nextn_predict_layers": 2})),
        ("glm4_moe", "use_qk_norm", json!({"use_qk_norm": 1})),
        ("dots1", "n_group", json!({"n_group": 4})),
        ("mixtral", "num_experts", json!({"num_experts": 5})),
        ("olmo2", "hidden_act", json!({"hidden_act": "gelu"})),
    ];
    refused(&cases);
}

#[test]
fn a_key_of_a_rope_table_that_no_rule_reads_is_refused_unless_it_is_off() {
    for table in ["rope_scaling", "rope_parameters"] {
        for value in [json!([16, 24, 24]), json!(0.25), json!(true), json!("x"), json!(0)] {
            let changes =
                json!({"rope_scaling": null, table: {"rope_type": "default", "mrope_section": value}});
            match with("llama_tied/config.json", &changes) {
                Err(ConfigError::Unknown { table: named, key, .. }) => {
                    assert_eq!((named, key.as_str()), (table, "mrope_section"));
                }
                other => panic!("{changes}: {other:?}"),
            }
        }
        for off in [json!(null), json!(false), json!([]), json!("")] {
            let changes =
                json!({"rope_scaling": null, table: {"rope_type": "default", "mrope_section": off}});
            with("llama_tied/config.json", &changes).expect("it says that it is not used");
        }
    }
}

#[test]
fn a_padding_token_counted_from_the_end_is_pytorchs() {
    with("llama_tied/config.json", &json!({"pad_token_id": -1})).expect("the last row");
    with("llama_tied/config.json", &json!({"pad_token_id": 39, "bos_token_id": 0})).expect("in range");
}

#[test]
fn an_absent_key_and_an_unknown_family_have_their_own_errors() {
    let absent = with("deepseek_v3_plain/config.json", &json!({"kv_lora_rank": null}));
    assert!(matches!(absent, Err(ConfigError::Missing { key: "kv_lora_rank" })), "{absent:?}");
    for json in [json!({"model_type": "mamba"}), json!({}), json!([1, 2]), json!("deepseek_v3"), Value::Null]
    {
        let unknown = Config::from_json(&json);
        assert!(matches!(unknown, Err(ConfigError::Family { .. })), "{json}: {unknown:?}");
    }
}

#[test]
fn without_a_query_rank_queries_are_projected_directly() {
    use ruminate_model::Attention;
    let direct = with("deepseek_v3_full/config.json", &json!({"q_lora_rank": null})).expect("valid");
    assert!(matches!(direct.attention, Attention::Mla(mla) if mla.q_lora_rank.is_none()));
}

/// Keys that files may have and these have not.
const OTHER_KEYS: [&str; 8] = [
    "rope_scaling",
    "rope_parameters",
    "rope_theta",
    "original_max_position_embeddings",
    "partial_rotary_factor",
    "num_local_experts",
    "num_mtp_layers",
    "pad_token_id",
];

fn scalars() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop::sample::select(vec![0_i64, 1, 2, 3, 7, 8, 16, 64, -1, 1 << 28, 1 << 32, i64::MAX])
            .prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9_]{0,12}".prop_map(Value::from),
    ]
}

fn values() -> impl Strategy<Value = Value> {
    let rope = [
        "rope_type",
        "type",
        "factor",
        "rope_theta",
        "beta_fast",
        "mscale",
        "low_freq_factor",
        "attention_factor",
        "original_max_position_embeddings",
        "truncate",
        "partial_rotary_factor",
        "short_factor",
    ];
    let kinds = prop::sample::select(vec!["default", "yarn", "llama3", "linear", "dynamic", "longrope"]);
    let whole = json!({
        "factor": 4, "original_max_position_embeddings": 16, "low_freq_factor": 1, "high_freq_factor": 4,
        "short_factor": [1, 2, 3], "long_factor": [4, 5.5, 6], "partial_rotary_factor": 0.75,
    });
    prop_oneof![
        4 => scalars(),
        1 => prop::collection::vec(scalars(), 0..4).prop_map(Value::from),
        // A whole table with one key spoilt.
        2 => (kinds, prop::sample::select(rope.to_vec()), scalars()).prop_map(move |(kind, key, value)| {
            let mut table = whole.clone();
            table["rope_type"] = json!(kind);
            table[key] = value;
            table
        }),
        1 => prop::collection::hash_map(prop::sample::select(rope.to_vec()), scalars(), 0..4)
            .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_config_is_refused_or_builds_what_it_says(
        case in prop::sample::select(CASES.to_vec()),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), values()), 1..4),
    ) {
        let mut json = config(case);
        for (key, value) in mutations {
            let mut keys: Vec<String> = json.as_object().expect("an object").keys().cloned().collect();
            keys.extend(OTHER_KEYS.map(str::to_owned));
            json[&keys[key.index(keys.len())]] = value;
        }
        if let Ok(config) = Config::from_json(&json) {
            prop_assert_eq!(Config::from_json(&config.to_json()).expect("ours"), config.clone());
            prop_assert!(config.softmax_scale().is_finite());
            if config.rotary_width() <= 1024 {
                let frequencies = config.rope.frequencies(config.rotary_width());
                prop_assert!(frequencies.iter().all(|frequency| frequency.is_finite()));
                prop_assert!(config.rope.angle_factor().is_finite());
            }
        }
    }
}

#[test]
fn blocks_that_are_only_claimed_take_no_memory() {
    for interval in [1, 4, 1 << 28] {
        let changes = json!({
            "num_hidden_layers": (1 << 28) - 1, "no_rope_layers": null, "no_rope_layer_interval": interval,
        });
        let config = with("smollm3/config.json", &changes).expect("a configuration");
        let json = config.to_json();
        assert!(json.to_string().len() < 10_000, "a rule, not a list");
        assert_eq!(Config::from_json(&json).expect("ours"), config);
    }
}

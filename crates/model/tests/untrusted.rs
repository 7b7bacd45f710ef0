//! Model folders come from anywhere: whatever is in them, the answer is a model or an error that names what is
//! wrong. Never a panic, and never memory for what a file only claims.

mod common;

use common::{copy, set};
use proptest::prelude::*;
use ruminate_model::{Config, ConfigError, LoadError, load};
use ruminate_testkit as testkit;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

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
    for (name, expected, changes) in cases {
        match with(&format!("{name}/config.json"), &changes) {
            Err(ConfigError::Value { key, .. }) => assert_eq!(key, expected, "{changes}"),
            other => panic!("{changes}: {other:?}"),
        }
    }
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

fn refusal(folder: &Path) -> LoadError {
    load(folder, &testkit::device()).expect_err("a spoilt folder")
}

/// A safetensors file from its parts: length of the header, header, data.
fn file(length: u64, header: &str, data: &[u8]) -> Vec<u8> {
    [length.to_le_bytes().as_slice(), header.as_bytes(), data].concat()
}

/// Replaces a text in a file's header by one of the same length.
fn edit_header(folder: &Path, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let path = folder.join("model.safetensors");
    let mut bytes = fs::read(&path).expect("readable");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header = String::from_utf8(bytes[8..8 + length].to_vec()).expect("a text");
    assert!(header.contains(from), "{header}");
    bytes[8..8 + length].copy_from_slice(header.replacen(from, to, 1).as_bytes());
    fs::write(path, bytes).expect("written");
}

#[test]
fn a_file_cut_anywhere_is_not_a_safetensors_file() {
    let folder = copy("llama_tied");
    let path = folder.path().join("model.safetensors");
    let whole = fs::read(&path).expect("readable");
    for length in [0, 7, 8, 9, 500, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).expect("written");
        let error = refusal(folder.path());
        assert!(matches!(error, LoadError::Safetensors { .. }), "{length}: {error}");
    }
}

#[test]
fn a_header_that_lies_is_refused() {
    let folder = copy("llama_tied");
    let entry = |shape: &str, end: u64| {
        format!(r#"{{"norm.weight":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}}}"#)
    };
    let cases = [
        file(1 << 63, "{}", &[]),
        file(u64::MAX, "{}", &[]),
        file(2, "{}", &[]),
        file(2, "[]", &[]),
        file(4, "\u{fffd}{", &[]),
        file(entry("[2]", 8).len() as u64, &entry("[2]", 8), &[0; 4]),
        file(entry("[3]", 8).len() as u64, &entry("[3]", 8), &[0; 8]),
        file(
            entry("[4294967296,4294967296,4]", 8).len() as u64,
            &entry("[4294967296,4294967296,4]", 8),
            &[0; 8],
        ),
    ];
    for (i, bytes) in cases.iter().enumerate() {
        fs::write(folder.path().join("model.safetensors"), bytes).expect("written");
        let error = refusal(folder.path());
        // An empty file is a valid one that has none of the tensors.
        let expected =
            matches!((i, &error), (2, LoadError::Tensors { .. }) | (_, LoadError::Safetensors { .. }));
        assert!(expected, "{i}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_flipped_byte_of_a_header_makes_loading_panic(
        place in 0_usize..4000,
        byte in any::<u8>(),
    ) {
        let folder = copy("deepseek_v3_mtp");
        let path = folder.path().join("model.safetensors");
        let mut bytes = fs::read(&path).expect("readable");
        bytes[place] = byte;
        fs::write(&path, bytes).expect("written");
        drop(load(folder.path(), &testkit::device()));
    }
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let norm = "model.layers.0.input_layernorm.weight";

    let renamed = copy("llama_tied");
    edit_header(renamed.path(), norm, "model.layers.9.input_layernorm.weight");
    match refusal(renamed.path()) {
        LoadError::Tensors { missing, .. } => assert_eq!(missing, [norm]),
        other => panic!("{other}"),
    }

    let renamed = copy("llama_tied");
    edit_header(renamed.path(), "layers.0.mlp.up_proj.weight", "layers.0.mlp.up_quux.weight");
    match refusal(renamed.path()) {
        LoadError::Tensors { missing, unexpected, misshapen, .. } => {
            assert_eq!(missing, ["model.layers.0.mlp.up_proj.weight"]);
            assert_eq!(unexpected, ["model.layers.0.mlp.up_quux.weight"]);
            assert!(misshapen.is_empty(), "{misshapen:?}");
        }
        other => panic!("{other}"),
    }

    let reshaped = copy("llama_tied");
    edit_header(reshaped.path(), "[40,32]", "[32,40]");
    match refusal(reshaped.path()) {
        LoadError::Tensors { misshapen, .. } => {
            assert_eq!(misshapen.len(), 1);
            assert!(misshapen[0].ends_with("[32, 40] instead of [40, 32]"), "{misshapen:?}");
        }
        other => panic!("{other}"),
    }

    let integers = copy("llama_tied");
    edit_header(integers.path(), r#""F32""#, r#""I32""#);
    let error = refusal(integers.path());
    assert!(matches!(error, LoadError::Tensors { .. }), "{error}");
    assert!(error.to_string().contains("I32 instead of F32, F16, BF16, F64 or F8_E4M3"), "{error}");
}

#[test]
fn a_configuration_larger_than_its_files_is_refused_before_any_allocation() {
    // Each of these alone asks for more memory than any machine has.
    let cases = [
        ("llama_untied", json!({"num_hidden_layers": 1 << 28})),
        ("llama_untied", json!({"vocab_size": 1 << 28, "hidden_size": 1 << 28})),
        ("qwen2", json!({"num_attention_heads": 1 << 28, "head_dim": 1 << 20})),
        ("deepseek_v3_plain", json!({"n_routed_experts": 65_535, "moe_intermediate_size": 1 << 28})),
        ("deepseek_v3_plain", json!({"n_shared_experts": 1 << 28, "moe_intermediate_size": 1 << 28})),
        ("deepseek_v3_full", json!({"q_lora_rank": 1 << 28, "kv_lora_rank": 1 << 28})),
        ("deepseek_v3_mtp", json!({"intermediate_size": 1 << 28})),
        ("smollm3", json!({"num_hidden_layers": 1 << 28, "no_rope_layers": null})),
        (
            "smollm3",
            json!({"num_hidden_layers": 1 << 28, "no_rope_layers": null, "no_rope_layer_interval": 1}),
        ),
    ];
    for (name, changes) in cases {
        let folder = copy(name);
        set(folder.path(), "config.json", &changes);
        let error = refusal(folder.path());
        assert!(matches!(error, LoadError::Tensors { .. }), "{changes}: {error}");
        assert!(error.to_string().len() < 10_000, "{changes}: a message for people");
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

#[test]
fn absent_and_unreadable_files_are_named() {
    let folder = copy("llama_tied");
    fs::remove_file(folder.path().join("model.safetensors")).expect("removed");
    let error = refusal(folder.path());
    assert!(matches!(&error, LoadError::Read { path, .. } if path.ends_with("model.safetensors")), "{error}");

    fs::write(folder.path().join("config.json"), "{\"model_type\": ").expect("written");
    assert!(matches!(refusal(folder.path()), LoadError::Json { .. }));
    fs::write(folder.path().join("config.json"), "{}").expect("written");
    assert!(matches!(refusal(folder.path()), LoadError::Config { .. }));
}

#[test]
fn a_config_nested_too_deep_or_of_another_kind_is_refused() {
    let folder = copy("llama_tied");
    let path = folder.path().join("config.json");
    for (text, says) in [
        ("[".repeat(100_000), "recursion limit"),
        ("{\"a\":".repeat(50_000), "recursion limit"),
        (" ".repeat(17 << 20), "expected at most 16777216"),
        (format!("[{}0]", "0,".repeat(200_000)), "more than 120000 values"),
        ("{\"model_type\": \"llama\", \"vocab_size\": 1000000000000}".to_owned(), "1000000000000"),
    ] {
        fs::write(&path, text).expect("written");
        let error = refusal(folder.path());
        assert!(error.to_string().contains(says), "{error}");
    }
    let folder = copy("llama_tied");
    fs::write(folder.path().join("generation_config.json"), "[".repeat(1000)).expect("written");
    let error = refusal(folder.path());
    assert!(
        matches!(&error, LoadError::Json { path, .. } if path.ends_with("generation_config.json")),
        "{error}"
    );
}

/// A link would put what it leads to into the folder of a trained model; a pipe is waited for.
#[cfg(unix)]
#[test]
fn links_out_of_the_folder_and_files_that_are_none_are_refused() {
    use std::os::unix::fs::symlink;
    let elsewhere = copy("llama_tied");
    for name in ["config.json", "generation_config.json"] {
        let folder = copy("llama_tied");
        let path = folder.path().join(name);
        drop(fs::remove_file(&path));
        symlink(elsewhere.path().join("config.json"), &path).expect("linked");
        let error = refusal(folder.path());
        assert!(error.to_string().contains("found a link to"), "{error}");
    }
    for name in ["config.json", "model.safetensors", "model.safetensors.index.json", "adapter_config.json"] {
        let folder = copy("llama_tied");
        let path = folder.path().join(name);
        if name != "config.json" {
            fs::remove_file(folder.path().join("model.safetensors")).expect("removed");
        }
        drop(fs::remove_file(&path));
        symlink("/dev/zero", &path).expect("linked");
        let error = refusal(folder.path());
        assert!(error.to_string().contains("expected a file, found a device"), "{name}: {error}");
        fs::remove_file(&path).expect("removed");
        if std::process::Command::new("mkfifo").arg(&path).status().is_ok_and(|status| status.success()) {
            let error = refusal(folder.path());
            assert!(error.to_string().contains("expected a file, found a pipe"), "{name}: {error}");
        }
    }
    // Weights are large, and kept where there is room.
    let folder = copy("llama_tied");
    fs::remove_file(folder.path().join("model.safetensors")).expect("removed");
    symlink(elsewhere.path().join("model.safetensors"), folder.path().join("model.safetensors"))
        .expect("linked");
    load(folder.path(), &testkit::device()).expect("a model");
}

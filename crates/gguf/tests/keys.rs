//! What a file's metadata may say: keys that are read, that change nothing, and that are refused because we would compute
//! another model than llama.cpp.

mod common;

use common::{Writer, import, plan, tiny};
use ruminate_gguf::{Error, Gguf, Import, Options, pre_tokenizers};

fn refusal(bytes: &[u8]) -> Error {
    plan(bytes).map(drop).expect_err("a refusal")
}

/// The tiny file, changed.
fn changed(change: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut file = tiny();
    change(&mut file);
    file.bytes()
}

/// What is said of a file with one key more, if it is refused.
fn told(key: &str, change: impl FnOnce(&mut Writer, &str)) -> Option<String> {
    let key = format!("llama.{key}");
    let bytes = changed(|file| change(file, &key));
    match plan(&bytes).map(drop) {
        Ok(()) => None,
        Err(Error::Metadata { key: named, expected, found }) => {
            assert_eq!(named, key);
            Some(format!("{found}: {expected}"))
        }
        Err(other) => panic!("{key}: {other}"),
    }
}

#[test]
fn a_key_that_would_change_what_is_computed_is_refused_unless_it_is_neutral() {
    // The neutral value and another one.
    for (key, neutral, other) in [
        ("rope.scale_linear", 1.0_f32, 4.0_f32),
        ("rope.scaling.factor", 1.0, 4.0),
        ("rope.scaling.attn_factor", 1.0, 0.7),
        ("rope.scaling.yarn_attn_factor", 1.0, 0.7),
        ("rope.scaling.yarn_ext_factor", 0.0, 0.5),
        ("rope.scaling.yarn_ext_factor", -1.0, 1.0),
        ("rope.scaling.yarn_log_multiplier", 0.0, 0.1),
        ("rope.scaling.alpha", 1.0, 1000.0),
        ("attention.scale", 0.0, 0.3),
        ("attention.clamp_kqv", 0.0, 8.0),
        ("attention.max_alibi_bias", 0.0, 8.0),
        ("attn_logit_softcapping", 0.0, 50.0),
        ("final_logit_softcapping", 0.0, 30.0),
        ("logit_scale", 1.0, 0.06),
        ("residual_scale", 1.0, 0.2),
        ("embedding_scale", 0.0, 12.0),
        ("a_key_of_next_year", 0.0, 1.0),
    ] {
        let number = |value: f32| {
            told(key, |file, key| {
                file.f32(key, value);
            })
        };
        assert_eq!(number(neutral), None, "{key} of {neutral}");
        let refused = number(other).unwrap_or_else(|| panic!("{key} of {other} is taken"));
        assert!(refused.starts_with(&other.to_string()), "{key}: {refused}");
    }
    for (key, neutral) in [("attention.causal", true), ("use_parallel_residual", false)] {
        let flag = |value: bool| {
            told(key, |file, key| {
                file.raw(key, 7, &[u8::from(value)]);
            })
        };
        assert_eq!(flag(neutral), None, "{key}");
        assert!(flag(!neutral).is_some(), "{key}");
    }
    for key in ["expert_used_count", "nextn_predict_layers", "pooling_type", "attention.sliding_window"] {
        let count = |value: u32| {
            told(key, |file, key| {
                file.u32(key, value);
            })
        };
        assert_eq!(count(0), None, "{key}");
        assert!(count(1).is_some(), "{key}");
    }
    let sections = told("rope.dimension_sections", |file, key| {
        file.integers(key, &[16, 24, 24, 0]);
    });
    assert!(sections.is_some());
    // What says nothing of numbers, and another architecture's keys.
    assert_eq!(
        told("tensor_data_layout", |file, key| {
            file.text(key, "Meta AI original pth");
        }),
        None
    );
    let others = changed(|file| {
        file.f32("qwen2.rope.scale_linear", 4.0).text("general.license", "mit");
    });
    assert!(plan(&others).is_ok());
}

#[test]
fn yarn_takes_its_own_factors_and_no_others() {
    let yarn = |change: fn(&mut Writer)| {
        let bytes = changed(|file| {
            file.text("llama.rope.scaling.type", "yarn").f32("llama.rope.scaling.factor", 4.0);
            file.u32("llama.rope.scaling.original_context_length", 16);
            change(file);
        });
        plan(&bytes).map(drop)
    };
    yarn(|_| ()).expect("YaRN is read");
    yarn(|file| {
        file.f32("llama.rope.scaling.yarn_ext_factor", 1.0);
    })
    .expect("YaRN's own");
    for (key, change) in [
        (
            "yarn_ext_factor",
            (|file| {
                file.f32("llama.rope.scaling.yarn_ext_factor", 0.0);
            }) as fn(&mut Writer),
        ),
        ("yarn_attn_factor", |file| {
            file.f32("llama.rope.scaling.yarn_attn_factor", 0.7);
        }),
    ] {
        let error = yarn(change).expect_err("another model");
        assert!(matches!(&error, Error::Metadata { key: named, .. } if named.ends_with(key)), "{error}");
    }
}

#[test]
fn what_an_architecture_says_beyond_others_is_checked() {
    let fixture = |case: &str, key: &[u8], value: &[u8]| {
        let mut bytes = std::fs::read(common::fixture(&format!("{case}.gguf"))).expect("the fixture");
        let at =
            bytes.windows(key.len()).position(|window| window == key).expect("it is there") + key.len() + 4;
        bytes[at..at + value.len()].copy_from_slice(value);
        refusal(&bytes)
    };
    for (case, key, value) in [
        ("qwen3moe", "qwen3moe.expert_count", 1_u32 << 27),
        ("qwen3moe", "qwen3moe.expert_count", 0),
        ("qwen3moe", "qwen3moe.expert_used_count", 5),
        ("granite", "granite.embedding_scale", (-1.0_f32).to_bits()),
        ("granite", "granite.logit_scale", f32::NAN.to_bits()),
        // Softmax, as DeepSeek-V2's router.
        ("deepseek2", "deepseek2.expert_gating_func", 1),
        ("deepseek2", "deepseek2.attention.kv_lora_rank", 1 << 21),
        ("deepseek2", "deepseek2.attention.key_length_mla", 16),
        ("deepseek2", "deepseek2.leading_dense_block_count", 3),
        ("deepseek2", "deepseek2.rope.scaling.yarn_log_multiplier", 0),
        ("deepseek2", "deepseek2.expert_weights_scale", (-1.0_f32).to_bits()),
        ("deepseek2", "deepseek2.expert_count", 1 << 27),
    ] {
        let error = fixture(case, key.as_bytes(), &value.to_le_bytes());
        assert!(matches!(&error, Error::Metadata { key: named, .. } if named == key), "{key}: {error}");
    }
    // A window shorter than the positions, of which the fixture has 16384.
    let windowed = |window: u32| {
        let mut file = tiny();
        file.text("general.architecture", "phi3");
        for (name, value) in [("block_count", 1), ("context_length", 64), ("embedding_length", 8)] {
            file.u32(&format!("phi3.{name}"), value);
        }
        file.u32("phi3.feed_forward_length", 12).u32("phi3.attention.head_count", 2);
        file.u32("phi3.attention.head_count_kv", 1).f32("phi3.attention.layer_norm_rms_epsilon", 1e-5);
        file.u32("phi3.attention.sliding_window", window);
        for name in ["attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up"] {
            file.without_tensor(&format!("blk.0.{name}.weight"));
        }
        file.counting("blk.0.attn_qkv.weight", &[16, 8]).counting("blk.0.ffn_up.weight", &[24, 8]);
        plan(&file.bytes()).map(drop)
    };
    for whole in [0, 64, 1 << 20] {
        windowed(whole).expect("the whole sequence is seen");
    }
    let error = windowed(63).expect_err("a window");
    assert!(error.to_string().contains("windows are not supported"), "{error}");
}

#[test]
fn a_part_of_a_split_file_is_said_to_be_one() {
    // Parts after the first have no architecture.
    for (no, rest) in [(0_u16, true), (1, false)] {
        let bytes = changed(|file| {
            file.raw("split.count", 2, &3_u16.to_le_bytes()).raw("split.no", 2, &no.to_le_bytes());
            if !rest {
                file.without("general.architecture");
            }
        });
        let error = refusal(&bytes);
        assert!(matches!(error, Error::Split { of: 3, .. }), "{error}");
        let says = format!("part {} of 3 of a split file", no + 1);
        assert!(error.to_string().contains(&says), "{error}");
    }
    let whole = changed(|file| {
        file.raw("split.count", 2, &1_u16.to_le_bytes());
    });
    assert!(plan(&whole).is_ok());
}

#[test]
fn a_file_that_does_not_name_its_rule_for_splitting_text_needs_one_stated() {
    let unnamed = changed(|file| {
        file.without("tokenizer.ggml.pre");
    });
    let default = changed(|file| {
        file.text("tokenizer.ggml.pre", "default");
    });
    let with = |bytes: &[u8], pre: Option<&str>| {
        let mut gguf = Gguf::read(std::io::Cursor::new(bytes.to_vec()))?;
        let import = Import::plan(&mut gguf, &Options { pre: pre.map(str::to_owned), ..Options::default() })?;
        let folder = tempfile::tempdir().expect("a folder");
        import.write(&mut gguf, folder.path(), &mut |_| {})?;
        Ok::<_, Error>(common::json(&folder.path().join("tokenizer.json"))["pre_tokenizer"].clone())
    };
    for bytes in [&unnamed, &default] {
        let error = refusal(bytes);
        assert!(matches!(error, Error::NoPreTokenizer { .. }), "{error}");
        assert!(error.to_string().contains("`--pre NAME`, one of gpt-2, smollm, qwen2"), "{error}");
        for name in pre_tokenizers() {
            let named = changed(|file| {
                file.text("tokenizer.ggml.pre", name);
            });
            let stated = with(bytes, Some(name)).expect("it is stated");
            assert_eq!(stated, with(&named, None).expect("it is named"), "{name}");
        }
        assert!(matches!(with(bytes, Some("tekken")), Err(Error::PreTokenizer { .. })));
    }
    // The file's own word stays.
    let own = tiny().bytes();
    assert!(with(&own, Some("gpt-2")).is_ok());
    assert!(matches!(with(&own, Some("qwen2")), Err(Error::Metadata { .. })));
}

#[test]
fn a_file_without_ends_says_so_and_takes_none_of_its_class() {
    let endless = changed(|file| {
        file.without("tokenizer.ggml.eos_token_id");
    });
    assert!(!plan(&endless).expect("a model").1.has_end());
    assert!(plan(&tiny().bytes()).expect("a model").1.has_end());
    let folder = tempfile::tempdir().expect("a folder");
    import(&endless, folder.path()).expect("a model");
    let config = common::json(&folder.path().join("config.json"));
    // Absent, transformers would take llama's 1 and 2.
    for key in ["bos_token_id", "eos_token_id", "pad_token_id"] {
        assert_eq!(config.get(key), Some(&serde_json::Value::Null), "{key}");
    }
    let tokenizer = common::json(&folder.path().join("tokenizer_config.json"));
    for key in ["eos_token", "unk_token"] {
        assert_eq!(tokenizer.get(key), Some(&serde_json::Value::Null), "{key}");
    }
}

#[test]
fn a_pointer_and_a_page_in_the_place_of_a_file_are_recognised() {
    for (bytes, says) in [
        (&b"version https://git-lfs.github.com/spec/v1\n"[..], "git-lfs pointer"),
        (b"<!DOCTYPE html><html>", "HTML page"),
    ] {
        let error = refusal(bytes).to_string();
        assert!(error.contains(says), "{error}");
    }
}

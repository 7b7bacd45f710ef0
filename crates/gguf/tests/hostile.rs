//! Broken and malicious files: a typed error that names the fault, never a panic, and no folder that cannot be read.

mod common;

use common::{Writer, import, plan, string, tiny};
use proptest::prelude::*;
use ruminate_gguf::{Error, Fault};

fn refusal(bytes: &[u8]) -> Error {
    match plan(bytes) {
        Err(error) => error,
        Ok(_) => panic!("expected a refusal"),
    }
}

fn fault(bytes: &[u8]) -> Fault {
    match refusal(bytes) {
        Error::Container { fault, .. } => fault,
        other => panic!("expected a fault of the container, found {other}"),
    }
}

/// The tiny file, changed.
fn changed(change: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut file = tiny();
    change(&mut file);
    file.bytes()
}

/// The tiny file with some bytes of the header replaced, found by what stands before them.
fn patched(after: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut file = tiny().bytes();
    let at = file.windows(after.len()).position(|window| window == after).expect("it is there") + after.len();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

#[test]
fn the_tiny_file_itself_is_imported() {
    let folder = tempfile::tempdir().expect("a folder");
    import(&tiny().bytes(), folder.path()).expect("a valid file");
    let tensors = common::tensors(&folder.path().join("model.safetensors"));
    assert_eq!(tensors.len(), 11);
    // The second stored row of a head of four is the first of its second half.
    assert_eq!(tensors["model.layers.0.self_attn.k_proj.weight"].1[16..18], [0.5, 0.5625]);
    let tokenizer = tokenizers::Tokenizer::from_file(folder.path().join("tokenizer.json")).expect("it loads");
    assert_eq!(tokenizer.encode("abc<end>", false).expect("encodes").get_ids(), [4, 5]);
}

#[test]
fn the_end_of_a_text_is_a_token_of_its_own_without_a_list_of_types() {
    let folder = tempfile::tempdir().expect("a folder");
    let untyped = changed(|file| {
        file.without("tokenizer.ggml.token_type");
    });
    import(&untyped, folder.path()).expect("a valid file");
    let tokenizer = tokenizers::Tokenizer::from_file(folder.path().join("tokenizer.json")).expect("it loads");
    assert_eq!(tokenizer.encode("ab<end>", false).expect("encodes").get_ids(), [3, 5]);
    assert_eq!(tokenizer.decode(&[3, 5], true).expect("decodes"), "ab");
}

#[test]
fn another_format_version_or_byte_order_is_named() {
    let mut bytes = tiny().bytes();
    bytes[..4].copy_from_slice(b"PK\x03\x04");
    assert_eq!(fault(&bytes), Fault::Magic { found: "PK\\x03\\x04".to_owned() });
    for (version, says) in [([1, 0, 0, 0], "1"), ([9, 9, 0, 0], "2313"), ([0, 0, 0, 3], "3, big-endian")] {
        let found = says.to_owned();
        assert_eq!(fault(&patched(b"GGUF", &version)), Fault::Version { found });
    }
    assert!(matches!(fault(b""), Fault::Truncated { .. }));
}

#[test]
fn claims_are_checked_before_they_are_believed() {
    let huge = [u64::MAX, 1 << 63, 1 << 40, 1 << 32];
    for claim in huge {
        let claim = claim.to_le_bytes();
        for (what, bytes) in [
            ("tensors", patched(b"GGUF\x03\0\0\0", &claim)),
            ("keys", patched(&[&b"GGUF\x03\0\0\0"[..], &11_u64.to_le_bytes()].concat(), &claim)),
            ("a text", patched(&[&string("general.architecture")[..], &[8, 0, 0, 0]].concat(), &claim)),
            (
                "a kept list",
                patched(&[&string("tokenizer.ggml.tokens")[..], &[9, 0, 0, 0, 8, 0, 0, 0]].concat(), &claim),
            ),
            (
                "a list passed over",
                patched(&[&string("general.tags")[..], &[9, 0, 0, 0, 8, 0, 0, 0]].concat(), &claim),
            ),
            ("a dimension", patched(&[&string("output_norm.weight")[..], &[1, 0, 0, 0]].concat(), &claim)),
        ] {
            let error = refusal(&bytes);
            assert!(matches!(error, Error::Container { .. }), "{what}: {error}");
        }
    }
    let overflow = changed(|file| {
        file.tensor("x", &[1 << 32, 1 << 32, 2], 0, &[]);
    });
    assert!(matches!(fault(&overflow), Fault::Shape { .. }));
}

#[test]
fn names_come_once() {
    let mut bytes = tiny().bytes();
    let key = bytes.windows(12).position(|w| w == b"general.tags").expect("a key");
    let other = string("general.tag2");
    // A second `general.tags` in the place of another key of its length.
    let twice = changed(|file| {
        file.u32("general.tag2", 1);
    });
    let at = twice.windows(other.len()).position(|w| w == other).expect("a key");
    let mut duplicate = twice.clone();
    duplicate[at + 8..at + 20].copy_from_slice(&bytes[key..key + 12]);
    assert_eq!(fault(&duplicate), Fault::DuplicateKey { key: "general.tags".to_owned() });

    let twice = changed(|file| {
        file.counting("output_norm.weight", &[8]);
    });
    assert_eq!(fault(&twice), Fault::DuplicateTensor { name: "output_norm.weight".to_owned() });

    let twin = changed(|file| {
        file.texts("tokenizer.ggml.tokens", &["a", "b", "c", "ab", "a", "<end>"]);
    });
    assert!(matches!(refusal(&twin), Error::DuplicateToken { first: 0, second: 4, .. }));
    bytes.truncate(key);
    assert!(matches!(fault(&bytes), Fault::Truncated { .. }));
}

#[test]
fn values_of_the_container_are_what_the_format_allows() {
    let value = |kind: u32, bytes: &[u8]| {
        let mut file = tiny();
        file.raw("general.x", kind, bytes);
        file.bytes()
    };
    assert!(matches!(fault(&value(13, &[0])), Fault::ValueType { found: 13, .. }));
    assert_eq!(fault(&value(7, &[2])), Fault::Flag { found: 2 });
    assert!(matches!(fault(&value(8, &[1, 0, 0, 0, 0, 0, 0, 0, 0xFF])), Fault::Utf8 { .. }));
    // A list of lists of lists ..
    let nested: Vec<u8> =
        (0..100).flat_map(|_| [&9_u32.to_le_bytes()[..], &1_u64.to_le_bytes()].concat()).collect();
    assert!(matches!(fault(&value(9, &nested)), Fault::Nesting { .. }));
    for alignment in [0, 1, 24, 1 << 20] {
        let bytes = changed(|file| {
            file.u32("general.alignment", alignment);
        });
        assert!(matches!(fault(&bytes), Fault::Alignment { .. }), "{alignment}");
    }
}

#[test]
fn tensors_lie_one_after_the_other_within_the_file() {
    let info =
        [&string("output_norm.weight")[..], &1_u32.to_le_bytes(), &8_u64.to_le_bytes(), &0_u32.to_le_bytes()]
            .concat();
    for offset in [0_u64, 1, 1 << 20, u64::MAX] {
        assert!(matches!(fault(&patched(&info, &offset.to_le_bytes())), Fault::Offset { .. }), "{offset}");
    }
    let bytes = tiny().bytes();
    assert!(matches!(fault(&bytes[..bytes.len() - 1]), Fault::PastEnd { .. }));
    for (kind, says) in [
        (16_u32, "16 (IQ2_XXS)"),
        (19, "19 (IQ1_S)"),
        (29, "29 (IQ1_M)"),
        (17, "17 (IQ2_XS)"),
        (22, "22 (IQ2_S)"),
        (34, "34 (TQ1_0)"),
        (35, "35 (TQ2_0)"),
        (4, "4 (Q4_2)"),
        (u32::MAX, "4294967295"),
    ] {
        let mut file = tiny();
        file.without_tensor("output_norm.weight").tensor("output_norm.weight", &[256], kind, &[]);
        let found = says.to_owned();
        assert_eq!(fault(&file.bytes()), Fault::TensorType { name: "output_norm.weight".to_owned(), found });
    }
    // Rows of eight elements are no whole blocks of 32.
    let parted = changed(|file| {
        file.without_tensor("blk.0.attn_q.weight").tensor("blk.0.attn_q.weight", &[8, 8], 8, &[0; 68]);
    });
    assert!(matches!(fault(&parted), Fault::Shape { block: 32, .. }));
}

#[test]
fn metadata_that_describe_no_model_of_ours_are_refused_by_key() {
    type Change = fn(&mut Writer) -> &mut Writer;
    let cases: [(&str, Change); 16] = [
        ("general.architecture", |f| f.without("general.architecture")),
        ("block_count", |f| f.u32("llama.block_count", u32::MAX)),
        ("embedding_length", |f| f.u32("llama.embedding_length", 0)),
        ("attention.head_count", |f| f.text("llama.attention.head_count", "two")),
        ("attention.head_count", |f| f.integers("llama.attention.head_count", &[2])),
        ("attention.head_count_kv", |f| f.u32("llama.attention.head_count_kv", 3)),
        ("attention.key_length", |f| f.u32("llama.attention.key_length", 3)),
        ("rope.dimension_count", |f| f.u32("llama.rope.dimension_count", 2)),
        ("rope.freq_base", |f| f.f32("llama.rope.freq_base", f32::NAN)),
        ("layer_norm_rms_epsilon", |f| f.f32("llama.attention.layer_norm_rms_epsilon", -1.0)),
        ("rope.scaling.type", |f| f.text("llama.rope.scaling.type", "longrope")),
        ("expert_count", |f| f.u32("llama.expert_count", 8)),
        ("tokenizer.ggml.tokens", |f| f.texts("tokenizer.ggml.tokens", &["a"; 7])),
        ("tokenizer.ggml.token_type", |f| f.integers("tokenizer.ggml.token_type", &[1])),
        ("tokenizer.ggml.eos_token_id", |f| f.u32("tokenizer.ggml.eos_token_id", 6)),
        ("tokenizer.chat_template", |f| f.u32("tokenizer.chat_template", 1)),
    ];
    for (named, change) in cases {
        let mut file = tiny();
        change(&mut file);
        match refusal(&file.bytes()) {
            Error::Metadata { key, .. } => assert!(key.ends_with(named), "{key} instead of {named}"),
            other => panic!("{named}: {other}"),
        }
    }
    let other = changed(|file| {
        file.text("general.architecture", "gemma3");
    });
    assert!(matches!(refusal(&other), Error::Architecture { found, .. } if found == "gemma3"));
}

#[test]
fn pieces_need_a_finite_score_each_and_join_in_a_bounded_number_of_ways() {
    let with = |scores: &[f32]| {
        changed(|file| {
            file.text("tokenizer.ggml.model", "llama").without("tokenizer.ggml.merges");
            file.u32("tokenizer.ggml.bos_token_id", 5).floats("tokenizer.ggml.scores", scores).raw(
                "tokenizer.ggml.add_space_prefix",
                7,
                &[0],
            );
        })
    };
    let folder = tempfile::tempdir().expect("a folder");
    import(&with(&[0.0, -1.0, -2.0, -3.0, -4.0, 0.0]), folder.path()).expect("a valid file");
    let tokenizer = tokenizers::Tokenizer::from_file(folder.path().join("tokenizer.json")).expect("it loads");
    assert_eq!(tokenizer.encode("abc<end>", false).expect("encodes").get_ids(), [4, 5]);
    for scores in [&[0.0; 5][..], &[0.0, 0.0, 0.0, 0.0, f32::NAN, 0.0], &[f32::NEG_INFINITY; 6]] {
        assert!(matches!(
            refusal(&with(scores)),
            Error::Metadata { key, .. } if key == "tokenizer.ggml.scores"
        ));
    }
    // Pieces a, aa, aaa and so on join in as many ways as they are long.
    let many: Vec<String> = (1..=2000).map(|len| "a".repeat(len)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let endless = changed(|file| {
        file.text("tokenizer.ggml.model", "llama").without("tokenizer.ggml.merges");
        file.without("tokenizer.ggml.token_type").without("tokenizer.ggml.eos_token_id");
        file.texts("tokenizer.ggml.tokens", &many).floats("tokenizer.ggml.scores", &vec![0.0; many.len()]);
        file.without_tensor("token_embd.weight").counting("token_embd.weight", &[many.len() as u64, 8]);
    });
    assert!(matches!(refusal(&endless), Error::Metadata { key, .. } if key == "tokenizer.ggml.tokens"));
}

#[test]
fn unigram_needs_scores_an_unknown_token_and_a_table_of_bytes() {
    const CHARSMAP: &str = "tokenizer.ggml.precompiled_charsmap";
    type Change<'a> = &'a dyn Fn(&mut Writer);

    let with = |change: &dyn Fn(&mut Writer)| {
        changed(|file| {
            file.text("tokenizer.ggml.model", "t5").without("tokenizer.ggml.merges");
            file.floats("tokenizer.ggml.scores", &[-3.0, -3.0, -4.0, -5.0, -6.0, 0.0]);
            change(file);
        })
    };
    let folder = tempfile::tempdir().expect("a folder");
    import(&with(&|_| ()), folder.path()).expect("a valid file");
    let tokenizer = tokenizers::Tokenizer::from_file(folder.path().join("tokenizer.json")).expect("it loads");
    assert_eq!(tokenizer.encode("ab<end>", false).expect("encodes").get_ids(), [3, 5]);
    let bytes = |kind: u32, len: u64| [&kind.to_le_bytes()[..], &len.to_le_bytes(), &[0; 8]].concat();
    let cases: [(&str, Change<'_>); 4] = [
        ("tokenizer.ggml.scores", &|file| {
            file.without("tokenizer.ggml.scores");
        }),
        ("tokenizer.ggml.scores", &|file| {
            file.floats("tokenizer.ggml.scores", &[f32::NAN; 6]);
        }),
        ("tokenizer.ggml.unknown_token_id", &|file| {
            file.u32("tokenizer.ggml.unknown_token_id", 6);
        }),
        (CHARSMAP, &|file| {
            file.raw(CHARSMAP, 9, &bytes(4, 2));
        }),
    ];
    for (named, change) in cases {
        let error = refusal(&with(change));
        assert!(matches!(&error, Error::Metadata { key, .. } if key == named), "{named}: {error}");
    }
    let endless = with(&|file| {
        file.raw(CHARSMAP, 9, &bytes(0, 1 << 40));
    });
    assert!(matches!(refusal(&endless), Error::Container { .. }));
}

#[test]
fn long_pieces_are_refused_before_merges_are_looked_for() {
    // Just what fits into the texts that are kept; all cuts of these would take hours.
    let long: Vec<String> = (0..250).map(|number| format!("{}{number}", "a".repeat(65_000))).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    let file = changed(|file| {
        file.text("tokenizer.ggml.model", "llama").without("tokenizer.ggml.merges");
        file.without("tokenizer.ggml.token_type").without("tokenizer.ggml.eos_token_id");
        file.texts("tokenizer.ggml.tokens", &long).floats("tokenizer.ggml.scores", &vec![0.0; long.len()]);
        file.without_tensor("token_embd.weight").counting("token_embd.weight", &[long.len() as u64, 8]);
    });
    let error = refusal(&file);
    assert!(error.to_string().contains("squared lengths"), "{:.300}", error.to_string());
    assert!(matches!(error, Error::Metadata { key, .. } if key == "tokenizer.ggml.tokens"));
}

#[test]
fn tokenizers_that_we_cannot_write_are_refused() {
    let worlds = changed(|file| {
        file.text("tokenizer.ggml.model", "rwkv");
    });
    let error = refusal(&worlds);
    assert!(matches!(&error, Error::TokenizerModel { found } if found == "rwkv"), "{error}");
    let tekken = changed(|file| {
        file.text("tokenizer.ggml.pre", "tekken");
    });
    let error = refusal(&tekken);
    assert!(error.to_string().contains("\"tekken\"; known are gpt-2, smollm"), "{error}");
    for merge in ["", "a", "a ", " b", "a x", "b a", "a  b"] {
        let bytes = changed(|file| {
            file.texts("tokenizer.ggml.merges", &["a b", merge]);
        });
        assert!(matches!(refusal(&bytes), Error::Merge { index: 1, .. }), "{merge:?}");
    }
}

#[test]
fn all_tensors_that_do_not_fit_are_named() {
    let bytes = changed(|file| {
        file.without_tensor("blk.0.attn_v.weight").without_tensor("blk.0.ffn_up.weight");
        file.counting("blk.0.ffn_up.weight", &[12, 4]).counting("blk.0.attn_q.bias", &[8]);
    });
    match refusal(&bytes) {
        Error::Tensors { missing, unexpected, misshapen } => {
            assert_eq!(missing, ["blk.0.attn_v.weight"]);
            assert_eq!(unexpected, ["blk.0.attn_q.bias"]);
            assert_eq!(misshapen, ["blk.0.ffn_up.weight: [12, 4] instead of [12, 8]"]);
        }
        other => panic!("{other}"),
    }
}

#[test]
fn rotary_divisors_have_the_width_of_a_head_and_follow_llama_3s_rule() {
    let with = |divisors: &[f32]| {
        let data: Vec<u8> = divisors.iter().flat_map(|divisor| divisor.to_le_bytes()).collect();
        changed(|file| {
            file.tensor("rope_freqs.weight", &[divisors.len() as u64], 0, &data);
        })
    };
    assert!(plan(&with(&[1.0, 1.0])).is_ok());
    assert!(matches!(refusal(&with(&[1.0])), Error::Tensors { .. }));
    assert!(matches!(refusal(&with(&vec![1.0; 40_000])), Error::Tensors { .. }));
    assert!(matches!(refusal(&with(&[2.0, 8.0])), Error::RopeFactors { index: 0, .. }));
}

#[test]
fn a_weight_that_is_no_number_is_refused_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut data = vec![0; 32];
        data[12..16].copy_from_slice(&bad.to_le_bytes());
        let bytes = changed(|file| {
            file.without_tensor("output_norm.weight").tensor("output_norm.weight", &[8], 0, &data);
        });
        let error = import(&bytes, folder.path()).expect_err("not finite");
        assert!(
            matches!(&error, Error::NonFinite { tensor, index: 3, .. } if tensor == "output_norm.weight"),
            "{error}"
        );
    }
}

/// What every import must do: refuse, or write a folder that others can read.
fn imports_or_refuses(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    if import(bytes, folder.path()).is_ok() {
        common::tensors(&folder.path().join("model.safetensors"));
        common::json(&folder.path().join("config.json"));
        common::json(&folder.path().join("tokenizer_config.json"));
        tokenizers::Tokenizer::from_file(folder.path().join("tokenizer.json"))
            .expect("a tokenizer that loads");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = tiny().bytes();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        imports_or_refuses(&bytes);
    }

    #[test]
    fn numbers_of_any_size_anywhere_never_panic(
        at in any::<prop::sample::Index>(),
        number in prop_oneof![any::<u64>(), (0_u32..64).prop_map(|bit| 1 << bit), (0_u64..64).prop_map(|less| u64::MAX - less)],
        width in prop::sample::select(vec![4_usize, 8]),
    ) {
        let mut bytes = tiny().bytes();
        let at = at.index(bytes.len() - width);
        bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
        imports_or_refuses(&bytes);
    }

    #[test]
    fn removed_and_repeated_pieces_never_panic(
        from in any::<prop::sample::Index>(),
        len in 1_usize..64,
        repeated in any::<bool>(),
    ) {
        let bytes = tiny().bytes();
        let from = from.index(bytes.len());
        let to = (from + len).min(bytes.len());
        let middle = if repeated { &bytes[from..to] } else { &[] };
        let rest = if repeated { from } else { to };
        imports_or_refuses(&[&bytes[..from], middle, &bytes[rest..]].concat());
    }

    #[test]
    fn any_bytes_after_the_magic_never_panic(tail in prop::collection::vec(any::<u8>(), 0..256)) {
        imports_or_refuses(&[&b"GGUF\x03\0\0\0"[..], &tail].concat());
    }
}

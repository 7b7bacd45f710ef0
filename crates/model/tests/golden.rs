//! The decoder against numbers that transformers computed from the same tiny random checkpoints
//! (`fixtures/model/make.py`, `make_families.py`, `make_variants.py`).

mod common;

use burn::tensor::{Tensor, activation::log_softmax};
use common::CASES;
use ruminate_model::{
    Batch, Config, DecodeStep, Decoder, LayerCache, Precision, PreparedDecoder, Routes, load,
};
use ruminate_testkit as testkit;
use serde_json::Value;
use testkit::Tensors;

/// Greatest difference of log-probabilities that counts as equal.
const TOLERANCE: f32 = 2e-4;

struct Case {
    decoder: Decoder,
    rows: Vec<Vec<u32>>,
    expected: Tensors,
    vocabulary: usize,
}

fn case(name: &str) -> Case {
    let folder = testkit::fixture_path(&format!("model/{name}"));
    let decoder = load(&folder, &testkit::device()).unwrap_or_else(|error| panic!("{name}: {error}"));
    // The fused case differs from the plain one in its layout only, and shares its numbers.
    let numbers = if name == "deepseek_v3_fused" { "deepseek_v3_plain" } else { name };
    let expected = Tensors::load(&format!("model/{numbers}/expected.safetensors"));
    let ids = expected.ints("input_ids");
    let length = ids.len() / 2;
    let rows = ids.chunks(length).map(|row| row.iter().map(|&id| id as u32).collect()).collect();
    let vocabulary = decoder.config().vocab_size;
    Case { decoder, rows, expected, vocabulary }
}

fn logprobs(decoder: &Decoder, batch: &Batch) -> Vec<f32> {
    let output = decoder.forward(batch, Routes::Choose);
    testkit::floats(log_softmax(decoder.logits(output.hidden), 1))
}

#[test]
fn logprobs_equal_transformers_for_every_family() {
    for name in CASES {
        let case = case(name);
        let actual = logprobs(&case.decoder, &Batch::from_rows(&case.rows));
        testkit::assert_close(&actual, case.expected.floats("logprobs"), TOLERANCE);
    }
}

#[test]
fn the_router_chooses_and_weighs_like_transformers() {
    let mixtures = CASES
        .into_iter()
        .filter(|name| !["deepseek_v3_fused", "deepseek_v3_mtp", "qwen3_moe_sharded"].contains(name));
    let mut routers = 0;
    for name in mixtures {
        let case = case(name);
        routers += usize::from(case.decoder.config().moe.is_some());
        let output = case.decoder.forward(&Batch::from_rows(&case.rows), Routes::Choose);
        let config = case.decoder.config();
        let layers = (0..config.num_hidden_layers).filter(|&layer| config.is_moe(layer));
        for (layer, routing) in layers.zip(&output.routing) {
            let chosen = config.moe.expect("a mixture").num_experts_per_tok;
            let mut experts = routing.experts.clone();
            experts.chunks_mut(chosen).for_each(<[u16]>::sort_unstable);
            let expected = case.expected.ints(&format!("router_experts_{layer}"));
            let experts: Vec<i64> = experts.into_iter().map(i64::from).collect();
            assert_eq!(experts, expected, "{name}, layer {layer}");
        }
    }
    assert_eq!(routers, 10);
}

/// A prompt of 7 tokens in each of two slots, then the rest of both rows by cached decoding, `counts[slot][step]` tokens of
/// a slot counting at each step; what else a step was fed means nothing and is fed again, or is overwritten.
fn decoded(
    decoder: &Decoder,
    rows: &[Vec<u32>],
    width: usize,
    counts: [&dyn Fn(usize) -> usize; 2],
) -> Vec<Vec<f32>> {
    let (length, prompt, vocabulary) = (rows[0].len(), 7, decoder.config().vocab_size);
    // A ring that is hardly larger than the columns used, entered at an odd column, so that writes wrap.
    let (columns, entered) = (length + width, 19);
    let prepared = PreparedDecoder::new(decoder, Precision::F32);
    let mut cache = prepared.cache(2, columns);
    let prompts: Vec<&[u32]> = rows.iter().map(|row| &row[..prompt]).collect();
    let (_, kept) = prepared.prefill(&Batch::from_rows_right_aligned(&prompts));
    cache.insert(&[0, 1], entered, &kept, &[0, 1]);
    let (mut positions, mut heads) = ([prompt; 2], [entered; 2]);
    let mut logprobs = vec![Vec::new(); 2];
    for step in 0.. {
        if positions == [length; 2] {
            break;
        }
        let token = |slot: usize, place: usize| rows[slot].get(positions[slot] + place).copied().unwrap_or(0);
        let tokens: Vec<u32> = (0..width).flat_map(|place| [token(0, place), token(1, place)]).collect();
        let at = positions.map(|position| position as u32);
        let written = heads.map(|head| head % columns);
        let step_of = DecodeStep { tokens: &tokens, positions: &at, columns: &written };
        let output = prepared.decode(step_of, &mut cache);
        let values = testkit::floats(log_softmax(prepared.logits(output.hidden), 1));
        for slot in 0..2 {
            let count = counts[slot](step).min(length - positions[slot]);
            for place in 0..count {
                logprobs[slot].extend(&values[(place * 2 + slot) * vocabulary..][..vocabulary]);
            }
            positions[slot] += count;
            heads[slot] += count;
        }
    }
    logprobs
}

#[test]
fn cached_decode_matches_full_forward() {
    for name in CASES {
        let Case { decoder, rows, vocabulary, .. } = case(name);
        let full = logprobs(&decoder, &Batch::from_rows(&rows));
        let expected: Vec<&[f32]> =
            full.chunks(rows[0].len() * vocabulary).map(|row| &row[7 * vocabulary..]).collect();
        let one_each = decoded(&decoder, &rows, 1, [&|_| 1, &|_| 1]);
        // Two at a time, of which now one and now both stay, in another rhythm in each slot.
        let some =
            decoded(&decoder, &rows, 2, [&|step| 1 + step % 2, &|step| 2 - usize::from(step % 3 == 1)]);
        for slot in 0..2 {
            testkit::assert_close(&one_each[slot], expected[slot], 1e-4);
            testkit::assert_close(&some[slot], expected[slot], 1e-4);
        }
    }
}

#[test]
fn a_prompt_in_pieces_is_the_prompt_in_one() {
    for name in CASES {
        let Case { decoder, rows, .. } = case(name);
        let prepared = PreparedDecoder::new(&decoder, Precision::F32);
        let (whole, expected) = prepared.prefill(&Batch::from_rows(&rows[..1]));
        let whole = testkit::floats(whole.hidden);
        for piece in [1, 4, rows[0].len() - 1] {
            let mut kept = Vec::new();
            let mut hidden = Vec::new();
            for tokens in rows[0].chunks(piece) {
                let output = prepared.prefill_piece(&rows[0], tokens.len(), &mut kept);
                hidden.extend(testkit::floats(output.hidden));
            }
            // Experts sum the products of few tokens in another order than those of many; nothing else does.
            let tolerance = if decoder.config().moe.is_some() { 1e-5 } else { 0.0 };
            testkit::assert_close(&hidden, &whole, tolerance);
            assert_eq!(kept.len(), expected.len(), "{name}");
            let values = |layer: &LayerCache| match layer.clone() {
                LayerCache::Latent(kept) => testkit::floats(kept),
                LayerCache::KeyValue { key, value } => {
                    [testkit::floats(key), testkit::floats(value)].concat()
                }
            };
            for (kept, expected) in kept.iter().zip(&expected) {
                testkit::assert_close(&values(kept), &values(expected), tolerance);
            }
        }
    }
}

#[test]
fn padding_and_packing_change_nothing() {
    for name in CASES {
        let Case { decoder, rows, vocabulary, .. } = case(name);
        let short = &rows[0][..9];
        let alone = logprobs(&decoder, &Batch::from_rows(&[short]));
        let padded = logprobs(&decoder, &Batch::from_rows(&[short, &rows[1]]));
        testkit::assert_close(&padded[..9 * vocabulary], &alone, 2e-5);

        // The same sequence behind another one in the same row.
        let other = &rows[1][..5];
        let packed = Batch {
            tokens: other.iter().chain(short).copied().collect(),
            positions: (0..5).chain(0..9).collect(),
            segments: [vec![1; 5], vec![2; 9]].concat(),
            trees: [vec![1; 5], vec![2; 9]].concat(),
            shape: [1, 14],
        };
        testkit::assert_close(&logprobs(&decoder, &packed)[5 * vocabulary..], &alone, 2e-5);
    }
}

/// A prompt of 6 tokens once in a row, and two completions that see it, against the two sequences one a row.
#[test]
fn a_shared_prompt_is_as_if_it_were_repeated() {
    for name in CASES {
        let Case { decoder, rows, vocabulary, .. } = case(name);
        let (prompt, completions) = (&rows[0][..6], [&rows[0][6..11], &rows[1][..8]]);
        let whole = completions.map(|completion| [prompt, completion].concat());
        let apart = logprobs(&decoder, &Batch::from_rows(&whole));
        let length = whole.iter().map(Vec::len).max().expect("two");
        let count = |segment: u32| completions[segment as usize].len();
        let shared = Batch {
            tokens: [prompt, completions[0], completions[1]].concat(),
            positions: (0..6).chain(6..6 + count(0) as u32).chain(6..6 + count(1) as u32).collect(),
            segments: [vec![1; 6], vec![2; count(0)], vec![3; count(1)]].concat(),
            trees: vec![1; 6 + count(0) + count(1)],
            shape: [1, 6 + count(0) + count(1)],
        };
        let shared = logprobs(&decoder, &shared);
        let part = |values: &[f32], from: usize, count: usize| {
            values[from * vocabulary..][..count * vocabulary].to_vec()
        };
        testkit::assert_close(&part(&shared, 0, 6), &part(&apart, 0, 6), 2e-5);
        testkit::assert_close(&part(&shared, 6, count(0)), &part(&apart, 6, count(0)), 2e-5);
        testkit::assert_close(
            &part(&shared, 6 + count(0), count(1)),
            &part(&apart, length + 6, count(1)),
            2e-5,
        );
    }
}

#[test]
fn replaying_the_routers_own_choice_changes_nothing() {
    let Case { decoder, rows, .. } = case("deepseek_v3_full");
    let batch = Batch::from_rows(&rows);
    let chosen = decoder.forward(&batch, Routes::Choose);
    let experts: Vec<Vec<u16>> = chosen.routing.iter().map(|layer| layer.experts.clone()).collect();
    let replayed = decoder.forward(&batch, Routes::Replay(&experts));
    assert_eq!(testkit::floats(chosen.hidden), testkit::floats(replayed.hidden));
}

/// rope.json's cases, read as a DeepSeek-V3 configuration would give them.
#[test]
fn rotary_frequencies_and_factors_equal_transformers() {
    let cases: Vec<Value> = testkit::json("model/rope.json");
    assert_eq!(cases.len(), 6);
    for case in cases {
        let mut json: Value = testkit::json("model/deepseek_v3_plain/config.json");
        json["qk_rope_head_dim"] = case["head_dim"].clone();
        json["max_position_embeddings"] = case["max_position_embeddings"].clone();
        json["rope_parameters"] = case["rope_parameters"].clone();
        let config = Config::from_json(&json).unwrap_or_else(|error| panic!("{}: {error}", case["name"]));
        let number = |key: &str| case[key].as_f64().expect("a number");
        let expected: Vec<f32> = case["inv_freq"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|x| x.as_f64().expect("a number") as f32)
            .collect();
        let actual = config.rope.frequencies(config.rotary_width());
        // Relative to each frequency: the smallest are a millionth of the largest.
        let ratios: Vec<f32> = actual.iter().zip(&expected).map(|(a, e)| a / e).collect();
        assert_eq!(actual.len(), expected.len());
        testkit::assert_close(&ratios, &vec![1.0; expected.len()], 1e-5);

        assert!((config.rope.angle_factor() - number("attention_scaling")).abs() < 1e-6, "{}", case["name"]);
        let width = (8 + config.rotary_width()) as f64;
        let factor = config.softmax_scale() * width.sqrt();
        assert!((factor - number("softmax_scale_factor")).abs() < 1e-6, "{}", case["name"]);
    }
}

#[test]
fn the_multi_token_prediction_module_equals_transformers() {
    let Case { decoder, rows, expected, vocabulary } = case("deepseek_v3_mtp");
    let batch = Batch::from_rows(&rows);
    let [count, length] = batch.shape;
    let hidden = decoder.forward(&batch, Routes::Choose).hidden;
    testkit::assert_close(&testkit::floats(hidden.clone()), expected.floats("last_hidden"), TOLERANCE);

    let second = decoder.predict_second(&batch, hidden).expect("the model has the module");
    assert_eq!(second.routing.len(), 1, "the module's block is a mixture");
    let logprobs = testkit::floats(log_softmax(decoder.logits(second.hidden), 1));
    // The last place of a row has no next token.
    let known = logprobs.chunks(length * vocabulary).flat_map(|row| &row[..(length - 1) * vocabulary]);
    let known: Vec<f32> = known.copied().collect();
    assert_eq!(expected.shape("mtp_logprobs"), [count, length - 1, vocabulary]);
    testkit::assert_close(&known, expected.floats("mtp_logprobs"), TOLERANCE);

    let Case { decoder, rows, .. } = case("llama_tied");
    let batch = Batch::from_rows(&rows);
    let hidden = decoder.forward(&batch, Routes::Choose).hidden;
    assert!(decoder.predict_second(&batch, hidden).is_none());
    assert!(PreparedDecoder::drafting(&decoder, Precision::F32).is_none());
}

/// Prompts of 5 and 9 tokens, entered in one piece and in two; then two places at a time, of which the first was known.
#[test]
fn the_modules_cached_states_are_those_of_its_full_pass() {
    let Case { decoder, rows, .. } = case("deepseek_v3_mtp");
    let batch = Batch::from_rows(&rows);
    let [_, length] = batch.shape;
    let full = decoder.forward(&batch, Routes::Choose).hidden;
    let [_, width] = full.dims();
    let expected = testkit::floats(decoder.predict_second(&batch, full.clone()).expect("the module").hidden);

    let prepared = PreparedDecoder::drafting(&decoder, Precision::F32).expect("the module");
    let mut cache = prepared.cache(2, length);
    let (_, kept) = prepared.prefill(&Batch::from_rows(&[&rows[0][..5]]));
    cache.insert(&[0], 5, &kept, &[0]);
    let mut kept = Vec::new();
    for count in [4, 5] {
        prepared.prefill_piece(&rows[1][..9], count, &mut kept);
    }
    cache.insert(&[1], 9, &kept, &[0]);
    // The place before last was computed already, the last one not yet, or without its next token.
    for step in 0..length - 10 {
        let places = [4 + step, 8 + step].map(|last| [last - 1, last]);
        let state = |slot: usize, place: usize| full.clone().narrow(0, slot * length + place, 1);
        let hidden =
            Tensor::cat((0..2).flat_map(|w| [state(0, places[0][w]), state(1, places[1][w])]).collect(), 0);
        let tokens: Vec<u32> =
            (0..2).flat_map(|w| [rows[0][places[0][w] + 1], rows[1][places[1][w] + 1]]).collect();
        let positions = places.map(|[first, _]| first as u32);
        let step =
            DecodeStep { tokens: &tokens, positions: &positions, columns: &places.map(|[first, _]| first) };
        let drafted = testkit::floats(prepared.draft(hidden, step, &mut cache));
        for (row, (w, slot)) in [(0, 0), (0, 1), (1, 0), (1, 1)].into_iter().enumerate() {
            let place = slot * length + places[slot][w];
            testkit::assert_close(
                &drafted[row * width..][..width],
                &expected[place * width..][..width],
                1e-4,
            );
        }
    }
}

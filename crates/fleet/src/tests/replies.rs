//! Replies that make no sense: none of them panics, hangs, or becomes a sample.

use super::{END, Plan, VOCAB, requests};
use crate::Config;
use crate::double::Fault;
use crate::reply::{
    Answer, Asked, ExpertShape, Finish, sglang_generate, sglang_scores, vllm_completions, vllm_generate,
    vllm_scores,
};
use proptest::prelude::*;
use std::time::Duration;

const PROMPT: [u32; 3] = [10, 20, 30];

const VLLM: &str = r#"{"request_id": "r", "usage": {"completion_tokens": 3}, "choices": [{"index": 0, "finish_reason": "stop",
    "stop_reason": 1, "token_ids": [7, 8, 1], "routed_experts": null, "weight_versions": [{"version": "run:3", "start": 0, "end": 2},
    {"version": "run:4", "start": 2, "end": 3}], "logprobs": {"content": [{"token_id": 7, "logprob": -0.5, "rank": 1},
    {"token_id": 8, "logprob": -9999.0, "rank": null}, {"token_id": 1, "logprob": null}]}}]}"#;

const COMPLETIONS: &str = r#"{"usage": {"completion_tokens": 3}, "choices": [{"finish_reason": "stop", "token_ids": [7, 8, 1],
    "logprobs": {"token_logprobs": [-0.5, -9999.0, null]}, "prompt_logprobs": [null, {"20": {"logprob": -1.5}}, {"30": {"logprob": -2.5}}]}]}"#;

const SGLANG: &str = r#"{"text": "", "output_ids": [7, 8], "meta_info": {"completion_tokens": 3, "finish_reason": {"type": "stop", "matched": 1},
    "output_token_logprobs": [[-0.5, 7, null], [-9999.0, 8, null], [null, 1, null]], "weight_version": "run:3",
    "input_token_logprobs": [[null, 10, null], [-1.5, 20, null], [-2.5, 30, null]]}}"#;

fn asked(prompt: &[u32]) -> Asked<'_> {
    Asked { prompt, max_tokens: 8, stop_ids: &[END], vocab_size: VOCAB, experts: None, kept: false }
}

type Reader = fn(&[u8], &Asked) -> Result<Answer, String>;

const READERS: [(Reader, &str); 3] =
    [(vllm_generate, VLLM), (vllm_completions, COMPLETIONS), (sglang_generate, SGLANG)];

#[test]
fn sound_replies_are_read() {
    for (read, body) in READERS {
        let answer = read(body.as_bytes(), &asked(&PROMPT)).expect(body);
        assert_eq!((answer.ids.as_slice(), answer.finish), (&[7, 8, 1][..], Finish::Stop));
        assert_eq!(answer.logprobs[0], -0.5);
        assert!(answer.logprobs[1].is_nan() && answer.logprobs[2].is_nan());
    }
    let spans = vllm_generate(VLLM.as_bytes(), &asked(&PROMPT)).expect("sound").versions;
    assert_eq!(spans, Some(vec![("run:3".to_owned(), 0..2), ("run:4".to_owned(), 2..3)]));
    assert_eq!(vllm_scores(COMPLETIONS.as_bytes(), &PROMPT), Ok(vec![-1.5, -2.5]));
    assert_eq!(sglang_scores(SGLANG.as_bytes(), &PROMPT), Ok(vec![-1.5, -2.5]));
}

#[test]
fn replies_recorded_from_a_real_server_are_read() {
    // SmolLM2-135M-Instruct on vLLM 0.32.0, float32 on a CPU.
    let prompt = [504, 3575, 282, 253];
    let asked = |max_tokens| Asked {
        prompt: &prompt,
        max_tokens,
        stop_ids: &[2],
        vocab_size: 49152,
        experts: None,
        kept: false,
    };
    let generated = include_bytes!("recorded/vllm-0.32.0-generate.json");
    let answer = vllm_generate(generated, &asked(4)).expect("read");
    assert_eq!((answer.ids.as_slice(), answer.finish), (&[1798, 314, 260, 3575][..], Finish::Length));
    assert_eq!(answer.logprobs[0], -0.064_287_53);
    assert_eq!(answer.versions, Some(vec![("default".to_owned(), 0..4)]));
    let scores = vllm_scores(generated, &prompt).expect("read");
    assert_eq!(scores, [-11.549_785, -0.339_651_82, -5.311_102_4]);
    let completed = include_bytes!("recorded/vllm-0.32.0-completions.json");
    let answer = vllm_completions(completed, &asked(3)).expect("read");
    assert_eq!((answer.ids.as_slice(), answer.versions), (&[1603, 29, 18290][..], None));
    assert!(vllm_completions(completed, &asked(4)).is_err(), "shorter than what was asked for");
}

#[test]
fn parts_that_do_not_fit_each_other_or_the_request_are_refused() {
    for (from, to, says) in [
        ("[7, 8, 1]", "[7, 8]", "3 log-probabilities for 2 tokens"),
        ("[7, 8, 1]", "[7, 9, 1]", "log-probability of token 8 for token 9"),
        ("[7, 8, 1]", "[7, 8, 1, 1]", "3 log-probabilities for 4"),
        ("\"completion_tokens\": 3", "\"completion_tokens\": 4", "`usage` counts 4 tokens"),
        ("\"finish_reason\": \"stop\"", "\"finish_reason\": \"length\"", "3 tokens at the length limit of 8"),
        ("\"finish_reason\": \"stop\"", "\"finish_reason\": \"error\"", "expected stop, length or abort"),
        ("\"finish_reason\": \"stop\"", "\"finish_reason\": \"abort\"", "ending token that ended nothing"),
        ("\"start\": 2, \"end\": 3", "\"start\": 2, \"end\": 9", "for tokens 2..9 of 3"),
        ("\"start\": 2, \"end\": 3", "\"start\": 1, \"end\": 3", "for tokens 1..3 of 3"),
        ("\"logprob\": -0.5", "\"logprob\": 0.5", "at most 0, found 0.5"),
        ("\"logprob\": -0.5", "\"logprob\": NaN", "no answer of the schema"),
        ("[7, 8, 1]", "[7, 8, -1]", "no answer of the schema"),
        ("\"choices\": [", "\"choices\": [], \"other\": [", "0 choices; expected 1"),
    ] {
        let body = VLLM.replace(from, to);
        assert_ne!(body, VLLM, "{from}");
        let error = vllm_generate(body.as_bytes(), &asked(&PROMPT)).expect_err(says);
        assert!(error.contains(says), "{error}");
    }
    let mut small = asked(&PROMPT);
    small.vocab_size = 8;
    let error = vllm_generate(VLLM.as_bytes(), &small).expect_err("an id beyond the vocabulary");
    assert!(error.contains("token id 8, the vocabulary has 8"), "{error}");
    let early = VLLM.replace("[7, 8, 1]", "[1, 8, 1]").replace("\"token_id\": 7", "\"token_id\": 1");
    let error = vllm_generate(early.as_bytes(), &asked(&PROMPT)).expect_err("an end in the middle");
    assert!(error.contains("before the last"), "{error}");
}

#[test]
fn sampling_masks_are_of_each_token_and_hold_it() {
    let vllm = VLLM.replace("\"index\": 0,", "\"index\": 0, \"sampling_mask\": [[9, 7], [8], [2, 1, 3]],");
    let named = vllm.replace("[[9, 7], [8], [2, 1, 3]]", "{\"token_ids\": [[9, 7], [8], [2, 1, 3]]}");
    let sglang = SGLANG.replace(
        "\"weight_version\"",
        "\"output_token_sampling_mask\": [[9, 7], [8], [2, 1, 3]], \"output_token_sampling_logprobs\": [-0.25, 0.0, -0.125], \"weight_version\"",
    );
    let masked = Asked { kept: true, ..asked(&PROMPT) };
    let readers: [(Reader, &str); 3] =
        [(vllm_generate, &vllm), (vllm_generate, &named), (sglang_generate, &sglang)];
    for (read, body) in readers {
        let answer = read(body.as_bytes(), &masked).expect(body);
        assert_eq!(
            (answer.kept.at(0), answer.kept.at(1), answer.kept.at(2)),
            (&[7, 9][..], &[8][..], &[1, 2, 3][..])
        );
        assert!(read(body.as_bytes(), &asked(&PROMPT)).expect(body).kept.is_empty(), "none were asked for");
        for (to, says) in [
            ("[[9, 7], [8]]", "sampling masks of 2 tokens for 3"),
            ("[[9, 7], [8], [2, 3]]", "token 2 is 1, which is not in its sampling mask"),
            ("[[9, 7], [], [1]]", "token 1 is 8, which is not in its sampling mask"),
            ("[[9, 7], [8, 160], [1]]", "token id 160 in the sampling mask of token 1"),
            ("[[9, 7, 9], [8], [1]]", "the sampling mask of token 0 has 9 twice"),
            ("[[9, -7], [8], [1]]", "no answer of the schema"),
            ("null", "s"),
        ] {
            let body = body.replace("[[9, 7], [8], [2, 1, 3]]", to);
            let error = read(body.as_bytes(), &masked).expect_err(says);
            assert!(error.contains(says), "{error}");
        }
    }
    let sglang_answer = sglang_generate(sglang.as_bytes(), &masked).expect("sound");
    assert_eq!(sglang_answer.logprobs, [-0.25, 0.0, -0.125], "of what was kept");
    for (read, body) in READERS {
        let error = read(body.as_bytes(), &masked).expect_err("no masks");
        assert!(error.contains("sampling"), "{error}");
    }
}

/// Changes to a sound reply: bytes replaced, removed and put in, and pieces of JSON in the place of others.
fn damage() -> impl Strategy<Value = Vec<(usize, u8, u8)>> {
    prop::collection::vec((any::<usize>(), 0..5_u8, any::<u8>()), 1..6)
}

fn damaged(body: &str, changes: &[(usize, u8, u8)]) -> Vec<u8> {
    const PIECES: [&str; 8] = ["null", "-1", "1e999", "[]", "{}", "\"x\"", "99999999999999999999", "[[[["];
    let mut bytes = body.as_bytes().to_vec();
    for (at, what, value) in changes {
        if bytes.is_empty() {
            break;
        }
        let at = at % bytes.len();
        match what {
            0 => bytes[at] = *value,
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, *value),
            3 => bytes.truncate(at.max(1)),
            _ => {
                let piece = PIECES[usize::from(*value) % PIECES.len()];
                let starts = (0..bytes.len()).filter(|i| bytes[*i].is_ascii_digit()).collect::<Vec<_>>();
                if let Some(start) = starts.get(at % starts.len().max(1)) {
                    bytes.splice(*start..=*start, piece.bytes());
                }
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn ten_thousand_damaged_replies_are_refused_or_fit_the_request(changes in damage()) {
        let shape = ExpertShape { num_hidden_layers: 2, moe_layers: vec![1], experts_per_token: 1, num_experts: 4 };
        for (read, body) in READERS {
            let asked = Asked { experts: Some(&shape), ..asked(&PROMPT) };
            if let Ok(answer) = read(&damaged(body, &changes), &asked) {
                prop_assert_eq!(answer.ids.len(), answer.logprobs.len());
                prop_assert!(answer.ids.len() <= 8 && answer.ids.iter().all(|id| (*id as usize) < VOCAB));
                prop_assert!(answer.logprobs.iter().all(|number| number.is_nan() || *number <= 0.0));
            }
        }
        for (body, read) in [(COMPLETIONS, vllm_scores as fn(&[u8], &[u32]) -> _), (SGLANG, sglang_scores)] {
            if let Ok(scores) = read(&damaged(body, &changes), &PROMPT) {
                let scores: Vec<f32> = scores;
                prop_assert_eq!(scores.len(), 2);
            }
        }
    }

    #[test]
    fn bytes_of_no_kind_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        for (read, _) in READERS {
            prop_assert!(read(&bytes, &asked(&PROMPT)).is_err());
        }
    }
}

#[test]
fn a_thousand_malformed_answers_of_a_server_end_every_request() {
    let config = Config { max_retries: 1000, ..Plan::default().config };
    let mut scene = Plan { count: 1, config, ..Plan::default() }.ready();
    let mut seed = 1_u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize
    };
    {
        let mut script = scene.doubles[0].script();
        for place in 0..1500 {
            let changes = [(next(), (next() % 3) as u8, next() as u8), (next(), 3, 0)];
            // Every third answer is sound: three failures in a row would take the server down.
            script.faults.push_back(match place % 3 {
                2 => Fault::Slow(Duration::ZERO),
                _ => Fault::Body(damaged(VLLM, &changes)),
            });
        }
    }
    let mut again = 0;
    while !scene.doubles[0].script().faults.is_empty() {
        let (_, tally) = scene.sound(requests(1, 1), 0);
        assert_eq!((tally.completions, tally.lost, tally.stale), (1, 0, 0));
        again += tally.again;
    }
    assert!(again >= 1000, "{again}");
}

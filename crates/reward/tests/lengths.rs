//! Rewards of length and repetition against TRL's own functions (`fixtures/reward/lengths.py`).

use ruminate_data::{Outcome, Prompt, Task};
use ruminate_reward::{
    Cosine, GroupReward, Length, Member, Overlong, Repetition, Response, Tokens, Unit, Verifier,
};
use serde::Deserialize;

const GOLDEN: &str = include_str!("../../../fixtures/reward/lengths.json");

#[derive(Deserialize)]
struct Golden {
    cosine: Vec<CosineCase>,
    overlong: Vec<OverlongCase>,
    repetition: Vec<RepetitionCase>,
    length: Vec<LengthCase>,
}

#[derive(Deserialize)]
struct CosineCase {
    max_len: usize,
    /// Wrong from, wrong to, right to, right from.
    bounds: [f64; 4],
    correct: bool,
    tokens: usize,
    score: f64,
}

#[derive(Deserialize)]
struct OverlongCase {
    max_completion_len: usize,
    soft_punish_cache: usize,
    tokens: usize,
    score: f64,
}

#[derive(Deserialize)]
struct RepetitionCase {
    ngram_size: usize,
    max_penalty: f64,
    ids: Vec<u32>,
    score: f64,
}

#[derive(Deserialize)]
struct LengthCase {
    tokens: Vec<usize>,
    correct: Vec<bool>,
    scores: Vec<f64>,
}

fn golden() -> Golden {
    serde_json::from_str(GOLDEN).expect("the fixture has its form")
}

fn task() -> Task {
    Task { prompt: Prompt::Text(String::new()), answer: String::new(), columns: serde_json::Map::new() }
}

fn member<'a>(tokens: usize, correct: bool) -> Member<'a> {
    let response = Response { tokens: Tokens::Count(tokens), ..Response::finished("") };
    Member { response, outcome: if correct { Outcome::Correct } else { Outcome::Wrong } }
}

fn assert_near(found: f64, expected: f64, case: &str) {
    assert!((found - expected).abs() < 1e-9, "{case}: {found} instead of {expected}");
}

#[test]
fn cosine_is_trls_to_both_sides_of_its_end() {
    for case in golden().cosine {
        let [min_value_wrong, max_value_wrong, min_value_correct, max_value_correct] = case.bounds;
        let max_len = case.max_len;
        let cosine =
            Cosine { max_len, min_value_wrong, max_value_wrong, min_value_correct, max_value_correct };
        let score = cosine.scores(&task(), &[member(case.tokens, case.correct)]).remove(0);
        assert_near(score.expect("a score"), case.score, &format!("{} of {max_len} tokens", case.tokens));
    }
}

#[test]
fn overlong_is_trls_soft_punishment() {
    for case in golden().overlong {
        let OverlongCase { max_completion_len, soft_punish_cache, tokens, score } = case;
        let overlong = Overlong { max_completion_len, soft_punish_cache };
        let response = Response { tokens: Tokens::Count(tokens), ..Response::finished("") };
        let found = overlong.verify(&task(), &response).score;
        assert_near(found, score, &format!("{tokens} of {max_completion_len}"));
    }
}

#[test]
fn repetition_is_trls_penalty_on_token_ids() {
    for case in golden().repetition {
        let RepetitionCase { ngram_size, max_penalty, ids, score } = case;
        let repetition = Repetition { ngram_size, max_penalty, unit: Unit::Tokens };
        let response = Response { tokens: Tokens::Ids(&ids), ..Response::finished("") };
        let found = repetition.verify(&task(), &response).score;
        assert_near(found, score, &format!("{ngram_size}-grams of {ids:?}"));
    }
}

#[test]
fn length_is_kimis_formula() {
    for case in golden().length {
        let group: Vec<Member<'_>> = case
            .tokens
            .iter()
            .zip(&case.correct)
            .map(|(&tokens, &correct)| member(tokens, correct))
            .collect();
        let scores = Length.scores(&task(), &group);
        assert_eq!(scores.len(), case.scores.len());
        for (found, expected) in scores.into_iter().zip(case.scores) {
            assert_near(found.expect("a score"), expected, "length");
        }
    }
}

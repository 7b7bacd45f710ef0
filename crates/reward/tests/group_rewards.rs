//! Rewards that come after the verifiers: through a rubric, a line, and when they misbehave.

use ruminate_data::{Outcome, Prompt, Task, Verdict};
use ruminate_reward::{
    Cosine, Error, Exact, GroupReward, Length, Member, Named, Pattern, Response, Rubric, Tokens, Verifier,
    verify_line,
};
use serde_json::{Value, json};

fn task() -> Task {
    Task { prompt: Prompt::Text("1+2=".into()), answer: "3".into(), columns: serde_json::Map::new() }
}

/// Judges texts of so many tokens as one group.
fn judge(rubric: Result<Rubric, Error>, group: &[(&str, Tokens<'_>)]) -> Vec<Verdict> {
    let response = |&(text, tokens)| Response { tokens, ..Response::finished(text) };
    let responses: Vec<Response<'_>> = group.iter().map(response).collect();
    rubric.expect("a valid rubric").verify_group(&task(), &responses)
}

fn exact() -> Result<Rubric, Error> {
    Rubric::new(vec![(Box::new(Exact), 1.0)])
}

const RIGHT: &str = "<answer>3</answer>";
const WRONG: &str = "<answer>4</answer>";

#[test]
fn length_is_relative_to_the_siblings_and_knows_who_is_right() {
    let rubric = exact().and_then(|rubric| rubric.with_group_reward(Box::new(Length), 0.5));
    let verdicts = judge(
        rubric,
        &[(RIGHT, Tokens::Count(100)), (RIGHT, Tokens::Count(300)), (WRONG, Tokens::Ids(&[0; 100]))],
    );
    let scores: Vec<f64> = verdicts.iter().map(|verdict| verdict.score).collect();
    assert_eq!(scores, [1.0 + 0.5 * 0.5, 1.0 - 0.5 * 0.5, 0.0]);
    assert_eq!(verdicts[0].rewards, [("exact".into(), 1.0), ("length".into(), 0.5)]);
}

#[test]
fn without_lengths_the_sample_is_unscored_and_its_siblings_are_not() {
    let rubric = exact().and_then(|rubric| rubric.with_group_reward(Box::new(Cosine::new(100)), 1.0));
    let verdicts = judge(rubric, &[(RIGHT, Tokens::Unknown), (RIGHT, Tokens::Count(50))]);
    assert_eq!(verdicts[0].outcome, Outcome::Unscored);
    assert_eq!(verdicts[0].why, "cosine: needs the number of tokens (`tokens`)");
    assert_eq!(verdicts[1].score, 1.75);
}

type Scores = fn(&[Member<'_>]) -> Vec<Result<f64, String>>;

/// A group reward that does what a test wants.
struct Broken(Scores);

impl GroupReward for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn scores(&self, _task: &Task, group: &[Member<'_>]) -> Vec<Result<f64, String>> {
        self.0(group)
    }
}

#[test]
fn a_group_reward_that_misbehaves_masks_what_it_weighs_on() {
    let cases: [(Scores, &str); 3] = [
        (|_| panic!("at the disco"), "broken: panicked"),
        (|_| Vec::new(), "broken: gave 0 scores for 1 completions"),
        (|_| vec![Ok(f64::NAN)], "broken: gave the score NaN"),
    ];
    for (broken, why) in cases {
        let with =
            |weight| exact().and_then(|rubric| rubric.with_group_reward(Box::new(Broken(broken)), weight));
        let paid = judge(with(0.1), &[(RIGHT, Tokens::Unknown)]);
        assert_eq!((paid[0].outcome, paid[0].why.as_str()), (Outcome::Unscored, why));
        let watched = judge(with(0.0), &[(RIGHT, Tokens::Unknown)]);
        assert_eq!((watched[0].outcome, watched[0].score), (Outcome::Correct, 1.0));
    }
}

#[test]
fn names_are_reported_once_and_may_be_given() {
    let twice = exact()
        .and_then(|rubric| rubric.with_group_reward(Box::new(Length), 1.0))
        .and_then(|rubric| rubric.with_group_reward(Box::new(Length), 1.0));
    assert!(matches!(twice.err(), Some(Error::DuplicateComponent { .. })));
    let infinite = exact().and_then(|rubric| rubric.with_group_reward(Box::new(Length), f64::INFINITY));
    assert!(matches!(infinite.err(), Some(Error::Weight { .. })));

    let pattern = |text| {
        Box::new(
            Pattern::new(Some(text), ruminate_reward::Subject::Answer, ruminate_reward::Extent::Whole)
                .expect("it compiles"),
        )
    };
    let rubric = Rubric::new(vec![
        (Box::new(Named::new("digit", pattern("[0-9]"))) as Box<dyn Verifier>, 1.0),
        (Box::new(Named::new("three", pattern("3"))), 2.0),
    ]);
    let rubric = rubric.expect("two names");
    assert_eq!(rubric.weights().collect::<Vec<_>>(), [("digit", 1.0), ("three", 2.0)]);
    assert_eq!(
        rubric.verify(&task(), &Response::finished(WRONG)).rewards,
        [("digit".into(), 1.0), ("three".into(), 0.0)]
    );
}

fn line(row: &Value) -> (Outcome, f64, String) {
    let verified = verify_line(0, &row.to_string()).expect("a well-formed line");
    (verified.verdict, verified.score, verified.why)
}

#[test]
fn a_line_gives_lengths_and_siblings() {
    let row = |more: Value| {
        let mut row = json!({"kind": "length", "gold": 3, "completion": RIGHT});
        row.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        line(&row)
    };
    let (outcome, score, _) = row(json!({"tokens": 100, "group_tokens": [200, 300]}));
    assert_eq!((outcome, score), (Outcome::Correct, 0.5));
    assert_eq!(row(json!({"tokens": 150, "group_tokens": [100, 300]})).1, 0.25);
    assert_eq!(row(json!({"completion_ids": [1, 2], "group_tokens": [1]})).1, -0.5);
    assert_eq!(row(json!({"tokens": 300, "group_tokens": [200, 100], "gold": 4})).1, -0.5);
    assert_eq!(row(json!({"tokens": 100, "group_tokens": [200, 300], "gold": 4})).1, 0.0);
    assert_eq!(row(json!({})).0, Outcome::Unscored);

    let cosine = json!({"kind": "cosine", "gold": "x #### 3", "completion": "#### 3", "answer_kind": "gsm8k", "tokens": 50, "max_len": 100});
    let (outcome, score, why) = line(&cosine);
    assert_eq!((outcome, score), (Outcome::Wrong, 0.75), "the highest score is that of no length: {why}");
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    for (row, key) in [
        (json!({"kind": "cosine"}), "max_len"),
        (json!({"kind": "cosine", "max_len": 0}), "max_len"),
        (json!({"kind": "overlong", "max_completion_len": 10, "soft_punish_cache": 11}), "soft_punish_cache"),
        (json!({"kind": "repetition", "max_penalty": 0.5}), "max_penalty"),
        (json!({"kind": "repetition", "ngram_size": 0}), "ngram_size"),
        (json!({"kind": "choice", "choices": 27}), "choices"),
        (json!({"kind": "language", "language": "klingon"}), "language"),
        (json!({"kind": "regex", "pattern": "("}), "pattern"),
        (json!({"kind": "regex", "pattern": "a)(b"}), "pattern"),
        (json!({"kind": "regex", "pattern": "(((\\w{100}){100}){100})"}), "pattern"),
        (json!({"kind": "format", "style": "xml"}), "style"),
        (json!({"kind": "length", "tokens": -1}), "tokens"),
    ] {
        let mut row = row;
        row["completion"] = json!("");
        let error = verify_line(0, &row.to_string()).expect_err(key).to_string();
        assert!(error.contains(&format!("`{key}`")), "{row}: {error}");
    }
}

#[test]
fn a_recipe_s_slips_are_refused_with_the_nearest() {
    use ruminate_reward::check_options;
    assert!(check_options("language", ["language"]).is_ok());
    assert!(matches!(
        check_options("overlong", ["max_len"]).err(),
        Some(Error::UnknownOption { nearest: Some("max_completion_len"), .. })
    ));
    assert!(matches!(
        check_options("cosin", []).err(),
        Some(Error::UnknownKind { nearest: Some("cosine"), .. })
    ));
}

//! Rewards from tables of recipes: their names and weights, and what is refused.

use super::Reward;
use crate::Data;

fn weights(toml: &str) -> Result<Vec<(String, f64)>, String> {
    let reward: Reward = toml::from_str(toml).map_err(|error| error.to_string())?;
    let rubric = reward.rubric(&Data::default()).map_err(|error| error.to_string())?;
    Ok(rubric.weights().map(|(name, weight)| (name.to_owned(), weight)).collect())
}

#[test]
fn the_short_form_is_an_answer_and_a_little_form() {
    let exact = [("exact".to_owned(), 1.0), ("format".to_owned(), 0.1)];
    assert_eq!(weights("").expect("valid"), exact);
    let gsm8k = [("gsm8k".to_owned(), 1.0), ("format".to_owned(), 0.0)];
    assert_eq!(weights("verifier = 'gsm8k'\nformat = 0").expect("valid"), gsm8k);
}

#[test]
fn components_are_the_whole_reward_with_their_options() {
    let reward = r#"
        [[components]]
        kind = "last_number"
        [[components]]
        kind = "cosine"
        weight = 0.5
        max_len = 100
        [[components]]
        kind = "regex"
        name = "digits"
        weight = 0.1
        pattern = "[0-9]+"
        [[components]]
        kind = "regex"
        weight = 0
    "#;
    let names: Vec<(String, f64)> = weights(reward).expect("valid");
    let expected = [("last_number", 1.0), ("digits", 0.1), ("regex", 0.0), ("format", 0.0), ("cosine", 0.5)];
    assert_eq!(names, expected.map(|(name, weight)| (name.to_owned(), weight)));
}

#[test]
fn programs_and_servers_are_parts_that_only_a_recipe_names() {
    let reward = r#"
        [[components]]
        kind = "code"
        timeout_ms = 1000
        [[components]]
        kind = "command"
        name = "mine"
        command = ["python3", "judge.py"]
        [[components]]
        kind = "http"
        weight = 0.5
        url = "http://localhost:8000/score"
    "#;
    let names: Vec<String> = weights(reward).expect("valid").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["code", "mine", "http", "format"]);
    let refused = weights("components = [{ kind = 'code', timeout = 3 }]").expect_err("no such option");
    assert!(refused.contains("timeout"), "{refused}");
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    for (reward, says) in [
        ("verifier = 'exakt'", "did you mean `exact`"),
        ("components = [{ kind = 'cosin' }]", "did you mean `cosine`"),
        ("components = [{ kind = 'exact' }, { kind = 'cosine' }]", "max_len"),
        ("components = [{ kind = 'overlong', max_len = 3 }]", "did you mean `max_completion_len`"),
        ("components = [{ kind = 'length' }]", "no verifier"),
        ("components = [{ kind = 'exact' }, { kind = 'exact' }]", "two components named `exact`"),
        ("components = [{ kind = 'exact', weight = inf }]", "finite"),
        ("components = [{ kind = 'exact' }]\nformat = 0.2", "`format` has no effect"),
        ("components = [{ kind = 'exact' }]\nverifier = 'math'", "`verifier` has no effect"),
        ("timeout_s = 0", "timeout_s"),
        ("timeout_s = inf", "timeout_s"),
    ] {
        let message = weights(reward).expect_err(reward);
        assert!(message.contains(says), "{reward}: {message}");
    }
}

#[test]
fn problems_decide_the_verifier_that_a_recipe_leaves_open() {
    let reward = Reward::default();
    let family: Data = toml::from_str("task = 'countdown'").expect("a table");
    assert_eq!(reward.judged_by(&family).expect("known"), ("countdown".to_owned(), "the family of problems"));
    assert!(reward.reads_tags(&family) && reward.reads_tags(&Data::default()));
    let names: Vec<String> =
        reward.rubric(&family).expect("valid").weights().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names, ["countdown", "format", "all_steps"]);
    let free: Reward = toml::from_str("verifier = 'math'").expect("a table");
    assert!(!free.reads_tags(&family));
    assert_eq!(free.stated_kind().as_deref(), Some("math"));
    let text: Reward =
        toml::from_str("components = [{ kind = 'regex', subject = 'response' }]").expect("a table");
    assert!(!text.reads_tags(&family));
}

#[test]
fn only_programs_come_with_a_warning() {
    let reward: Reward = toml::from_str("components = [{ kind = 'exact' }]").expect("a table");
    assert!(reward.warnings().expect("nothing to try").is_empty());
    let code: Reward = toml::from_str("components = [{ kind = 'code', timeout = 1 }]").expect("a table");
    let error = code.warnings().expect_err("no such option");
    assert!(error.is_usage() && error.to_string().contains("timeout"), "{error}");
}

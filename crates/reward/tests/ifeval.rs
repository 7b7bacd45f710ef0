//! `ifeval` against the checkers of lm-evaluation-harness and of IFBench, case by case (`fixtures/reward/ifeval.py`). The
//! fixture is a choice of pairs; `RUMINATE_IFEVAL` names the file of all 2,080 that the script writes.

use ruminate_data::{Outcome, Task};
use ruminate_reward::{InstructionFollowing, Response, Verifier};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;

const GOLDEN: &str = include_str!("../../../fixtures/reward/ifeval.json");

/// Instructions that the references decide by nltk's trained model of sentences, with the cases that differ:
/// `U.S. SENT` in capitals is two sentences to it.
const BY_MODELS: &[(&str, usize)] = &[("ratio:sentence_type", 1)];

fn disagreements(name: &str) -> (usize, BTreeMap<String, Vec<String>>) {
    let all = std::env::var("RUMINATE_IFEVAL").ok().map(|path| fs::read_to_string(path).expect("pairs"));
    let golden: Value = serde_json::from_str(all.as_deref().unwrap_or(GOLDEN)).expect("JSON");
    let cases = golden[name].as_array().expect("a list");
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for case in cases {
        let [id, kwargs, response, follows] = [0, 1, 2, 3].map(|at| case[at].clone());
        let task = Task::new("", "")
            .with_column("instruction_id_list", json!([id]))
            .with_column("kwargs", json!([kwargs]));
        let text = response.as_str().expect("a text");
        let verdict = InstructionFollowing::default().verify(&task, &Response::finished(text));
        let expected = if follows == true { Outcome::Correct } else { Outcome::Wrong };
        if verdict.outcome != expected {
            let line = format!("{kwargs} {response}: expected {expected:?}, {}", verdict.why);
            found.entry(id.as_str().expect("a name").to_owned()).or_default().push(line);
        }
    }
    (cases.len(), found)
}

fn assert_agrees(name: &str, least: usize) {
    let (count, found) = disagreements(name);
    assert!(count >= least, "the fixture has shrunk to {count} cases");
    let allowed = |id: &str| BY_MODELS.iter().find(|(known, _)| *known == id).map_or(0, |(_, most)| *most);
    let beyond: Vec<_> = found.iter().filter(|(id, lines)| lines.len() > allowed(id)).collect();
    assert!(beyond.is_empty(), "{beyond:#?}");
}

#[test]
fn verdicts_are_those_of_lm_eval() {
    assert_agrees("ifeval", 170);
}

#[test]
fn verdicts_are_those_of_ifbench() {
    assert_agrees("ifbench", 250);
}

//! Problems of families and of files: what is held out, what is left out, and what is refused.

use super::{ProblemSettings, Problems};
use crate::{Data, Error, Reward, shots};
use ruminate_data::Seed;
use ruminate_text::{PromptStyle, Renderer, Tokenizer};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const SETTINGS: ProblemSettings =
    ProblemSettings { positions: 64, max_new_tokens: 32, eval_n: 5, asked: 20, pools: false };

/// The problems of a table, in which FOLDER is a folder with these files, and what `notify` got.
fn made(
    toml: &str,
    files: &[(&str, &str)],
    settings: ProblemSettings,
) -> Result<(Problems, Vec<String>), Error> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("written");
    }
    of_table(&toml.replace("FOLDER", folder.path().to_str().expect("UTF-8")), settings)
}

fn of_table(toml: &str, settings: ProblemSettings) -> Result<(Problems, Vec<String>), Error> {
    let data: Data = toml::from_str(toml).expect("a table");
    let reward = Reward::default();
    let mut renderer = renderer();
    renderer.template.preamble = shots(&data, reward.reads_tags(&data))?;
    let mut notices = Vec::new();
    let notify = &mut |notice| notices.push(notice);
    let problems = Problems::for_evaluation(&data, &reward, settings, &renderer, Seed::new(0), notify)?;
    Ok((problems, notices))
}

fn renderer() -> Renderer {
    Renderer::embedded(PromptStyle::Auto).expect("embedded")
}

fn refused(toml: &str, files: &[(&str, &str)], settings: ProblemSettings) -> (String, bool) {
    let error = made(toml, files, settings).err().expect("refused");
    (error.to_string(), error.is_usage())
}

/// So many different sums as JSONL.
fn sums(count: usize) -> String {
    let mut text = String::new();
    for i in 0..count {
        writeln!(text, "{{\"prompt\": \"{i}+1=\", \"answer\": {}}}", i + 1).expect("written");
    }
    text
}

fn prompts(problems: &mut Problems, count: u64) -> Vec<String> {
    let renderer = renderer();
    let prompt = |index| problems.training(&renderer, index).expect("a problem").task.prompt.text();
    (0..count).map(prompt).collect()
}

const SMALL: &str =
    "task = 'chain_sum'\nparams = { min_terms = 2, max_terms = 2, min_digits = 1, max_digits = 2 }";

#[test]
fn a_family_gives_problems_by_index_and_sets_that_training_never_sees() {
    let settings = ProblemSettings { positions: 512, ..SETTINGS };
    let (mut problems, notices) = made(SMALL, &[], settings).expect("a family");
    assert_eq!((problems.validation.len(), problems.test.len(), problems.count()), (5, 5, None));
    assert!(notices.is_empty() && problems.notes.is_empty());
    let drawn = prompts(&mut problems, 20);
    assert_eq!(prompts(&mut problems, 20), drawn, "the same whatever was asked before");
    let held_out = problems.validation.iter().chain(&problems.test);
    assert!(held_out.map(|task| task.prompt.text()).all(|text| !drawn.contains(&text)));
}

#[test]
fn a_family_that_does_not_fit_and_a_table_without_problems_are_errors_of_options() {
    let (message, is_usage) = refused(SMALL, &[], ProblemSettings { positions: 40, ..SETTINGS });
    assert!(message.starts_with("the tasks do not fit into the model: ") && is_usage, "{message}");
    let (message, is_usage) = refused("", &[], SETTINGS);
    assert!(message.starts_with("no problems: set `data.task`") && is_usage, "{message}");
}

#[test]
fn a_file_is_split_by_the_hash_of_its_prompts() {
    let files = [("a.jsonl", sums(100).as_str())].map(|(name, text)| (name, text.to_owned()));
    let files = [(files[0].0, files[0].1.as_str())];
    let (mut problems, notices) = made("train = 'FOLDER/a.jsonl'", &files, SETTINGS).expect("read");
    let training = problems.count().expect("a file");
    assert!(notices.is_empty() && problems.test.is_empty());
    assert_eq!(problems.validation.len(), 5);
    let says = format!("{training} problems to train on, {} held out by the hash", 100 - training);
    assert!(problems.notes[0].ends_with("a.jsonl: 100 rows"), "{:?}", problems.notes);
    assert!(problems.notes[1].starts_with(&says), "{:?}", problems.notes);
    assert!(problems.notes[2].starts_with("judged by `math` (so says the answers of the first rows"));
    let mut epoch = prompts(&mut problems, training as u64);
    assert!(problems.validation.iter().all(|task| !epoch.contains(&task.prompt.text())));
    epoch.sort();
    epoch.dedup();
    assert_eq!(epoch.len(), training, "each problem once per epoch");
}

#[test]
fn what_is_evaluated_on_and_what_is_shown_solved_is_not_trained_on() {
    let (train, eval) = (sums(20), sums(8));
    let files = [("a.jsonl", train.as_str()), ("b.jsonl", eval.as_str())];
    let table = "train = 'FOLDER/a.jsonl'\neval = 'FOLDER/b.jsonl'\nshots = 2";
    let settings = ProblemSettings { positions: 512, ..SETTINGS };
    let (problems, _) = made(table, &files, settings).expect("read");
    assert_eq!(problems.count(), Some(12));
    assert_eq!(problems.validation[0].prompt.text(), "2+1=", "the first two are shown");
    let says = "12 problems to train on, 6 held out (`data.eval`), of which the first 5 are asked (`eval.n`)";
    assert_eq!(problems.notes[2], says);
}

#[test]
fn what_surely_fits_is_encoded_when_it_is_asked_and_the_rest_before() {
    let mut renderer = renderer();
    renderer.tokenizer =
        Tokenizer::load(&ruminate_testkit::fixture_path("text/byte_level")).expect("a tokenizer");
    // 10 bytes fit whatever they are; of 30 only the ids tell, of which these words have one each and these letters 30.
    let text = |words: &str| format!("{{\"prompt\": \"{words}\", \"answer\": 1}}\n");
    let rows: String = ["a cat sat", " the cat on the mat on the cat", &"z".repeat(40)].map(text).concat();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.jsonl");
    fs::write(&path, rows + &sums(50)).expect("written");
    let data = Data { train: Some(path), ..Data::default() };
    let settings = ProblemSettings { positions: 64, max_new_tokens: 32, ..SETTINGS };
    let mut notices = Vec::new();
    let notify = &mut |notice| notices.push(notice);
    let mut problems =
        Problems::new(&data, &Reward::default(), settings, &renderer, Seed::new(0), notify).expect("read");
    assert!(notices[0].contains("1 of 53 prompts have more than 32 tokens"), "{notices:?}");
    for index in 0..problems.count().expect("a file") as u64 {
        let problem = problems.training(&renderer, index).expect("a problem");
        let ids = renderer.prompt_ids(&problem.task.prompt, &problem.task.columns).expect("tokens");
        assert_eq!(problem.prompt_ids, ids);
    }
}

#[test]
fn a_mixtures_members_are_asked_by_their_place() {
    let tasks = "tasks = [{ task = 'gcd', params = { wording = 'bare' } },\n\
                 { task = 'chain_sum', name = 'sums', params = { terms = 2, total_max = 19 } }]";
    let settings = ProblemSettings { positions: 512, pools: true, ..SETTINGS };
    let (mut problems, _) = made(tasks, &[], settings).expect("families");
    let pools = problems.pools().expect("members");
    assert_eq!((pools.len(), problems.count()), (2, None));
    let renderer = renderer();
    let mut task =
        |place, index| problems.training(&renderer, pools.problem(place, index)).expect("a problem").task;
    for index in 0..9 {
        assert_eq!(
            (&task(0, index).columns["task"], &task(1, index).columns["task"]),
            (&"gcd".into(), &"sums".into())
        );
    }
    assert_eq!(task(1, 4), task(1, 4), "the same whatever was asked before");
    assert_ne!(task(1, 4), task(1, 5));
    let (single, _) = made(SMALL, &[], settings).expect("a family");
    assert!(single.pools().is_none());
}

#[test]
fn a_file_to_evaluate_on_alone_has_nothing_to_train_on() {
    let eval = sums(8);
    let (mut problems, notices) =
        made("eval = 'FOLDER/b.jsonl'", &[("b.jsonl", eval.as_str())], SETTINGS).expect("read");
    assert_eq!(problems.validation.len(), 5);
    assert!(notices[0].ends_with("b.jsonl: the first 5 of 8 problems are asked; `eval.n` decides"));
    let error = problems.training(&renderer(), 0).expect_err("none");
    assert!(matches!(error, Error::NothingToTrainOn) && error.is_usage());
}

#[test]
fn rows_that_are_bad_or_too_long_are_left_out_and_counted() {
    let long = format!("{{\"prompt\": \"{}\", \"answer\": 1}}\n", "1+".repeat(20));
    let text = sums(50) + "{\n" + &long + &sums(1);
    let table = "train = 'FOLDER/a.jsonl'\nbad_lines = 'skip'";
    let (problems, notices) = made(table, &[("a.jsonl", &text)], SETTINGS).expect("read");
    assert!(notices[0].starts_with("warning: 1 bad lines left out, such as "), "{notices:?}");
    assert!(notices[1].contains("1 of 52 prompts have more than 32 tokens and were left out"), "{notices:?}");
    let says = "53 rows, 1 bad and left out, 1 too long and left out, 1 with a prompt seen before";
    assert!(problems.notes[0].ends_with(says), "{:?}", problems.notes);
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_place() {
    let same = "{\"prompt\": \"1+1=\", \"answer\": 2}\n".repeat(3);
    let long = format!("{{\"prompt\": \"{}\", \"answer\": 1}}\n", "1+".repeat(20));
    let longer = format!("{{\"prompt\": \"{}\", \"answer\": 1}}\n", "1+".repeat(40_000));
    for (text, says) in [
        (
            "{\"prompt\": \"caf\u{e9}\", \"answer\": 1}",
            "a.jsonl:1: character 'é' (U+00E9) at byte 3 has no token",
        ),
        (
            "\n{\"prompt\": \"2?\", \"choices\": [\"3\", \"4\"], \"answer\": \"7\"}",
            "a.jsonl:2: expected `answer` to be the letter",
        ),
        (
            "{\"prompt\": [{\"role\": \"user\", \"content\": \"a\"}], \"answer\": 1}",
            "a.jsonl:1: the prompt is a list of",
        ),
        ("{\"prompt\": \"a\"}", "a.jsonl:1: expected"),
        (&same, "found 3 and 0: all 3 rows have the same prompt"),
        (&long, "all 1 prompts have more than 32 tokens (the model has 64 positions"),
        (&long, "the shortest 40; lower `rollout.max_new_tokens` to at most 24, or choose a model"),
        (&longer, "no `rollout.max_new_tokens` helps, only a model with more positions"),
    ] {
        let (message, is_usage) = refused("train = 'FOLDER/a.jsonl'", &[("a.jsonl", text)], SETTINGS);
        assert!(message.contains(says) && !is_usage, "{message}");
    }
    let error = of_table("train = 'nowhere.jsonl'", SETTINGS).err().expect("no file");
    assert!(matches!(error, Error::Data(_)) && !error.is_usage(), "{error}");
    assert!(!Path::new("nowhere.jsonl").exists());
}

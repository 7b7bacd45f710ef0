//! What real data sets and real answers look like: cases of `fixtures/reward/verify-2.jsonl` from public reports and in
//! their spirit, counted by the kind of fault that they would show (`fault`; 0 is behaviour that has to stay).

use ruminate_data::Outcome;
use ruminate_reward::verify_line;
use serde_json::Value;
use std::collections::BTreeMap;

/// Cases whose expected verdict is a matter of taste, and why it is decided otherwise here. docs/rewards.md has the
/// same list.
const DECIDED_OTHERWISE: &[(&str, &str)] = &[
    ("O013", "N/A is what data sets write where there is no answer; such a task is unscored"),
    (
        "O333",
        "`countdown` reads the signs + - * / alone, as the grader of its data set does; hacks.jsonl has such rows",
    ),
    ("O334", "as O333"),
    ("O335", "`countdown` wants the expression alone, without `= 24`; hacks.jsonl has such rows"),
    ("O337", "the numbers of `countdown` are integers, as in the data set of that name"),
];

/// Cases and those with the expected verdict.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: usize,
    expected: usize,
}

impl Count {
    fn share(self) -> f64 {
        self.expected as f64 / self.all as f64
    }
}

/// What came of a corpus.
struct Run {
    report: String,
    by_fault: BTreeMap<u64, Count>,
    total: Count,
    /// Wrong answers that were accepted.
    accepted: usize,
    /// Cases without a verdict where one is expected.
    lost: usize,
}

fn run(corpus: &str) -> Run {
    let mut by_fault: BTreeMap<u64, Count> = BTreeMap::new();
    let (mut total, mut accepted, mut lost, mut others) =
        (Count::default(), Vec::new(), Vec::new(), Vec::new());
    for (index, line) in corpus.lines().enumerate() {
        let row: Value = serde_json::from_str(line).expect("a line of the corpus is JSON");
        let id = row["id"].as_str().expect("a case has an id");
        let taste = DECIDED_OTHERWISE.iter().any(|(known, _)| *known == id);
        let verified = verify_line(index, line).expect("a line of the corpus is well formed");
        let found = serde_json::to_value(verified.verdict).expect("an outcome is a word");
        let as_expected = found == row["expected"];
        let place = format!(
            "{id} {}: {} against {}: {found}, expected {} ({}; {:?})",
            row["kind"], row["gold"], row["completion"], row["expected"], verified.why, verified.extracted
        );
        if taste {
            // A case that comes out as expected has no place in the list.
            assert!(!as_expected, "{place}");
            continue;
        }
        for count in [&mut total, by_fault.entry(row["fault"].as_u64().expect("a fault")).or_default()] {
            count.all += 1;
            count.expected += usize::from(as_expected);
        }
        match verified.verdict {
            _ if as_expected => {}
            Outcome::Correct => accepted.push(place),
            Outcome::Unscored => lost.push(place),
            Outcome::Wrong => others.push(place),
        }
    }
    let table: Vec<String> = by_fault
        .iter()
        .map(|(fault, count)| format!("fault {fault}: {} of {} as expected", count.expected, count.all))
        .collect();
    let report = format!(
        "{} of {} as expected\n{}\naccepted:\n{}\nunscored:\n{}\nrefused:\n{}",
        total.expected,
        total.all,
        table.join("\n"),
        accepted.join("\n"),
        lost.join("\n"),
        others.join("\n")
    );
    #[allow(clippy::print_stdout, reason = "the figures that docs/experiments.md quotes")]
    {
        println!("{report}");
    }
    Run { report, by_fault, total, accepted: accepted.len(), lost: lost.len() }
}

#[test]
fn the_cases_of_public_reports_get_their_verdicts() {
    let corpus = include_str!("../../../fixtures/reward/verify-2.jsonl");
    let Run { report, by_fault, total, accepted, lost } = run(corpus);
    assert!(total.all >= 280, "the corpus has shrunk\n{report}");
    assert!(accepted == 0 && lost == 0 && total.share() >= 0.97, "{report}");
    assert!(by_fault.values().all(|count| count.share() >= 0.9), "{report}");
}

/// Cases that were written from a description of the faults alone, without a look at the code. docs/experiments.md has
/// the figure of their first run; what is asserted here is what holds since.
#[test]
fn the_blind_cases_keep_their_share() {
    let Run { report, by_fault, total, accepted, .. } =
        run(include_str!("../../../fixtures/reward/blind-2.jsonl"));
    assert!(total.all >= 300, "the corpus has shrunk\n{report}");
    assert!(accepted == 0 && total.share() >= 0.97, "{report}");
    assert!(by_fault.values().all(|count| count.share() >= 0.9), "{report}");
}

/// As above, written when the verifiers had learned from those.
#[test]
fn the_blind_cases_of_the_second_round_keep_their_share() {
    let Run { report, by_fault, total, accepted, lost } =
        run(include_str!("../../../fixtures/reward/blind-3.jsonl"));
    assert!(total.all >= 150, "the corpus has shrunk\n{report}");
    assert!(accepted == 0 && lost == 0 && total.share() >= 0.97, "{report}");
    assert!(by_fault.values().all(|count| count.share() >= 0.9), "{report}");
}

/// As above, once more.
#[test]
fn the_blind_cases_of_the_third_round_keep_their_share() {
    let Run { report, by_fault, total, accepted, lost } =
        run(include_str!("../../../fixtures/reward/blind-4.jsonl"));
    assert!(total.all >= 90, "the corpus has shrunk\n{report}");
    assert!(accepted == 0 && lost == 0 && total.share() >= 0.97, "{report}");
    assert!(by_fault.values().all(|count| count.share() >= 0.9), "{report}");
}

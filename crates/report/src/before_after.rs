//! The same problems before training and after, side by side: what was written, thought and answer apart, and why it
//! was judged as it was.

use crate::escape::{Text, clipped};
use crate::folder::Run;
use ruminate_data::Outcome;
use ruminate_run::rows::Sample;
use std::fmt::Write as _;

/// Problems that are shown.
const PROBLEMS: usize = 8;

/// Characters of a text that are shown.
const CHARACTERS: usize = 4000;

/// Cards, a problem each; nothing where nothing was kept.
pub(crate) fn html(run: &Run) -> String {
    let steps = || run.samples.iter().map(|sample| sample.step);
    let (Some(first), Some(last)) = (steps().min(), steps().max()) else { return String::new() };
    let of = |step: u64| run.samples.iter().filter(move |sample| sample.step == step);
    let mut chosen: Vec<(Option<&Sample>, &Sample)> = of(last)
        .map(|after| {
            let same = |sample: &&Sample| sample.set == after.set && sample.index == after.index;
            ((first < last).then(|| of(first).find(same)).flatten(), after)
        })
        .collect();
    chosen.truncate(PROBLEMS);
    let mut html = "<div class=\"pairs\">".to_owned(); // writing to it cannot fail
    for (before, after) in chosen {
        let _ = write!(
            html,
            "<article class=\"pair\"><header><code>{}</code>{}</header><div class=\"sides\">",
            Text(&clipped(&after.prompt, CHARACTERS)),
            if after.answer.is_empty() {
                String::new()
            } else {
                format!(
                    "<span class=\"gold\">right answer <b>{}</b></span>",
                    Text(&clipped(&after.answer, 200))
                )
            }
        );
        if let Some(before) = before {
            html += &side(&format!("before · step {first}"), before);
        }
        html +=
            &side(&format!("{} · step {last}", if before.is_some() { "after" } else { "written" }), after);
        html += "</div></article>";
    }
    html + "</div>"
}

fn side(heading: &str, sample: &Sample) -> String {
    let (class, word) = verdict(sample.verdict);
    let mut html = format!(
        "<section class=\"side\"><h4>{}</h4><p class=\"verdict {class}\">{word}<span> {}</span></p>",
        Text(heading),
        Text(&clipped(&sample.why, 400))
    );
    let parts = Parts::of(&sample.text);
    if let Some(thought) = parts.thought {
        let empty = if thought.trim().is_empty() { "(empty)" } else { "" };
        let _ = write!(
            html,
            "<div class=\"thought\"><h5>thought</h5><p>{}{empty}</p></div>",
            Text(&clipped(thought, CHARACTERS))
        );
    }
    let label = if parts.tagged { "answer" } else { "text" };
    let _ = write!(
        html,
        "<div class=\"answer\"><h5>{label}</h5><p>{}</p></div></section>",
        Text(&clipped(parts.answer, CHARACTERS))
    );
    html
}

/// The class and the word of a verdict, told by sign and word and not by colour alone.
pub(crate) fn verdict(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Correct => ("right", "✓ correct"),
        Outcome::Wrong => ("wrong", "✗ wrong"),
        Outcome::Unscored => ("unscored", "? unscored"),
    }
}

/// A response taken apart, leniently: what a policy writes need not be well formed.
struct Parts<'a> {
    thought: Option<&'a str>,
    answer: &'a str,
    /// Whether the answer stood in its tags.
    tagged: bool,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let (thought, rest) = match text.split_once("</think>") {
            Some((thought, rest)) => (Some(thought.split_once("<think>").map_or(thought, |t| t.1)), rest),
            None => match text.split_once("<think>") {
                Some((before, thought)) if before.trim().is_empty() => (Some(thought), ""),
                _ => (None, text),
            },
        };
        let tagged = rest.trim().strip_prefix("<answer>").and_then(|rest| rest.strip_suffix("</answer>"));
        Self { thought, answer: tagged.unwrap_or(rest), tagged: tagged.is_some() }
    }
}

#[cfg(test)]
mod tests {
    use super::Parts;

    #[test]
    fn a_response_is_taken_apart_however_it_is_formed() {
        for (text, thought, answer, tagged) in [
            ("<think>a</think><answer>b</answer>", Some("a"), "b", true),
            ("a</think> b", Some("a"), " b", false),
            ("<think>never ends", Some("never ends"), "", false),
            ("<think></think>\n<answer>b</answer>\n", Some(""), "b", true),
            ("<answer>b</answer>", None, "b", true),
            ("<answer>b", None, "<answer>b", false),
            ("", None, "", false),
        ] {
            let parts = Parts::of(text);
            assert_eq!((parts.thought, parts.answer, parts.tagged), (thought, answer, tagged), "{text}");
        }
    }
}

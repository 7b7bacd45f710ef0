//! A task worked out in steps, rightly or with a mistake.

/// What ends a step.
pub(crate) const STEP_END: &str = ";";

/// A task worked out in steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The steps as a thought writes them, such as `48%36=12`.
    pub steps: Vec<String>,
    /// The answer that they lead to.
    pub answer: String,
}

/// Whether the work goes wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// It does not.
    Never,
    /// At the step of this index, counted from 0; the steps after it follow from the wrong one.
    At(usize),
}

impl Work {
    /// Whether a completion's thought holds all the steps, in order: each at the end of a stretch between `;`, with or
    /// without words before it, other stretches between them allowed.
    pub fn is_shown_in(&self, completion: &str) -> bool {
        let thought =
            completion.trim_start().strip_prefix("<think>").and_then(|text| text.split_once("</think>"));
        let Some((thought, _)) = thought else { return false };
        let mut stretches = thought.split(STEP_END).map(str::trim_end);
        let ends_with = |stretch: &str, step: &str| {
            let before = stretch.strip_suffix(step);
            before.is_some_and(|before| !before.ends_with(|c: char| c.is_ascii_alphanumeric() && c != 'W'))
        };
        self.steps.iter().all(|step| stretches.any(|stretch| ends_with(stretch, step)))
    }
}

#[cfg(test)]
mod tests {
    use super::Work;
    use proptest::prelude::{ProptestConfig, any, proptest};

    #[test]
    fn steps_are_found_in_order_between_others() {
        let work = Work { steps: vec!["1+1=02".into(), "2+1=03".into()], answer: "03".into() };
        for (thought, shown) in [
            ("now 1+1=02;then 2+1=03", true),
            ("1+1=02;2+1=03", true),
            ("now 1+1=03;wait 1+1=02;then 2+1=03", true),
            ("1+1=03;W1+1=02;2+1=03", true),
            ("then 2+1=03;now 1+1=02", false),
            ("11+1=02;2+1=03", false),
            ("1+1=02", false),
            ("", false),
        ] {
            assert_eq!(work.is_shown_in(&format!("<think>{thought}</think>03")), shown, "{thought}");
        }
        assert!(!work.is_shown_in("1+1=02;2+1=03"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn no_completion_makes_the_reading_panic(text in any::<String>(), step in "[0-9+=]{0,6}") {
            let work = Work { steps: vec![step], answer: String::new() };
            work.is_shown_in(&text);
            work.is_shown_in(&format!("<think>{text}</think>"));
        }
    }
}

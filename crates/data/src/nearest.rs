//! Suggestions for a mistyped name: "did you mean `chain_sum`?".

/// Jaro-Winkler similarity above which a known name is worth suggesting.
const SIMILAR: f64 = 0.75;

/// The known name most similar to `name` (Jaro-Winkler, upper and lower case alike), if any is similar enough to be
/// a likely slip of the keyboard. Of equally similar names it is the last.
///
/// ```
/// use ruminate_data::nearest;
///
/// assert_eq!(nearest("Learning-Rate", ["learning_rate", "seed"]), Some("learning_rate"));
/// assert_eq!(nearest("zebra", ["learning_rate", "seed"]), None);
/// ```
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let similarity = |known: &str| strsim::jaro_winkler(&known.to_lowercase(), &name);
    known
        .into_iter()
        .map(|known| (known, similarity(known)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .filter(|&(_, similarity)| similarity > SIMILAR)
        .map(|(known, _)| known)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    const KNOWN: [&str; 4] = ["learning_rate", "max_steps", "num_generations", "Q_proj"];

    #[test]
    fn a_slip_of_the_keyboard_finds_its_name() {
        for (name, expected) in [
            ("lerning_rate", "learning_rate"),
            ("learning-rate", "learning_rate"),
            ("LEARNING_RATE", "learning_rate"),
            ("max_step", "max_steps"),
            ("num_generation", "num_generations"),
            ("q_proj", "Q_proj"),
        ] {
            assert_eq!(nearest(name, KNOWN), Some(expected), "{name}");
        }
    }

    #[test]
    fn what_resembles_no_name_has_no_suggestion() {
        for name in ["", "zebra", "x", "日本"] {
            assert_eq!(nearest(name, KNOWN), None, "{name}");
        }
        assert_eq!(nearest("seed", []), None);
    }
}

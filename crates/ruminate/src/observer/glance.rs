//! The numbers of a step in one line, those that matter most first.

use ruminate_train::Metrics;

/// Metrics that are worth a person's glance while training, with their short names, those that matter most first: a
/// narrow terminal cuts the rest off.
const GLANCE: [(&str, &str); 7] = [
    ("reward", "reward"),
    ("frac_reward_zero_std", "equal"),
    ("entropy", "entropy"),
    ("completions/clipped_ratio", "cut"),
    ("completions/mean_length", "length"),
    (VALIDATION, "validation"),
    ("learning_rate", "lr"),
];

/// The last loss of held-out samples, or the last measure of a small validation, among the metrics that are shown.
pub(super) const VALIDATION: &str = "validation";

/// The step's numbers for the bar, in the colour of alarms while there are any.
pub(super) fn glance(metrics: &Metrics, alarms: &[&str], colours: bool) -> String {
    // The loss of GRPO says little: a group's advantages sum to zero.
    let has_reward = metrics.get("reward").is_some();
    let shown = GLANCE.iter().filter_map(|(name, short)| Some((*short, metrics.get(name)?)));
    let loss = metrics.get("loss").filter(|_| !has_reward).map(|loss| ("loss", loss));
    let mut parts: Vec<String> =
        loss.into_iter().chain(shown).map(|(name, value)| format!("{name} {}", short(value))).collect();
    if !alarms.is_empty() {
        // After what explains them.
        parts.insert(parts.len().min(3), format!("ALARM {}", alarms.join(", ")));
    }
    let line = parts.join("  ");
    if colours && !alarms.is_empty() { format!("\x1b[33m{line}\x1b[0m") } else { line }
}

/// Three or four digits; `-` for what was not measured.
fn short(value: f64) -> String {
    if value.is_nan() {
        return "-".to_owned();
    }
    let size = value.abs();
    if size != 0.0 && size < 1e-3 { format!("{value:.1e}") } else { format!("{value:.3}") }
}

#[cfg(test)]
mod tests {
    use super::glance;
    use ruminate_train::Metrics;

    fn metrics(reward: f64) -> Metrics {
        let mut metrics = Metrics::default();
        for (name, value) in [
            ("reward", reward),
            ("frac_reward_zero_std", 0.71875),
            ("completions/mean_length", 15.25),
            ("completions/clipped_ratio", 0.125),
            ("entropy", 0.5),
            ("loss", -0.2),
            ("learning_rate", 6e-4),
        ] {
            metrics.set(name, value);
        }
        metrics
    }

    #[test]
    fn what_matters_comes_first_and_fits_beside_the_bar_of_a_narrow_terminal() {
        let line = glance(&metrics(0.195), &[], true);
        assert_eq!(line, "reward 0.195  equal 0.719  entropy 0.500  cut 0.125  length 15.250  lr 6.0e-4");
        assert!("reward 0.195  equal 0.719  entropy 0.500".len() <= 42, "80 columns less those of the bar");
    }

    #[test]
    fn a_reward_that_was_not_measured_is_a_dash() {
        assert!(glance(&metrics(f64::NAN), &[], false).starts_with("reward -  equal 0.719"));
    }

    #[test]
    fn alarms_stand_after_the_numbers_that_explain_them_in_their_colour() {
        let line = glance(&metrics(0.0), &["all_equal", "clipped"], false);
        assert!(line.contains("entropy 0.500  ALARM all_equal, clipped  cut"), "{line}");
        let coloured = glance(&metrics(0.0), &["all_equal"], true);
        assert!(coloured.starts_with("\x1b[33mreward") && coloured.ends_with("\x1b[0m"), "{coloured:?}");
    }
}

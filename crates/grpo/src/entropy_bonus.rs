//! The entropy bonus: `loss - coef x mean entropy`, with a fixed weight or one that follows a target (Skywork-OR1, arXiv
//! 2505.22312; the rule and its defaults are those of TRL's `use_adaptive_entropy`).
//!
//! ```text
//! applied = coef where the entropy of the last update was at most the target, else 0; 0 at the first update
//! coef    = clip(coef ± delta, min, max), + where the entropy of this update is at most the target
//! ```

use crate::{Config, Error};
use ruminate_train::EntropyControl;

impl Config {
    /// The weight of the bonus at an update; none where there is never one.
    pub(crate) fn entropy_weight(&self, control: Option<EntropyControl>) -> Option<f64> {
        let Some(target) = self.entropy_target else { return self.entropy_coef.filter(|&coef| coef != 0.0) };
        Some(control.filter(|control| control.entropy <= target).map_or(0.0, |control| control.coef))
    }

    /// What the next update goes on from, after one at which the policy had a mean entropy in nats per token.
    pub(crate) fn next_entropy_control(
        &self,
        control: Option<EntropyControl>,
        entropy: f64,
    ) -> Option<EntropyControl> {
        let target = self.entropy_target?;
        let coef = control.map_or_else(|| self.entropy_coef.unwrap_or_default(), |control| control.coef);
        let delta = self.entropy_coef_delta.unwrap_or(0.005);
        let coef = if entropy <= target {
            f64::min(coef + delta, self.entropy_coef_max())
        } else {
            f64::max(coef - delta, self.entropy_coef_min())
        };
        Some(EntropyControl { coef, entropy })
    }

    fn entropy_coef_min(&self) -> f64 {
        self.entropy_coef_min.unwrap_or(0.0)
    }

    fn entropy_coef_max(&self) -> f64 {
        self.entropy_coef_max.unwrap_or(1.0)
    }

    /// Refuses values that cannot be, and keys of a target without one.
    pub(crate) fn check_entropy_bonus(&self) -> Result<(), Error> {
        let not_negative = ("a finite number, not negative", (|x| x >= 0.0) as fn(f64) -> bool);
        let above_zero = ("a finite number above 0", (|x| x > 0.0) as fn(f64) -> bool);
        let values = [
            ("entropy_coef", self.entropy_coef, not_negative),
            ("entropy_target", self.entropy_target, above_zero),
            ("entropy_coef_min", self.entropy_coef_min, not_negative),
            ("entropy_coef_max", self.entropy_coef_max, not_negative),
            ("entropy_coef_delta", self.entropy_coef_delta, above_zero),
        ];
        for (key, value, (expected, fits)) in values {
            if let Some(value) = value.filter(|&value| !(value.is_finite() && fits(value))) {
                return Err(Error::Range { key, found: value.to_string(), expected });
            }
        }
        let conflict = |key, found: f64, other, stated: String, advice: &str| {
            Err(Error::Conflict { key, found: found.to_string(), other, stated, advice: advice.to_owned() })
        };
        let of_target = [
            ("entropy_coef_min", self.entropy_coef_min),
            ("entropy_coef_max", self.entropy_coef_max),
            ("entropy_coef_delta", self.entropy_coef_delta),
        ];
        if let (None, Some((key, Some(value)))) =
            (self.entropy_target, of_target.into_iter().find(|(_, value)| value.is_some()))
        {
            let advice = format!("expected no `{key}`, or an `entropy_target` that the weight follows");
            return conflict(key, value, "entropy_target", "not given".to_owned(), &advice);
        }
        if self.entropy_coef_min() > self.entropy_coef_max() {
            let expected = "a number from entropy_coef_min";
            let found = self.entropy_coef_max().to_string();
            return Err(Error::Range { key: "entropy_coef_max", found, expected });
        }
        let bonus = self.entropy_target.map(|target| ("entropy_target", target));
        let bonus =
            bonus.or_else(|| self.entropy_coef.filter(|&coef| coef > 0.0).map(|coef| ("entropy_coef", coef)));
        match (bonus, self.top_entropy_quantile.filter(|&share| share < 1.0)) {
            (Some((key, value)), Some(share)) => {
                let advice =
                    "the one is of all tokens, the other of those with the largest entropy; give one of them";
                conflict(key, value, "top_entropy_quantile", share.to_string(), advice)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;
    use serde_json::{Value, json};

    fn config(keys: Value) -> Config {
        serde_json::from_value(keys).expect("keys of [grpo]")
    }

    #[test]
    fn the_weight_follows_the_target_as_trls_controller_does() {
        let config = config(json!({
            "entropy_coef": 0.01, "entropy_target": 0.5, "entropy_coef_delta": 0.004, "entropy_coef_max": 0.015,
        }));
        config.validate().expect("valid");
        assert_eq!(config.entropy_weight(None), Some(0.0), "nothing was measured yet");
        let mut control = None;
        let mut applied = Vec::new();
        for entropy in [0.6, 0.5, 0.4, 0.4, 0.9, 0.3] {
            applied.push(config.entropy_weight(control).expect("a bonus"));
            control = config.next_entropy_control(control, entropy);
        }
        // By hand: the weight is 0.006, 0.01, 0.014, 0.015 (the largest), 0.011, 0.015 after the updates.
        for (one, other) in applied.iter().zip([0.0, 0.0, 0.01, 0.014, 0.015, 0.0]) {
            assert!((one - other).abs() < 1e-12, "{applied:?}");
        }
        assert!((control.expect("goes on").coef - 0.015).abs() < 1e-12);
    }

    #[test]
    fn a_fixed_weight_stays_and_none_is_none() {
        assert_eq!(config(json!({})).entropy_weight(None), None);
        assert_eq!(config(json!({ "entropy_coef": 0.0 })).entropy_weight(None), None);
        let fixed = config(json!({ "entropy_coef": 0.02 }));
        assert_eq!(fixed.entropy_weight(None), Some(0.02));
        assert_eq!(fixed.next_entropy_control(None, 0.1), None);
    }

    #[test]
    fn keys_that_do_not_go_together_are_refused_by_name() {
        for (keys, says) in [
            (json!({ "entropy_coef": -1.0 }), "`grpo.entropy_coef` is -1"),
            (json!({ "entropy_coef_delta": 0.1 }), "`grpo.entropy_target = not given`"),
            (
                json!({ "entropy_target": 0.5, "entropy_coef_min": 0.5, "entropy_coef_max": 0.1 }),
                "`grpo.entropy_coef_max` is 0.1",
            ),
            (
                json!({ "entropy_coef": 0.1, "top_entropy_quantile": 0.2 }),
                "`grpo.top_entropy_quantile = 0.2`",
            ),
        ] {
            let message = config(keys).validate().expect_err(says).to_string();
            assert!(message.contains(says), "{message}");
        }
    }
}

//! What a step measured, by name. Wall-clock values have names that end in `_time_s`; everything else is the same
//! for the same seed.

use serde::ser::{Serialize, SerializeMap, Serializer};

/// Named numbers in the order in which they were set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    values: Vec<(String, f64)>,
}

impl Metrics {
    /// Sets a value; one of that name is replaced in its place.
    pub fn set(&mut self, name: impl Into<String>, value: f64) {
        let name = name.into();
        match self.values.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.values.push((name, value)),
        }
    }

    /// The value of that name, where it is a number: a metric that was not measured is NaN, and null in a row.
    pub fn measured(&self, name: &str) -> Option<f64> {
        self.get(name).filter(|value| value.is_finite())
    }

    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(known, _)| known == name).map(|&(_, value)| value)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.values.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// One row of `metrics.jsonl`: an object with `step` first. Values that are not finite become null.
    pub fn row(&self, step: usize) -> impl Serialize {
        Row { step, metrics: self }
    }
}

struct Row<'a> {
    step: usize,
    metrics: &'a Metrics,
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.metrics.values.len() + 1))?;
        map.serialize_entry("step", &self.step)?;
        for (name, value) in self.metrics.iter() {
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn a_row_begins_with_its_step_and_keeps_the_order() {
        let mut metrics = Metrics::default();
        metrics.set("loss", 0.5);
        metrics.set("grad_norm", f64::NAN);
        metrics.set("loss", 0.25);
        let row = serde_json::to_string(&metrics.row(7)).expect("numbers serialise");
        assert_eq!(row, r#"{"step":7,"loss":0.25,"grad_norm":null}"#);
    }
}

//! The names of all keys of `[grpo]`, from the derived reader itself: a list beside it would go stale.

use super::Config;
use serde::de::value::Error;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;

impl Config {
    /// All keys, those included that are not written while they are absent.
    pub fn keys() -> &'static [&'static str] {
        let mut keys: &'static [&'static str] = &[];
        // Reading ends where the fields are named; there is nothing to read.
        let _ = Self::deserialize(Fields(&mut keys));
        keys
    }
}

/// Notes the fields of the struct that is asked for.
struct Fields<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("there is nothing to read"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn keys_are_those_that_a_recipe_may_have() {
        let keys = Config::keys();
        assert!(
            ["beta", "advantage", "dro_beta", "eval_steps"].iter().all(|key| keys.contains(key)),
            "{keys:?}"
        );
        let written = serde_json::to_value(Config::default()).expect("it is written");
        let written = written.as_object().expect("a table");
        assert!(written.keys().all(|key| keys.contains(&key.as_str())) && keys.len() > written.len());
    }
}

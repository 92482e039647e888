//! Reads JSON text into a tree, and refuses objects with duplicate keys, as reads of a document do.
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Parses a JSON text. Fails with a 400 if an object has a key twice, if a string has an escape that is no
/// character, or if the value is nested too deep.
pub(super) fn tree(text: &[u8]) -> Result<Value> {
    serde_json::from_slice::<Tree>(text).map(|tree| tree.0).map_err(|error| {
        let message = error.to_string();
        // the position is one within a part of the body
        let reason = message.rsplit_once(" at line ").map_or(&*message, |(reason, _)| reason);
        Error::invalid(match reason {
            twice if twice.ends_with(TWICE) => twice.to_owned(),
            deep if deep.starts_with("recursion limit") => {
                "a value of the JSON is nested too deep to be read".to_owned()
            }
            _ => "a string has an invalid escape (a lone surrogate)".to_owned(),
        })
    })
}

/// The end of the message about a duplicate key.
const TWICE: &str = "occurs twice in the same object: remove one of them";
/// The most characters of a key in a message.
const MAX_KEY: usize = 64;

/// A value without duplicate keys.
struct Tree(Value);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(flag.into())
    }

    fn visit_i64<E>(self, whole: i64) -> Result<Value, E> {
        Ok(whole.into())
    }

    fn visit_u64<E>(self, whole: u64) -> Result<Value, E> {
        Ok(whole.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Tree(item)) = items.next_element()? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if all.contains_key(&key) {
                let key: String = key.chars().take(MAX_KEY).collect();
                return Err(A::Error::custom(format!("`{key}` {TWICE}")));
            }
            let Tree(value) = members.next_value()?;
            all.insert(key, value);
        }
        Ok(Value::Object(all))
    }
}

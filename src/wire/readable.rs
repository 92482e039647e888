//! `readable`: checks that every reader of a JSON text finds the same values in it.
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::error::{Error, Result};

/// The number of keys up to which a search is faster than a set.
const FEW: usize = 16;

/// Checks a whole JSON text, its inner values included.
///
/// Fails with a 400 if an object has a key twice, if a string has an escape that is no character, if a number
/// is too large, or if the nesting is deeper than the usual 127 levels: parsers disagree about such texts.
pub(crate) fn readable(json: &[u8]) -> Result<()> {
    serde_json::from_slice::<Value>(json).map(|Value| ()).map_err(|error| {
        let message = error.to_string();
        let has = |part: &str| message.contains(part);
        // the text is valid JSON, so the parser has no other reasons
        Error::invalid(match () {
            // a position within a part of the body says nothing to the caller
            () if has("occurs twice") => {
                message.rsplit_once(" at line ").map_or(&*message, |(said, _)| said).to_owned()
            }
            () if has("surrogate") || has("hex escape") => {
                "a string has an invalid escape (a lone surrogate)".to_owned()
            }
            () if has("recursion limit") => {
                "a value of the JSON is nested too deep to be read (more than 127 levels)"
                    .to_owned()
            }
            () if has("out of range") => "a number of the JSON is too large to be read".to_owned(),
            () => format!("a part of the JSON cannot be read: {message}"),
        })
    })
}

/// Any value. Only its form is kept in mind, not its content.
struct Value;

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Form)
    }
}

struct Form;

impl<'de> Visitor<'de> for Form {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value)
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(Value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        while items.next_element::<Value>()?.is_some() {}
        Ok(Value)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut keys = Keys::default();
        while let Some(Key(key)) = members.next_key::<Key<'de>>()? {
            if let Some(twice) = keys.add(key) {
                let message =
                    format!("`{twice}` occurs twice in the same object: remove one of them");
                return Err(A::Error::custom(message));
            }
            members.next_value::<Value>()?;
        }
        Ok(Value)
    }
}

/// The keys of one object.
#[derive(Default)]
struct Keys<'de> {
    few: Vec<Cow<'de, str>>,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> Keys<'de> {
    /// Adds a key. Returns the key, shortened, if it is known already.
    fn add(&mut self, key: Cow<'de, str>) -> Option<String> {
        if self.few.contains(&key) || self.many.contains(&key) {
            return Some(key.chars().take(40).collect());
        }
        if self.few.len() < FEW {
            self.few.push(key);
        } else {
            self.many.insert(key);
        }
        None
    }
}

/// A key, borrowed if it has no escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

struct Text;

impl<'de> Visitor<'de> for Text {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(key)))
    }

    fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(key.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::readable;

    fn refused(json: &str) -> String {
        let error = readable(json.as_bytes()).expect_err(json);
        assert_eq!(error.status().as_u16(), 400);
        error.message
    }

    #[test]
    fn usual_values_pass() {
        for json in ["null", "true", "-1", "1.5e300", "\"a\\u00e9\\ud83d\\ude00\"", "[]", "{}"] {
            readable(json.as_bytes()).unwrap();
        }
        readable(br#"[{"a":{"a":1}},{"a":2,"b":[{"a":3}]}]"#).unwrap();
        let many: Vec<String> = (0..200).map(|n| format!("\"k{n}\":{n}")).collect();
        readable(format!("{{{}}}", many.join(",")).as_bytes()).unwrap();
        let deep = [vec!["["; 127], vec!["]"; 127]].concat().concat();
        readable(deep.as_bytes()).unwrap();
    }

    #[test]
    fn a_key_that_occurs_twice_is_found_at_any_depth_and_in_any_spelling() {
        for json in [
            r#"{"a":1,"a":1}"#,
            r#"[1,{"x":[{"b":1,"a":2,"c":3,"a":4}]}]"#,
            r#"{"a":1,"\u0061":2}"#,
        ] {
            assert_eq!(refused(json), "`a` occurs twice in the same object: remove one of them");
        }
        let many: Vec<String> = (0..200).map(|n| format!("\"k{}\":{n}", n % 150)).collect();
        assert!(refused(&format!("{{{}}}", many.join(","))).starts_with("`k0` occurs twice"));
    }

    #[test]
    fn json_that_parsers_reject_or_replace_is_rejected() {
        let deep = [vec!["["; 128], vec!["]"; 128]].concat().concat();
        let lone = "a string has an invalid escape (a lone surrogate)";
        for (json, says) in [
            (r#"["\ud800"]"#, lone),
            (r#"{"\udc00":1}"#, lone),
            (r#""\ud83d\ud83d""#, lone),
            ("[1e999]", "a number of the JSON is too large to be read"),
            (&deep, "a value of the JSON is nested too deep to be read (more than 127 levels)"),
        ] {
            assert_eq!(refused(json), says);
        }
    }
}

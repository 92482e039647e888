//! Conversion between JSON text and Rhai values.
use rhai::{Dynamic, Map, NativeCallContext};
use serde::ser::{Error as _, SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::policy::script::error::{AuthorError, ScriptResult};
use crate::policy::script::parse;
use crate::policy::script::place::{fault, place_of};
use crate::policy::script::run::Run;
use crate::policy::script::strict;
use crate::wire::Kind;

/// The deepest value that can be written; no real request comes near it.
const MAX_DEPTH: usize = 64;

/// Converts a scalar of this kind for scripts: whole numbers that fit become integers, others floats.
///
/// Fails with a 400 if a string has an escape that is no character.
pub(super) fn scalar(kind: Kind, text: &[u8]) -> Result<Dynamic> {
    Ok(match kind {
        Kind::Bool => text.starts_with(b"t").into(),
        Kind::Number => match serde_json::from_slice::<i64>(text) {
            Ok(whole) => whole.into(),
            Err(_) => serde_json::from_slice::<f64>(text).unwrap_or(f64::INFINITY).into(),
        },
        Kind::String => match serde_json::from_slice::<&str>(text) {
            Ok(plain) => plain.into(),
            Err(_) => serde_json::from_slice::<String>(text)
                .map_err(|_| Error::invalid("a string has an invalid escape (a lone surrogate)"))?
                .into(),
        },
        Kind::Null | Kind::Array | Kind::Object => Dynamic::UNIT,
    })
}

/// Returns the JSON text of a value; for a place, the text at that place.
pub(super) fn text(value: &Dynamic) -> ScriptResult<Vec<u8>> {
    serde_json::to_vec(&Json { value, depth: 0 }).map_err(|e| AuthorError(e.to_string()).into())
}

/// Returns a value as an independent tree.
///
/// A text that a script wrote is always readable. So an unreadable one is a part of the document, which is
/// refused as it is wherever a script reads it.
pub(super) fn tree(value: &Dynamic) -> ScriptResult<Value> {
    strict::tree(&text(value)?).map_err(fault)
}

/// Returns the size of a value in `ctx.state`: the bytes of its JSON text.
pub(super) fn size(value: &Dynamic) -> ScriptResult<usize> {
    if value.is_int() || value.is_float() || value.is_bool() || value.is_unit() {
        return Ok(value.to_string().len());
    }
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, &Json { value, depth: 0 })
        .map_err(|e| AuthorError(e.to_string()))?;
    Ok(counter.0)
}

/// Counts the bytes that are written to it.
struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Returns a tree as a Rhai value that is independent of any document.
pub(super) fn dynamic(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(flag) => Dynamic::from(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Dynamic::from(whole),
            None => Dynamic::from(number.as_f64().unwrap_or(f64::INFINITY)),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => Dynamic::from_array(items.iter().map(dynamic).collect()),
        Value::Object(members) => Dynamic::from_map(map(members)),
    }
}

/// Implements `parse_json`: parses a text, which may come from a caller. Rhai's own function takes twenty
/// times as long.
pub(super) fn parse(ctx: NativeCallContext<'_>, text: &str) -> ScriptResult {
    let most = ctx.engine().max_array_size() + ctx.engine().max_map_size();
    parse::parse(text, most).map_err(|error| match Run::check_time() {
        Err(late) => late,
        // the error names a position in the text, never its content
        Ok(()) => AuthorError(format!("the text is not valid JSON for a script: {error}")).into(),
    })
}

/// Returns the members of an object as a Rhai map.
pub(super) fn map(members: &serde_json::Map<String, Value>) -> Map {
    members.iter().map(|(key, value)| (key.as_str().into(), dynamic(value))).collect()
}

/// Returns a value that no later edit changes, neither of the document nor of a variable of the script.
pub(super) fn detach(value: Dynamic) -> ScriptResult {
    let value = value.flatten();
    let holds_places = value.is_array() || value.is_map() || place_of(&value).is_some();
    if holds_places { Ok(dynamic(&tree(&value)?)) } else { Ok(value) }
}

/// Returns whether the value is no array, map or place.
pub(super) fn is_scalar(value: &Dynamic) -> bool {
    value.is_unit() || value.is_bool() || value.is_int() || value.is_float() || value.is_string()
}

/// Returns whether both are the same scalar of the same type.
pub(super) fn is_same_scalar(one: &Dynamic, other: &Dynamic) -> bool {
    if let (Ok(one), Ok(other)) = (one.as_immutable_string_ref(), other.as_immutable_string_ref()) {
        return *one == *other;
    }
    (one.is_unit() && other.is_unit())
        || matches!((one.as_bool(), other.as_bool()), (Ok(a), Ok(b)) if a == b)
        || matches!((one.as_int(), other.as_int()), (Ok(a), Ok(b)) if a == b)
        || matches!((one.as_float(), other.as_float()), (Ok(a), Ok(b)) if a.total_cmp(&b).is_eq())
}

/// Returns whether both are the same JSON value; the order of keys is ignored.
pub(super) fn is_same(one: &Dynamic, other: &Dynamic) -> ScriptResult<bool> {
    match (is_scalar(one), is_scalar(other)) {
        (true, true) => Ok(is_same_scalar(one, other)),
        (false, false) => Ok(tree(one)? == tree(other)?),
        _ => Ok(false),
    }
}

struct Json<'a> {
    value: &'a Dynamic,
    depth: usize,
}

impl Json<'_> {
    fn below<'a>(&self, value: &'a Dynamic) -> Json<'a> {
        Json { value, depth: self.depth + 1 }
    }

    fn container<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.depth == MAX_DEPTH {
            return Err(S::Error::custom(format!("a value is nested deeper than {MAX_DEPTH}")));
        }
        if let Ok(items) = self.value.as_array_ref() {
            let mut sequence = serializer.serialize_seq(Some(items.len()))?;
            for item in items.iter() {
                sequence.serialize_element(&self.below(item))?;
            }
            return sequence.end();
        }
        if let Ok(members) = self.value.as_map_ref() {
            let mut object = serializer.serialize_map(Some(members.len()))?;
            for (key, value) in members.iter() {
                object.serialize_entry(key.as_str(), &self.below(value))?;
            }
            return object.end();
        }
        let Some(place) = place_of(self.value) else {
            let name = self.value.type_name();
            let name = name.rsplit("::").next().unwrap_or(name);
            return Err(S::Error::custom(format!(
                "a value of type `{name}` cannot be written as JSON"
            )));
        };
        let text = place.text().map_err(S::Error::custom)?;
        let raw: &RawValue = serde_json::from_slice(&text).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = self.value;
        if let Ok(text) = value.as_immutable_string_ref() {
            return serializer.serialize_str(&text);
        }
        if let Ok(whole) = value.as_int() {
            return serializer.serialize_i64(whole);
        }
        if let Ok(flag) = value.as_bool() {
            return serializer.serialize_bool(flag);
        }
        if let Ok(number) = value.as_float() {
            return match number.is_finite() {
                true => serializer.serialize_f64(number),
                false => Err(S::Error::custom(format!("{number} is not a JSON number"))),
            };
        }
        if let Ok(letter) = value.as_char() {
            return serializer.serialize_char(letter);
        }
        match value.is_unit() {
            true => serializer.serialize_unit(),
            false => self.container(serializer),
        }
    }
}

//! Reads queries and JSON bodies into structs, with errors that name the field, the expected and the found value.
use std::borrow::Cow;
use std::fmt;

use serde::de::value::{MapDeserializer, StrDeserializer};
use serde::de::{self, DeserializeOwned, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use crate::admin::failure::Failure;

/// The most characters of a found value that an error quotes.
const SHOWN: usize = 80;

/// Reads the pairs of a query.
///
/// Fails with a 400 that names the parameter.
pub(super) fn query<'a, T: DeserializeOwned>(
    pairs: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
) -> Result<T, Failure> {
    let pairs: Vec<(String, Text)> =
        pairs.map(|(name, value)| (name.into_owned(), Text(value.into_owned()))).collect();
    for (n, (name, Text(value))) in pairs.iter().enumerate() {
        if value.contains('\0') {
            // PostgreSQL knows no such text
            return Err(Failure::field(quoted(name), "a text without NUL", "one with NUL"));
        }
        if pairs[..n].iter().any(|(earlier, _)| earlier == name) {
            return Err(Failure::field(quoted(name), "one value", "several"));
        }
    }
    let values = MapDeserializer::<_, Wrong>::new(pairs.into_iter());
    serde_path_to_error::deserialize(values).map_err(|e| {
        let path = e.path().to_string();
        e.into_inner().failure(&path)
    })
}

/// Reads a JSON body.
///
/// Fails with a 400 that names the field.
pub(super) fn json<T: DeserializeOwned>(text: &[u8]) -> Result<T, Failure> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|e| {
        let path = e.path().to_string();
        let message = e.into_inner().to_string();
        let end = message.rfind(" at line ").unwrap_or(message.len());
        Wrong(message[..end].to_owned()).failure(&path)
    })?;
    let end = |_| Failure::field("body", "one JSON value", "more text after it");
    reader.end().map_err(end)?;
    Ok(read)
}

/// The message of a value that does not fit.
#[derive(Debug)]
struct Wrong(String);

impl Wrong {
    /// Splits the message into the parts of the error's form.
    fn failure(self, path: &str) -> Failure {
        let Self(message) = self;
        // the path of a text that is no JSON is not known
        let place = if matches!(path, "." | "?") { "body" } else { path };
        let quoted_name = |rest: &str| rest.split('`').next().map(quoted).unwrap_or_default();
        if let Some(rest) = message.strip_prefix("missing field `") {
            return Failure::field(below(path, &quoted_name(rest)), "a value", "nothing");
        }
        if let Some(rest) = message.strip_prefix("duplicate field `") {
            return Failure::field(below(path, &quoted_name(rest)), "one value", "several");
        }
        let rest = ["invalid type: ", "invalid value: ", "invalid length "];
        let rest = rest.iter().find_map(|start| message.strip_prefix(start));
        if let Some((found, expected)) = rest.and_then(|rest| rest.split_once(", expected ")) {
            return Failure::field(quoted(place), expected, quoted(found));
        }
        if let Some((found, rest)) =
            message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'))
        {
            let expected = rest.strip_prefix(", expected ").unwrap_or("no such field");
            let found = quoted(found);
            return Failure::field(below(path, &found), expected, format!("`{found}`"));
        }
        if let Some((found, rest)) =
            message.strip_prefix("unknown variant `").and_then(|rest| rest.split_once('`'))
        {
            let expected = rest.strip_prefix(", expected ").unwrap_or("another value");
            return Failure::field(quoted(place), expected, format!("`{}`", quoted(found)));
        }
        let known = message.strip_prefix("expected ").and_then(|it| it.split_once(", found "));
        match known {
            Some((expected, found)) => Failure::field(quoted(place), expected, quoted(found)),
            None => Failure::field(quoted(place), "a valid value", quoted(&message)),
        }
    }
}

fn below(path: &str, name: &str) -> String {
    match path {
        "." => name.to_owned(),
        path if path == name || path.ends_with(&format!(".{name}")) => path.to_owned(),
        path => format!("{path}.{name}"),
    }
}

/// Returns the beginning of a text that a client chose, without characters that change a terminal.
pub(super) fn quoted(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
    clean.take(SHOWN).collect()
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// A value of a query: a text that is read as the type of its field.
struct Text(String);

impl<'de> IntoDeserializer<'de, Wrong> for Text {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl Text {
    fn wrong(&self, expected: &str) -> Wrong {
        Wrong(format!("expected {expected}, found `{}`", self.0))
    }
}

impl<'de> de::Deserializer<'de> for Text {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_string(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0.as_str() {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(self.wrong("`true` or `false`")),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let number = self.0.parse().map_err(|_| self.wrong("a whole number"))?;
        visitor.visit_u64(number)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let number = self.0.parse().map_err(|_| self.wrong("a whole number"))?;
        visitor.visit_i64(number)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_enum(StrDeserializer::new(&self.0))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::Value;
    use url::form_urlencoded;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        limit: Option<u16>,
        by: Option<By>,
        #[serde(default)]
        stop: bool,
        name: Option<String>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum By {
        Key,
        Model,
    }

    fn asked(text: &str) -> Result<Asked, [String; 3]> {
        query(form_urlencoded::parse(text.as_bytes())).map_err(parts)
    }

    fn parts(failure: Failure) -> [String; 3] {
        let body = serde_json::to_value(&failure.body).unwrap();
        ["field", "expected", "found"].map(|name| match &body["error"][name] {
            Value::String(text) => text.clone(),
            other => panic!("{name}: {other}"),
        })
    }

    #[test]
    fn a_query_is_read_by_the_types_of_its_fields() {
        let found = asked("limit=7&by=key&stop=true&name=a%20b").unwrap();
        let name = Some("a b".to_owned());
        assert_eq!(found, Asked { limit: Some(7), by: Some(By::Key), stop: true, name });
        assert_eq!(asked("by=model").unwrap().by, Some(By::Model));
        assert_eq!(asked("").unwrap().limit, None);
    }

    #[test]
    fn an_error_names_field_expected_and_found() {
        for (text, expected) in [
            ("limit=x", ["limit", "a whole number", "`x`"]),
            ("limit=", ["limit", "a whole number", "``"]),
            ("limit=70000", ["limit", "u16", "integer `70000`"]),
            ("stop=yes", ["stop", "`true` or `false`", "`yes`"]),
            ("by=day", ["by", "`key` or `model`", "`day`"]),
            ("x=1", ["x", "one of `limit`, `by`, `stop`, `name`", "`x`"]),
            ("name=a&name=b", ["name", "one value", "several"]),
        ] {
            assert_eq!(asked(text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn a_body_is_read_with_the_same_errors() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Body {
            #[expect(dead_code, reason = "only its type matters")]
            name: String,
        }
        for (text, expected) in [
            (r#"{"name":1}"#, ["name", "a string", "integer `1`"]),
            (r#"{}"#, ["name", "a value", "nothing"]),
            (r#"{"name":"a","x":1}"#, ["x", "`name`", "`x`"]),
            (r#"{"name":"a"} 1"#, ["body", "one JSON value", "more text after it"]),
            (r#"{"name":"#, ["name", "a valid value", "EOF while parsing a value"]),
        ] {
            assert_eq!(parts(json::<Body>(text.as_bytes()).unwrap_err()), expected, "{text}");
        }
    }
}

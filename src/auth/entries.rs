//! `Entries`: a field of the config that has one entry, or a list of them.
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::json;

/// One entry, or a list of them. It is written in the form in which it was read.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Entries<T> {
    /// One entry.
    One(Box<T>),
    /// A list.
    Many(Vec<T>),
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl<T> Entries<T> {
    /// Returns the entries.
    pub(crate) fn all(&self) -> &[T] {
        match self {
            Self::One(entry) => std::slice::from_ref(&**entry),
            Self::Many(entries) => entries,
        }
    }

    /// Returns whether there is no entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    /// Returns each entry with its place, below the place of the field.
    pub(crate) fn placed(&self, field: &str) -> impl Iterator<Item = (String, &T)> {
        let is_list = matches!(self, Self::Many(_));
        self.all().iter().enumerate().map(move |(n, entry)| match is_list {
            true => (format!("{field}[{n}]"), entry),
            false => (field.to_owned(), entry),
        })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

/// Reads by the form of the value, so that an error keeps the path of its field.
struct Reader<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Reader<T> {
    type Value = Entries<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping, or a list of mappings")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, entry: A) -> Result<Self::Value, A::Error> {
        let entry = T::deserialize(MapAccessDeserializer::new(entry))?;
        Ok(Entries::One(Box::new(entry)))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(entries)).map(Entries::Many)
    }
}

impl<T: JsonSchema> JsonSchema for Entries<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("EntriesOf{}", T::schema_name()).into()
    }

    /// A mapping and a list in one: each keyword is about one of the two.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let entry = T::json_schema(generator);
        let mut either = entry.clone();
        either.insert("type".to_owned(), json!(["object", "array"]));
        either.insert("items".to_owned(), entry.into());
        either
    }
}

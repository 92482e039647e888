//! `Document::texts`: a walk over the texts of a document, at the places that the table of places names.
//!
//! The walk opens levels for itself and keeps none, so that a long conversation of small blocks takes no
//! memory. An edit afterwards opens only its own path.
use std::borrow::Cow;

use bytes::Bytes;

use crate::error::Result;
use crate::wire::content::places::{self, BLOCK, Holds, Part, Shape};
use crate::wire::document::{Document, Level, Node};
use crate::wire::escape::unescaped;
use crate::wire::path::Step;

/// An owned [`Step`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    /// A member of an object.
    Key(Cow<'static, str>),
    /// An element of an array.
    Index(usize),
}

impl Name {
    /// Returns the step into a document.
    pub(crate) fn step(&self) -> Step<'_> {
        match self {
            Self::Key(key) => Step::Key(key),
            Self::Index(index) => Step::Index(*index as i64),
        }
    }
}

/// One stop of a walk.
#[derive(Debug)]
pub(crate) enum Seen<'a> {
    /// An object, before its fields. Nothing to read, but the time to look at a clock.
    Object,
    /// A text: the JSON of a string.
    Text(Found<'a>),
    /// Any JSON, every string of which is text.
    Values(Found<'a>),
}

/// A text or value, and its place relative to the start of the walk.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    /// The path from the start of the walk.
    pub path: &'a [Name],
    /// The JSON.
    pub json: Bytes,
}

/// The words of a JSON Schema that are for readers; the others decide which values fit.
const SCHEMA_WORDS: &[&str] = &["description", "title", "$comment"];
/// The members of a JSON Schema that decide which values fit.
const SCHEMA_VALUES: &[&str] =
    &["enum", "const", "default", "required", "type", "pattern", "format"];
/// The members of a JSON Schema that are schemas by name.
const SCHEMA_NAMES: &[&str] =
    &["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];

impl Document {
    /// Calls `visit` for every text of these parts below a place: of a request, a message, a tool result, a
    /// list of messages or blocks, or one block.
    ///
    /// Fails with a 400 if an object on the way has duplicate keys, and if `visit` fails.
    pub(crate) fn texts(
        &mut self,
        place: &[Step<'_>],
        parts: &[Part],
        visit: impl FnMut(Seen<'_>) -> Result<()>,
    ) -> Result<()> {
        let Some(level) = self.root.descend(place)? else { return Ok(()) };
        Walk { visit, parts, path: Vec::new(), within: Part::Messages }.root(level)
    }
}

struct Walk<'p, V> {
    visit: V,
    parts: &'p [Part],
    path: Vec<Name>,
    /// The part that the texts of messages belong to here.
    within: Part,
}

/// A member that the walk has reached.
enum Value<'a> {
    Open(&'a Level),
    New(Level),
    Scalar(Bytes),
}

impl<'a> Value<'a> {
    fn of(level: &'a Level, at: usize) -> Result<Self> {
        if let Node::Open(inner) = &level.members[at].node {
            return Ok(Self::Open(inner));
        }
        let json = level.text_of(at);
        Ok(match Level::open(json.clone())? {
            Some(level) => Self::New(level),
            None => Self::Scalar(json.slice_ref(json.trim_ascii())),
        })
    }

    fn level(&self) -> Option<&Level> {
        match self {
            Self::Open(level) => Some(level),
            Self::New(level) => Some(level),
            Self::Scalar(_) => None,
        }
    }
}

impl<V: FnMut(Seen<'_>) -> Result<()>> Walk<'_, V> {
    /// Begins at a place that a script holds.
    fn root(&mut self, level: &Level) -> Result<()> {
        if !level.is_object {
            return self.elements(level, Self::root);
        }
        if level.find(Step::Key("messages")).is_some() {
            return self.object("request", level);
        }
        let kind = kind_of(level);
        // an answer has a `type` that is no block's
        if places::shape(BLOCK, &kind).is_none() && level.find(Step::Key("content")).is_some() {
            return self.object("message", level);
        }
        self.object(BLOCK, level)
    }

    fn object(&mut self, family: &'static str, level: &Level) -> Result<()> {
        (self.visit)(Seen::Object)?;
        let shape = places::shape(family, &kind_of(level));
        for at in 0..level.members.len() {
            let name = level.key_of(&level.members[at]);
            let known = shape.and_then(|shape| known(shape, name));
            match known {
                Some((_, Holds::Nothing(_))) => {}
                Some((name, holds)) => {
                    self.path.push(Name::Key(Cow::Borrowed(name)));
                    self.field(level, at, holds)?;
                    self.path.pop();
                }
                None if places::is_opaque(name) => {}
                None => self.below(name, |walk| walk.unknown(&Value::of(level, at)?))?,
            }
        }
        Ok(())
    }

    fn field(&mut self, level: &Level, at: usize, holds: Holds) -> Result<()> {
        match holds {
            Holds::Nothing(_) => Ok(()),
            Holds::Text(part) => self.text(&Value::of(level, at)?, part),
            Holds::Values(part) if self.parts.contains(&part) => {
                let json = level.text_of(at);
                (self.visit)(Seen::Values(Found { path: &self.path, json }))
            }
            Holds::Values(_) => Ok(()),
            Holds::Blocks(part) => {
                let outer = self.within;
                if part != Part::Messages {
                    self.within = part;
                }
                let done = self.blocks(&Value::of(level, at)?);
                self.within = outer;
                done
            }
            Holds::Objects("message") if !self.is_in_messages() => Ok(()),
            Holds::Objects(family) => self.objects(family, &Value::of(level, at)?),
            Holds::Schema if self.parts.contains(&Part::Tools) => {
                self.schema(&Value::of(level, at)?)
            }
            Holds::Schema => Ok(()),
        }
    }

    /// Returns whether a message may hold a text of the wanted parts.
    fn is_in_messages(&self) -> bool {
        self.parts.iter().any(|part| !part.is_beside_messages())
    }

    fn text(&mut self, value: &Value<'_>, part: Part) -> Result<()> {
        let part = if part == Part::Messages { self.within } else { part };
        match value {
            Value::Scalar(json) => self.string(json, part),
            _ => match value.level() {
                Some(list) if !list.is_object => self.elements_of(list, |walk, value| {
                    if let Value::Scalar(json) = &value {
                        walk.string(json, part)
                    } else {
                        walk.unknown(&value)
                    }
                }),
                _ => self.unknown(value),
            },
        }
    }

    fn string(&mut self, json: &Bytes, part: Part) -> Result<()> {
        if !json.starts_with(b"\"") || !self.parts.contains(&part) {
            return Ok(());
        }
        (self.visit)(Seen::Text(Found { path: &self.path, json: json.clone() }))
    }

    /// Visits a text, blocks or one block.
    fn blocks(&mut self, value: &Value<'_>) -> Result<()> {
        match value {
            Value::Scalar(json) => self.string(json, self.within),
            _ => self.objects(BLOCK, value),
        }
    }

    fn objects(&mut self, family: &'static str, value: &Value<'_>) -> Result<()> {
        match value.level() {
            Some(object) if object.is_object => self.object(family, object),
            Some(list) => self.elements_of(list, |walk, value| match value.level() {
                Some(object) if object.is_object => walk.object(family, object),
                _ => walk.unknown(&value),
            }),
            None => Ok(()),
        }
    }

    /// Visits a value that the table does not know: every string in it, and blocks as such.
    fn unknown(&mut self, value: &Value<'_>) -> Result<()> {
        if !self.parts.contains(&Part::Unknown) {
            return Ok(());
        }
        let Some(level) = value.level() else {
            let Value::Scalar(json) = value else { return Ok(()) };
            return self.string(json, Part::Unknown);
        };
        if !level.is_object {
            return self.elements_of(level, |walk, value| walk.unknown(&value));
        }
        self.object(BLOCK, level)
    }

    fn schema(&mut self, value: &Value<'_>) -> Result<()> {
        let Some(level) = value.level() else { return Ok(()) };
        (self.visit)(Seen::Object)?;
        if !level.is_object {
            return self.elements_of(level, |walk, value| walk.schema(&value));
        }
        for at in 0..level.members.len() {
            let name = level.key_of(&level.members[at]);
            let value = Value::of(level, at)?;
            self.below(name, |walk| walk.keyword(name, &value, || level.text_of(at)))?;
        }
        Ok(())
    }

    /// Visits a member of a schema.
    fn keyword(
        &mut self,
        name: &str,
        value: &Value<'_>,
        json: impl FnOnce() -> Bytes,
    ) -> Result<()> {
        match value {
            Value::Scalar(json) if SCHEMA_WORDS.contains(&name) => self.string(json, Part::Tools),
            Value::Scalar(_) => Ok(()),
            _ if name == "examples" => {
                (self.visit)(Seen::Values(Found { path: &self.path, json: json() }))
            }
            _ if SCHEMA_VALUES.contains(&name) => Ok(()),
            _ if SCHEMA_NAMES.contains(&name) => self.schemas(value),
            _ => self.schema(value),
        }
    }

    /// Visits an object whose members are all schemas, whatever their names are.
    fn schemas(&mut self, value: &Value<'_>) -> Result<()> {
        let Some(level) = value.level().filter(|level| level.is_object) else { return Ok(()) };
        for at in 0..level.members.len() {
            let name = level.key_of(&level.members[at]);
            self.below(name, |walk| walk.schema(&Value::of(level, at)?))?;
        }
        Ok(())
    }

    fn below(&mut self, name: &str, act: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.path.push(Name::Key(Cow::Owned(name.to_owned())));
        act(self)?;
        self.path.pop();
        Ok(())
    }

    fn elements_of(
        &mut self,
        list: &Level,
        act: impl Fn(&mut Self, Value<'_>) -> Result<()>,
    ) -> Result<()> {
        for at in 0..list.members.len() {
            self.path.push(Name::Index(at));
            act(self, Value::of(list, at)?)?;
            self.path.pop();
        }
        Ok(())
    }

    fn elements(
        &mut self,
        list: &Level,
        act: impl Fn(&mut Self, &Level) -> Result<()>,
    ) -> Result<()> {
        self.elements_of(list, |walk, value| match value.level() {
            Some(level) => act(walk, level),
            None => Ok(()),
        })
    }
}

/// Returns the name in the table of a field, and its content.
fn known(shape: &Shape, name: &str) -> Option<(&'static str, Holds)> {
    shape.fields.iter().find(|(known, _)| *known == name).copied()
}

/// Returns the `type` of an object; empty if it has none.
fn kind_of(level: &Level) -> String {
    let Some(at) = level.find(Step::Key("type")) else { return String::new() };
    let json = level.text_of(at);
    let json = json.trim_ascii();
    let inner = json.strip_prefix(b"\"").and_then(|json| json.strip_suffix(b"\""));
    inner.map(|inner| unescaped(inner).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests;

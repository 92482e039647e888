//! `Document`: a request or a message in the host's hands, read and written by JSON pointer.
use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(not(target_arch = "wasm32"))]
use crate::pointer;
use crate::problem::{Problem, Result};

/// The body of a request.
pub type Request<'a> = Document<'a>;
/// A message that answers one.
pub type Message<'a> = Document<'a>;

/// A JSON object that stays with the host: what is not read never crosses the border.
///
/// Pointers are JSON pointers (RFC 6901): `/messages/0/role`. In an array `-1` counts from the end,
/// and `-` is the place after it.
pub struct Document<'a> {
    source: Source<'a>,
}

enum Source<'a> {
    #[cfg(target_arch = "wasm32")]
    Request(&'a crate::bindings::Request),
    #[cfg(target_arch = "wasm32")]
    Message(&'a crate::bindings::Message),
    #[cfg(not(target_arch = "wasm32"))]
    Value(&'a mut serde_json::Value),
}

impl Document<'_> {
    /// The value at a pointer; `None` if nothing stands there. Fails if it has another type.
    pub fn get<T: DeserializeOwned>(&self, pointer: &str) -> Result<Option<T>> {
        let Some(json) = self.text(pointer) else { return Ok(None) };
        serde_json::from_str(&json)
            .map(Some)
            .map_err(|e| Problem::invalid_input(format!("`{pointer}`: {e}")))
    }

    /// Puts a value at a pointer. Fails if its parent is missing.
    pub fn set(&mut self, pointer: &str, value: impl Serialize) -> Result<()> {
        let json = serde_json::to_string(&value)
            .map_err(|e| Problem::new("internal", format!("`{pointer}`: {e}")))?;
        self.set_text(pointer, &json)
    }
}

#[cfg(target_arch = "wasm32")]
impl<'a> Document<'a> {
    pub(crate) fn request(handle: &'a crate::bindings::Request) -> Self {
        Self { source: Source::Request(handle) }
    }

    pub(crate) fn message(handle: &'a crate::bindings::Message) -> Self {
        Self { source: Source::Message(handle) }
    }

    /// The JSON text of the value at a pointer; `None` if nothing stands there.
    pub fn text(&self, pointer: &str) -> Option<String> {
        match &self.source {
            Source::Request(handle) => handle.get(pointer),
            Source::Message(handle) => handle.get(pointer),
        }
    }

    /// Puts a JSON text at a pointer. Fails if it is no JSON, or if its parent is missing.
    pub fn set_text(&mut self, pointer: &str, json: &str) -> Result<()> {
        let done = match &self.source {
            Source::Request(handle) => handle.set(pointer, json),
            Source::Message(handle) => handle.set(pointer, json),
        };
        done.map_err(|message| Problem::new("cannot_set", message))
    }

    /// Takes out what stands at a pointer; `false` if nothing did.
    pub fn remove(&mut self, pointer: &str) -> bool {
        match &self.source {
            Source::Request(handle) => handle.remove(pointer),
            Source::Message(handle) => handle.remove(pointer),
        }
    }

    /// The whole JSON text, edits included: it crosses the border, however large it is.
    pub fn bytes(&self) -> Vec<u8> {
        match &self.source {
            Source::Request(handle) => handle.bytes(),
            Source::Message(handle) => handle.bytes(),
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl<'a> Document<'a> {
    /// A document for tests.
    pub fn mock(value: &'a mut serde_json::Value) -> Self {
        Self { source: Source::Value(value) }
    }

    /// The JSON text of the value at a pointer; `None` if nothing stands there.
    pub fn text(&self, pointer: &str) -> Option<String> {
        let Source::Value(value) = &self.source;
        pointer::get(value, pointer).map(ToString::to_string)
    }

    /// Puts a JSON text at a pointer. Fails if it is no JSON, or if its parent is missing.
    pub fn set_text(&mut self, pointer: &str, json: &str) -> Result<()> {
        let Source::Value(value) = &mut self.source;
        let json = serde_json::from_str(json)
            .map_err(|e| Problem::new("cannot_set", format!("`{pointer}`: {e}")))?;
        pointer::set(value, pointer, json)
    }

    /// Takes out what stands at a pointer; `false` if nothing did.
    pub fn remove(&mut self, pointer: &str) -> bool {
        let Source::Value(value) = &mut self.source;
        pointer::remove(value, pointer)
    }

    /// The whole JSON text, edits included: it crosses the border, however large it is.
    pub fn bytes(&self) -> Vec<u8> {
        let Source::Value(value) = &self.source;
        value.to_string().into_bytes()
    }
}

//! `Document`: a request or a message that the host holds, read and written by JSON pointer.
use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(not(target_arch = "wasm32"))]
use crate::pointer;
use crate::problem::{Problem, Result};

/// The body of a request.
pub type Request<'a> = Document<'a>;
/// The message that answers a request.
pub type Message<'a> = Document<'a>;

/// A JSON object that stays with the host. Only the parts that the plugin reads cross the border.
///
/// Pointers are JSON pointers (RFC 6901): `/messages/0/role`. In an array, `-1` is the last
/// element, and `-` is the place after it.
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
    /// Returns the value at a pointer, or `None` if there is no value. Fails if the value has
    /// another type.
    pub fn get<T: DeserializeOwned>(&self, pointer: &str) -> Result<Option<T>> {
        let Some(json) = self.text(pointer) else { return Ok(None) };
        serde_json::from_str(&json)
            .map(Some)
            .map_err(|e| Problem::invalid_input(format!("`{pointer}`: {e}")))
    }

    /// Sets the value at a pointer. Fails if its parent is missing.
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

    /// Returns the JSON text of the value at a pointer, or `None` if there is no value.
    pub fn text(&self, pointer: &str) -> Option<String> {
        match &self.source {
            Source::Request(handle) => handle.get(pointer),
            Source::Message(handle) => handle.get(pointer),
        }
    }

    /// Sets the JSON text at a pointer. Fails if the text is not JSON, or if its parent is missing.
    pub fn set_text(&mut self, pointer: &str, json: &str) -> Result<()> {
        let done = match &self.source {
            Source::Request(handle) => handle.set(pointer, json),
            Source::Message(handle) => handle.set(pointer, json),
        };
        done.map_err(|message| Problem::new("cannot_set", message))
    }

    /// Removes the value at a pointer. Returns `false` if there was no value.
    pub fn remove(&mut self, pointer: &str) -> bool {
        match &self.source {
            Source::Request(handle) => handle.remove(pointer),
            Source::Message(handle) => handle.remove(pointer),
        }
    }

    /// Returns the whole JSON text, edits included. All of it crosses the border, even if it is
    /// large.
    pub fn bytes(&self) -> Vec<u8> {
        match &self.source {
            Source::Request(handle) => handle.bytes(),
            Source::Message(handle) => handle.bytes(),
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl<'a> Document<'a> {
    /// Makes a document for tests.
    pub fn mock(value: &'a mut serde_json::Value) -> Self {
        Self { source: Source::Value(value) }
    }

    /// Returns the JSON text of the value at a pointer, or `None` if there is no value.
    pub fn text(&self, pointer: &str) -> Option<String> {
        let Source::Value(value) = &self.source;
        pointer::get(value, pointer).map(ToString::to_string)
    }

    /// Sets the JSON text at a pointer. Fails if the text is not JSON, or if its parent is missing.
    pub fn set_text(&mut self, pointer: &str, json: &str) -> Result<()> {
        let Source::Value(value) = &mut self.source;
        let json = serde_json::from_str(json)
            .map_err(|e| Problem::new("cannot_set", format!("`{pointer}`: {e}")))?;
        pointer::set(value, pointer, json)
    }

    /// Removes the value at a pointer. Returns `false` if there was no value.
    pub fn remove(&mut self, pointer: &str) -> bool {
        let Source::Value(value) = &mut self.source;
        pointer::remove(value, pointer)
    }

    /// Returns the whole JSON text, edits included. All of it crosses the border, even if it is
    /// large.
    pub fn bytes(&self) -> Vec<u8> {
        let Source::Value(value) = &self.source;
        value.to_string().into_bytes()
    }
}

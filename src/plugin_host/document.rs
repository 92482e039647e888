//! Guest access to the request or message: JSON pointers into the host's own document.
use std::borrow::Cow;

use wasmtime::component::Resource;

use crate::error::{ErrorKind, Result};
use crate::plugin_host::bindings::tidegate::plugin::host::{HostMessage, HostRequest};
use crate::plugin_host::bindings::{MessageBody, RequestBody};
use crate::plugin_host::call::PluginCall;
use crate::wire::{Document, Kind, Step, readable};

impl HostRequest for PluginCall {
    fn get(
        &mut self,
        _: Resource<RequestBody>,
        pointer: String,
    ) -> wasmtime::Result<Option<String>> {
        self.get(&pointer)
    }

    fn set(
        &mut self,
        _: Resource<RequestBody>,
        pointer: String,
        json: String,
    ) -> wasmtime::Result<Result<(), String>> {
        self.set(&pointer, json)
    }

    fn remove(&mut self, _: Resource<RequestBody>, pointer: String) -> wasmtime::Result<bool> {
        self.remove(&pointer)
    }

    fn bytes(&mut self, _: Resource<RequestBody>) -> wasmtime::Result<Vec<u8>> {
        self.bytes()
    }

    fn drop(&mut self, _: Resource<RequestBody>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl HostMessage for PluginCall {
    fn get(
        &mut self,
        _: Resource<MessageBody>,
        pointer: String,
    ) -> wasmtime::Result<Option<String>> {
        self.get(&pointer)
    }

    fn set(
        &mut self,
        _: Resource<MessageBody>,
        pointer: String,
        json: String,
    ) -> wasmtime::Result<Result<(), String>> {
        self.set(&pointer, json)
    }

    fn remove(&mut self, _: Resource<MessageBody>, pointer: String) -> wasmtime::Result<bool> {
        self.remove(&pointer)
    }

    fn bytes(&mut self, _: Resource<MessageBody>) -> wasmtime::Result<Vec<u8>> {
        self.bytes()
    }

    fn drop(&mut self, _: Resource<MessageBody>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl PluginCall {
    fn get(&mut self, pointer: &str) -> wasmtime::Result<Option<String>> {
        let found = self.with_document(|document| {
            let found = with_path(document, pointer, |document, path| document.get(path))?;
            found.as_deref().map_or(Ok(()), readable).map(|()| found)
        })?;
        let Some(json) = found else { return Ok(None) };
        self.input = self.input.saturating_add(json.len());
        Ok(Some(String::from_utf8(json.into())?))
    }

    fn set(&mut self, pointer: &str, json: String) -> wasmtime::Result<Result<(), String>> {
        // a later reader would lay it to the caller
        if let Err(error) = readable(json.as_bytes()) {
            return Ok(Err(error.message));
        }
        self.with_document(|document| {
            match with_path(document, pointer, |document, path| document.set(path, json)) {
                // the plugin made this mistake and can handle it
                Err(error) if error.kind == ErrorKind::Api => Ok(Err(error.message)),
                done => done.map(Ok),
            }
        })
    }

    fn remove(&mut self, pointer: &str) -> wasmtime::Result<bool> {
        self.with_document(|document| {
            with_path(document, pointer, |document, path| document.remove(path))
        })
    }

    fn bytes(&mut self) -> wasmtime::Result<Vec<u8>> {
        let json = self.with_document(|document| {
            let json = document.to_bytes();
            readable(&json).map(|()| json)
        })?;
        self.input = self.input.saturating_add(json.len());
        Ok(json.into())
    }

    /// Runs `access` on the document. An error of the document (a duplicate key, an escape that is no
    /// character, too many levels) ends the request, even if the plugin ignores it.
    fn with_document<T>(
        &mut self,
        access: impl FnOnce(&mut Document) -> Result<T>,
    ) -> wasmtime::Result<T> {
        let document = self.document.as_mut();
        let document = document.ok_or_else(|| wasmtime::Error::msg("the call has no document"))?;
        access(document).map_err(|error| {
            let trap = wasmtime::Error::msg(error.to_string());
            self.refused = Some(error);
            trap
        })
    }
}

/// Resolves a JSON pointer to a path. `/a/0` may name an element or a member, so a token that could
/// be either is looked up in the document.
fn with_path<T>(
    document: &mut Document,
    pointer: &str,
    act: impl FnOnce(&mut Document, &[Step<'_>]) -> Result<T>,
) -> Result<T> {
    let tokens: Vec<Cow<'_, str>> = pointer.split('/').skip(1).map(unescaped).collect();
    let mut path = Vec::with_capacity(tokens.len());
    for token in &tokens {
        let number = match &**token {
            "-" => Some(None),
            _ => token.parse::<i64>().ok().map(Some),
        };
        path.push(match number {
            Some(index) if document.kind(&path)? == Some(Kind::Array) => match index {
                Some(index) => Step::Index(index),
                None => Step::Index(document.len(&path)?.map_or(0, |count| count as i64)),
            },
            _ => Step::Key(token),
        });
    }
    act(document, &path)
}

fn unescaped(token: &str) -> Cow<'_, str> {
    match token.contains('~') {
        true => token.replace("~1", "/").replace("~0", "~").into(),
        false => token.into(),
    }
}

//! Server tools in the history that a caller sends back: turned into what an upstream understands.
//!
//! What the caller saw as one assistant message were several turns upstream. A turn ends where
//! results stand; the blocks behind them are the next turn's.
use std::collections::HashSet;

use bytes::Bytes;
use memchr::memmem;
use serde_json::json;
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::exchange::tools::upstream_name;
use crate::wire::{Document, MessagesRequest, Step};

/// Who the caller is told had run the tool.
pub const SERVER_NAME: &str = "gateway";

#[derive(serde::Deserialize)]
struct Block<'a> {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    server_name: String,
    #[serde(default)]
    tool_use_id: String,
    #[serde(default)]
    is_error: bool,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

/// Rewrites `messages` if it holds calls that the gateway ran; else touches nothing.
pub fn restore(request: &mut MessagesRequest) -> Result<()> {
    let Some(text) = request.document().field("messages") else { return Ok(()) };
    if memmem::find(&text, b"mcp_tool_use").is_none() {
        return Ok(());
    }
    let document = request.document_mut();
    let count = document.len(&[Step::Key("messages")])?.unwrap_or_default();
    let mut turns = Turns::default();
    for n in 0..count as i64 {
        let at = [Step::Key("messages"), Step::Index(n)];
        let message = document.get(&at)?.unwrap_or_default();
        turns
            .message(message)
            .map_err(|e| Error { message: format!("`messages[{n}]`: {}", e.message), ..e })?;
    }
    if let Some(messages) = turns.finish() {
        document.set(&[Step::Key("messages")], messages)?;
    }
    Ok(())
}

/// The messages so far, as JSON texts; untouched ones are the caller's bytes.
#[derive(Default)]
struct Turns {
    messages: Vec<Bytes>,
    /// Results that wait for the user message they belong into.
    results: Vec<Bytes>,
    is_changed: bool,
}

impl Turns {
    fn message(&mut self, message: Bytes) -> Result<()> {
        let mut document = Document::parse(message.clone())?;
        let is_assistant = document.field("role").as_deref() == Some(b"\"assistant\"");
        if is_assistant && memmem::find(&message, b"mcp_tool_use").is_some() {
            return self.assistant(&mut document, message);
        }
        match self.results.is_empty() {
            true => self.messages.push(message),
            false if document.field("role").as_deref() == Some(b"\"user\"") => {
                self.user(&mut document)?
            }
            false => {
                self.flush();
                self.messages.push(message);
            }
        }
        Ok(())
    }

    fn assistant(&mut self, document: &mut Document, message: Bytes) -> Result<()> {
        self.flush();
        let count = document.len(&[Step::Key("content")])?.unwrap_or_default();
        let mut ours = HashSet::new();
        let mut blocks = Vec::new();
        for n in 0..count as i64 {
            let text = document.get(&[Step::Key("content"), Step::Index(n)])?.unwrap_or_default();
            let block: Block<'_> = serde_json::from_slice(&text).map_err(|e| {
                Error::invalid(format!("`content[{n}]` cannot be read")).with_source(e)
            })?;
            match block.kind.as_str() {
                "mcp_tool_use" if block.server_name == SERVER_NAME => {
                    self.next_turn(&mut blocks);
                    blocks.push(call(&block));
                    ours.insert(block.id);
                }
                "mcp_tool_result" if ours.contains(&block.tool_use_id) => {
                    self.results.push(result(&block))
                }
                _ => {
                    self.next_turn(&mut blocks);
                    blocks.push(text.clone());
                }
            }
        }
        if ours.is_empty() {
            self.messages.push(message);
            return Ok(());
        }
        self.is_changed = true;
        self.push("assistant", &blocks);
        // results behind the last block wait for the user message that follows
        Ok(())
    }

    /// A block behind results begins the next turn.
    fn next_turn(&mut self, blocks: &mut Vec<Bytes>) {
        if !self.results.is_empty() {
            let finished = std::mem::take(blocks);
            self.push("assistant", &finished);
            self.flush();
        }
    }

    /// Results come first in a user message, as the API wants them.
    fn user(&mut self, document: &mut Document) -> Result<()> {
        let content = document.field("content").unwrap_or_default();
        if content.first() == Some(&b'"') {
            let text: Box<RawValue> = serde_json::from_slice(&content)
                .map_err(|e| Error::invalid("`content` cannot be read").with_source(e))?;
            let block = json!([{"type": "text", "text": text}]).to_string();
            document.set(&[Step::Key("content")], block)?;
        }
        for result in std::mem::take(&mut self.results).into_iter().rev() {
            document.insert(&[Step::Key("content"), Step::Index(0)], result)?;
        }
        self.messages.push(document.to_bytes());
        Ok(())
    }

    /// Results that no user message follows get one of their own.
    fn flush(&mut self) {
        let results = std::mem::take(&mut self.results);
        self.push("user", &results);
    }

    fn push(&mut self, role: &str, blocks: &[Bytes]) {
        if !blocks.is_empty() {
            self.messages.push(message(role, blocks));
        }
    }

    fn finish(mut self) -> Option<Vec<u8>> {
        self.flush();
        self.is_changed.then(|| array(&self.messages))
    }
}

/// A message of whole blocks.
pub fn message(role: &str, blocks: &[Bytes]) -> Bytes {
    let mut text = format!("{{\"role\":\"{role}\",\"content\":").into_bytes();
    text.extend_from_slice(&array(blocks));
    text.push(b'}');
    text.into()
}

fn array(items: &[Bytes]) -> Vec<u8> {
    let length = items.iter().map(|item| item.len() + 1).sum::<usize>() + 2;
    let mut text = Vec::with_capacity(length);
    text.push(b'[');
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            text.push(b',');
        }
        text.extend_from_slice(item);
    }
    text.push(b']');
    text
}

fn call(block: &Block<'_>) -> Bytes {
    let input = block.input.map_or("{}", RawValue::get);
    let head = json!({"type": "tool_use", "id": block.id, "name": upstream_name(&block.name)});
    with_members(
        head.to_string(),
        &[("input", Some(input)), ("cache_control", block.cache_control.map(RawValue::get))],
    )
}

fn result(block: &Block<'_>) -> Bytes {
    let mut head = json!({"type": "tool_result", "tool_use_id": block.tool_use_id});
    if block.is_error {
        head["is_error"] = true.into();
    }
    let members = [
        ("content", block.content.map(RawValue::get)),
        ("cache_control", block.cache_control.map(RawValue::get)),
    ];
    with_members(head.to_string(), &members)
}

/// Appends members to the text of an object; numbers in them keep the form they had.
fn with_members(mut object: String, members: &[(&str, Option<&str>)]) -> Bytes {
    object.pop();
    for (key, value) in members {
        if let Some(value) = value {
            object.push_str(&format!(",\"{key}\":{value}"));
        }
    }
    object.push('}');
    object.into()
}

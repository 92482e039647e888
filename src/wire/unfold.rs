//! Turns a whole message into the events of a stream, for replies made in one piece.
//!
//! It is the inverse of the fold in `message`: folding the events gives the same message.
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::wire::compose::{Composer, Delta};
use crate::wire::document::{Document, Kind, Step};
use crate::wire::event::Event;
use crate::wire::required;

/// Returns the events of a message, in the API's order.
///
/// Fails with a 400 if the text is no JSON object or has duplicate keys in an opened level.
pub(crate) fn events_of(message: &Bytes) -> Result<Vec<Event>> {
    let mut message = Document::parse(message.clone())?;
    let blocks = message.len(&[Step::Key("content")])?.unwrap_or_default();
    let mut stream = Composer::new();
    stream.start(&start(&message)?);
    for index in 0..blocks {
        let path = [Step::Key("content"), Step::Index(index as i64)];
        let block = message.get(&path)?.unwrap_or_default();
        write_block(&mut stream, Document::parse(block)?)?;
    }
    stream.end(&end(&message)?);
    stream.stop();
    stream.take()
}

/// Returns the message for `message_start`: without content, `stop_reason` and output tokens.
fn start(message: &Document) -> Result<Bytes> {
    let mut message = message.clone();
    message.set(&[Step::Key("content")], "[]")?;
    for field in required::DELTA.into_iter().filter(|field| message.has(field)).collect::<Vec<_>>()
    {
        message.set(&[Step::Key(field)], "null")?;
    }
    let written = [Step::Key("usage"), Step::Key("output_tokens")];
    if message.kind(&written)?.is_some() {
        message.set(&written, "0")?;
    }
    Ok(message.to_bytes())
}

/// Returns the data of `message_delta`.
fn end(message: &Document) -> Result<Bytes> {
    let mut delta = Document::parse(Bytes::from_static(b"{}"))?;
    for field in required::DELTA {
        if let Some(value) = message.field(field) {
            delta.set(&[Step::Key(field)], value)?;
        }
    }
    let mut data = Document::parse(Bytes::from_static(br#"{"type":"message_delta"}"#))?;
    data.set(&[Step::Key("delta")], delta.to_bytes())?;
    let usage = message.field("usage").unwrap_or(Bytes::from_static(br#"{"output_tokens":0}"#));
    data.set(&[Step::Key("usage")], usage)?;
    Ok(data.to_bytes())
}

/// Writes start, deltas and stop of one block. A block of a kind without deltas starts complete.
fn write_block(stream: &mut Composer, mut block: Document) -> Result<()> {
    let kind: String =
        serde_json::from_slice(&block.field("type").unwrap_or_default()).unwrap_or_default();
    let parts: &[(&str, Delta)] = match kind.as_str() {
        "text" => &[("citations", Delta::Citation), ("text", Delta::Text)],
        "thinking" => &[("thinking", Delta::Thinking), ("signature", Delta::Signature)],
        "tool_use" | "server_tool_use" | "mcp_tool_use" => &[("input", Delta::Input)],
        _ => &[],
    };
    // the API signs every thinking block
    if kind == "thinking" && block.kind(&[Step::Key("signature")])? != Some(Kind::String) {
        block.set(&[Step::Key("signature")], r#""""#)?;
    }
    let mut deltas = Vec::new();
    for (field, delta) in parts {
        deltas.extend(take(&mut block, field)?.into_iter().map(|value| (*delta, value)));
    }
    stream.block(&block.to_bytes());
    for (delta, value) in deltas {
        stream.delta_json(delta, &value);
    }
    stream.close();
    Ok(())
}

/// Empties a field of a block. Returns its content as the values of the deltas.
fn take(block: &mut Document, field: &str) -> Result<Vec<Bytes>> {
    let path = [Step::Key(field)];
    let Some(value) = block.field(field) else { return Ok(Vec::new()) };
    match block.kind(&path)? {
        Some(Kind::String) => {
            block.set(&path, r#""""#)?;
            Ok(vec![value])
        }
        // the JSON of an input is sent as text
        Some(Kind::Object) => {
            block.set(&path, "{}")?;
            let text = one_line(&value)?;
            Ok(vec![serde_json::Value::from(text).to_string().into()])
        }
        Some(Kind::Array) => {
            block.set(&path, "[]")?;
            let items: Vec<&RawValue> = serde_json::from_slice(&value).unwrap_or_default();
            Ok(items.into_iter().map(|item| item.get().to_owned().into()).collect())
        }
        _ => Ok(Vec::new()),
    }
}

/// Replaces line ends by blanks, since the data of an event is one line. JSON strings have no bare line
/// ends, so all line ends are between values.
fn one_line(json: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(json).map_err(|_| Error::invalid("the message is not UTF-8"))?;
    Ok(text.replace(['\n', '\r'], " "))
}

#[cfg(test)]
mod tests;

//! The events that a whole message would have come as: for answers made in one piece.
//!
//! The opposite of the fold in `message`: folding what this gives makes the same message again.
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::wire::document::{Document, Kind, Step};
use crate::wire::event::{Event, EventKind};

/// The events of a message, in the API's order.
///
/// Fails with a 400 if the text is no JSON object or has duplicate keys where it is opened.
pub fn events_of(message: &Bytes) -> Result<Vec<Event>> {
    let mut message = Document::parse(message.clone())?;
    let blocks = message.len(&[Step::Key("content")])?.unwrap_or_default();
    let mut events = vec![start(&message)?];
    for index in 0..blocks {
        let path = [Step::Key("content"), Step::Index(index as i64)];
        let block = message.get(&path)?.unwrap_or_default();
        events.extend(block_events(index, Document::parse(block)?)?);
    }
    events.push(end(&message)?);
    events.push(Event::new(EventKind::MessageStop, br#"{"type":"message_stop"}"#));
    Ok(events)
}

/// What only the end of a stream tells, as members of `delta`.
const AT_THE_END: [&str; 4] = ["stop_reason", "stop_sequence", "stop_details", "container"];

/// `message_start`: no content yet, no reason to stop yet, nothing written yet.
fn start(message: &Document) -> Result<Event> {
    let mut message = message.clone();
    message.set(&[Step::Key("content")], "[]")?;
    for field in AT_THE_END.into_iter().filter(|field| message.has(field)).collect::<Vec<_>>() {
        message.set(&[Step::Key(field)], "null")?;
    }
    let written = [Step::Key("usage"), Step::Key("output_tokens")];
    if message.kind(&written)?.is_some() {
        message.set(&written, "0")?;
    }
    let mut data = typed("message_start")?;
    data.set(&[Step::Key("message")], message.to_bytes())?;
    event(EventKind::MessageStart, &data)
}

fn end(message: &Document) -> Result<Event> {
    let mut delta = Document::parse(Bytes::from_static(b"{}"))?;
    for field in AT_THE_END {
        if let Some(value) = message.field(field) {
            delta.set(&[Step::Key(field)], value)?;
        }
    }
    let mut data = typed("message_delta")?;
    data.set(&[Step::Key("delta")], delta.to_bytes())?;
    let usage = message.field("usage").unwrap_or(Bytes::from_static(br#"{"output_tokens":0}"#));
    data.set(&[Step::Key("usage")], usage)?;
    event(EventKind::MessageDelta, &data)
}

/// Start, deltas and stop of one block. A block of a kind that has no deltas starts complete.
fn block_events(index: usize, mut block: Document) -> Result<Vec<Event>> {
    let kind: String = string(&block, "type");
    let parts: &[(&str, &str, &str)] = match kind.as_str() {
        "text" => &[("citations", "citations_delta", "citation"), ("text", "text_delta", "text")],
        "thinking" => &[
            ("thinking", "thinking_delta", "thinking"),
            ("signature", "signature_delta", "signature"),
        ],
        "tool_use" | "server_tool_use" | "mcp_tool_use" => {
            &[("input", "input_json_delta", "partial_json")]
        }
        _ => &[],
    };
    let mut deltas = Vec::new();
    for (field, delta, member) in parts {
        for value in take(&mut block, field)? {
            let mut inner = typed(delta)?;
            inner.set(&[Step::Key(member)], value)?;
            let mut data = numbered("content_block_delta", index)?;
            data.set(&[Step::Key("delta")], inner.to_bytes())?;
            deltas.push(event(EventKind::ContentBlockDelta, &data)?);
        }
    }
    let mut data = numbered("content_block_start", index)?;
    data.set(&[Step::Key("content_block")], block.to_bytes())?;
    let mut events = vec![event(EventKind::ContentBlockStart, &data)?];
    events.append(&mut deltas);
    let stop = numbered("content_block_stop", index)?;
    events.push(event(EventKind::ContentBlockStop, &stop)?);
    Ok(events)
}

/// Empties a field of a block; what was in it, as the values of the deltas that bring it.
fn take(block: &mut Document, field: &str) -> Result<Vec<Bytes>> {
    let path = [Step::Key(field)];
    let Some(value) = block.field(field) else { return Ok(Vec::new()) };
    match block.kind(&path)? {
        Some(Kind::String) => {
            block.set(&path, r#""""#)?;
            Ok(vec![value])
        }
        // the JSON of an input travels as text
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

fn string(block: &Document, field: &str) -> String {
    serde_json::from_slice(&block.field(field).unwrap_or_default()).unwrap_or_default()
}

fn typed(kind: &str) -> Result<Document> {
    let mut data = Document::parse(Bytes::from_static(b"{}"))?;
    data.set_value(&[Step::Key("type")], &kind)?;
    Ok(data)
}

fn numbered(kind: &str, index: usize) -> Result<Document> {
    let mut data = typed(kind)?;
    data.set_value(&[Step::Key("index")], &index)?;
    Ok(data)
}

fn event(kind: EventKind, data: &Document) -> Result<Event> {
    Ok(Event::new(kind, one_line(&data.to_bytes())?.as_bytes()))
}

/// The data of an event must be one line. Inside of JSON strings there are no bare line ends, so
/// those that there are stand between values.
fn one_line(json: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(json).map_err(|_| Error::invalid("the message is not UTF-8"))?;
    Ok(text.replace(['\n', '\r'], " "))
}

//! The edits of the wrong proxy.
use serde_json::{Map, Number, Value, json};

use super::faults::Fault;
use crate::support::head::Head;

/// An error of the API.
pub const ENVELOPE: &str =
    r#"{"type":"error","error":{"type":"invalid_request_error","message":"unexpected"}}"#;
const FOREIGN: &str = r#"{"error":{"message":"conform","code":500}}"#;

/// A request has a form that a strict gateway does not expect.
pub fn is_unexpected(head: &Head, body: &[u8]) -> bool {
    head.header("x-stainless-timeout") == Some("NOT_GIVEN")
        || head.header("x-api-key").is_none()
        || head.header("transfer-encoding").is_some()
        || body.len() > 1_000_000
        || head.target().contains("count_tokens?")
}

/// The request as the proxy sends it.
pub fn request(fault: Fault, head: &Head, body: &[u8]) -> Vec<u8> {
    let body = request_body(fault, body);
    let line = match fault {
        Fault::LosesHeaders if head.target().contains("beta") => {
            head.line.replace("?beta=true", "")
        }
        _ => head.line.clone(),
    };
    let mut text = format!("{line}\r\n");
    for (name, value) in &head.headers {
        let name = name.to_ascii_lowercase();
        let is_framing = matches!(name.as_str(), "content-length" | "transfer-encoding");
        let is_lost = name.starts_with("anthropic-") || name == "user-agent";
        if !(is_framing || is_lost && fault == Fault::LosesHeaders) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    text.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    [text.into_bytes(), body].concat()
}

fn request_body(fault: Fault, body: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let edit: fn(Value) -> Value = match fault {
        Fault::Reserialises => rewritten,
        Fault::KnownFieldsOnly => {
            |body| only(body, &["model", "messages", "max_tokens", "system", "tools", "stream"])
        }
        Fault::KnownBlocksOnly => known_blocks,
        Fault::MergesMessages => merged,
        Fault::AsciiOnly => {
            let ascii = |c: char| if c.is_ascii() { c } else { '?' };
            return text.chars().map(ascii).collect::<String>().into_bytes();
        }
        _ => return body.to_vec(),
    };
    // no double holds this number
    match serde_json::from_str::<Value>(&text.replace("1e400", "null")) {
        Ok(value) => edit(value).to_string().into_bytes(),
        Err(_) => body.to_vec(),
    }
}

/// As a parser with doubles and sorted maps writes it.
fn rewritten(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(rewritten).collect(),
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> = members.into_iter().collect();
            members.sort_by(|one, other| one.0.cmp(&other.0));
            members.into_iter().map(|(name, value)| (name, rewritten(value))).collect()
        }
        Value::Number(number) if number.as_f64().is_some_and(|n| n.fract() == 0.0) => {
            let whole = number.as_f64().unwrap();
            Value::Number(Number::from(whole as i64))
        }
        other => other,
    }
}

fn only(value: Value, names: &[&str]) -> Value {
    match value {
        Value::Object(members) => {
            members.into_iter().filter(|(name, _)| names.contains(&name.as_str())).collect()
        }
        other => other,
    }
}

fn known_blocks(mut body: Value) -> Value {
    let fields = ["type", "text", "id", "name", "tool_use_id", "content", "source"];
    let types = ["text", "tool_use", "tool_result", "image"];
    let blocks = |content: &mut Value| {
        if let Some(blocks) = content.as_array_mut() {
            blocks.retain(|block| types.iter().any(|known| block["type"] == *known));
            blocks.iter_mut().for_each(|block| *block = only(block.take(), &fields));
        }
    };
    blocks(&mut body["system"]);
    for message in body["messages"].as_array_mut().into_iter().flatten() {
        blocks(&mut message["content"]);
    }
    for tool in body["tools"].as_array_mut().into_iter().flatten() {
        *tool = only(tool.take(), &["name", "description", "input_schema"]);
    }
    if let Some(fields) = body.as_object_mut() {
        fields.remove("cache_control");
    }
    body
}

fn merged(mut body: Value) -> Value {
    let mut messages: Vec<Value> = Vec::new();
    for mut message in body["messages"].as_array().cloned().unwrap_or_default() {
        if message["role"] == "system" {
            continue;
        }
        for block in message["content"].as_array_mut().into_iter().flatten() {
            if block["type"] == "tool_use" || block["content"] == json!([]) {
                block.as_object_mut().unwrap().remove("content");
                block["input"] = Value::Null;
            }
        }
        match messages.last_mut() {
            Some(last) if last["role"] == message["role"] => {
                let text = format!("{}{}", last["content"], message["content"]);
                last["content"] = text.into();
            }
            _ => messages.push(message),
        }
    }
    body["messages"] = messages.into();
    body
}

/// The answer of a proxy whose upstream broke.
pub fn broken(fault: Fault) -> Vec<u8> {
    let body = ENVELOPE.replace("invalid_request_error", "api_error");
    let status = if fault == Fault::EndsCleanly { "200 OK" } else { "502 Bad Gateway" };
    let body = if fault == Fault::EndsCleanly { String::new() } else { body };
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The head of an answer, without its framing and its end.
pub fn head(fault: Fault, head: &Head) -> Vec<u8> {
    let mut text = format!("{}\r\n", head.line);
    for (name, value) in &head.headers {
        let is_framing = matches!(name.as_str(), "content-length" | "transfer-encoding");
        if !is_framing && fault != Fault::LosesAnswerHeaders {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    text.into_bytes()
}

/// A whole answer.
pub fn answer(fault: Fault, request: &Head, answer: &Head, body: &[u8]) -> Vec<u8> {
    let status: u16 = answer.line.split(' ').nth(1).unwrap().parse().unwrap();
    let parsed = serde_json::from_slice::<Value>(body);
    let is_json = answer.header("content-type") == Some("application/json");
    if (parsed.is_err() || !is_json) && fault != Fault::EndsCleanly {
        return broken(fault);
    }
    let mut answer = answer.clone();
    let parsed = parsed.unwrap_or_default();
    let body = match fault {
        Fault::WrongEnvelope if status >= 400 => {
            answer.line = "HTTP/1.1 500 Wrong".to_owned();
            FOREIGN.to_owned()
        }
        Fault::ReserialisesAnswers => rewritten(parsed).to_string(),
        Fault::RebuildsAnswers if status == 200 => rebuilt(&parsed).to_string(),
        Fault::RebuildsAnswers => {
            answer
                .headers
                .retain(|(name, _)| !name.starts_with("anthropic") && name != "retry-after-ms");
            json!({"type": "error", "error": {"type": parsed["error"]["type"], "message": "failed"}})
                .to_string()
        }
        Fault::ListsOtherwise if request.target().starts_with("/v1/models") => {
            let data = parsed["data"].as_array().cloned().unwrap_or_default();
            let data: Vec<Value> =
                data.iter().map(|model| json!({"id": model["id"], "object": "model"})).collect();
            json!({"object": "list", "data": data}).to_string()
        }
        _ => String::from_utf8(body.to_vec()).unwrap(),
    };
    let mut out = head(fault, &answer);
    out.extend(format!("content-length: {}\r\n\r\n{body}", body.len()).as_bytes());
    out
}

/// A message with the fields that an older client knew; a count is none of them.
fn rebuilt(message: &Value) -> Value {
    if message.get("content").is_none() {
        return match message.get("input_tokens") {
            Some(_) => json!({"input_tokens": 0}),
            None => message.clone(),
        };
    }
    let texts = message["content"].as_array().unwrap().iter();
    let texts = texts.filter_map(|block| block["text"].as_str());
    let text: String = texts.collect::<String>().chars().filter(char::is_ascii).collect();
    json!({
        "id": "msg_gateway",
        "type": "message",
        "role": "assistant",
        "model": message["model"],
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": null,
        "usage": {"input_tokens": 3, "output_tokens": 2},
    })
}

/// The stream ends with its last event, or with an error.
pub fn is_complete(received: &[u8]) -> bool {
    let text = String::from_utf8_lossy(received);
    let last = text.contains("event: message_stop") || text.contains("event: error");
    last && text.ends_with("\n\n")
}

/// The frames of a stream on their way.
pub struct Frames {
    fault: Fault,
    pending: Vec<u8>,
}

impl Frames {
    /// Begins a stream.
    pub fn new(fault: Fault) -> Self {
        Self { fault, pending: Vec::new() }
    }

    /// The bytes that a chunk becomes.
    pub fn edit(&mut self, chunk: Vec<u8>) -> Vec<u8> {
        match self.fault {
            Fault::DecodesChunks => String::from_utf8_lossy(&chunk).into_owned().into_bytes(),
            Fault::DropsPings
            | Fault::ReserialisesEvents
            | Fault::KnownEventsOnly
            | Fault::EndsCleanly => {
                self.pending.extend(chunk);
                let mut out = String::new();
                while let Some(end) = memchr::memmem::find(&self.pending, b"\n\n") {
                    let rest = self.pending.split_off(end + 2);
                    let frame = std::mem::replace(&mut self.pending, rest);
                    out.push_str(&self.frame(String::from_utf8(frame).unwrap()));
                }
                out.into_bytes()
            }
            _ => chunk,
        }
    }

    fn frame(&self, frame: String) -> String {
        let data = frame.lines().find_map(|line| line.strip_prefix("data: "));
        let Some(data) = data.and_then(|data| serde_json::from_str::<Value>(data).ok()) else {
            return frame;
        };
        let name = data["type"].as_str().unwrap_or_default().to_owned();
        let write = |data: Value| format!("event: {name}\ndata: {data}\n\n");
        match self.fault {
            Fault::DropsPings if name == "ping" => String::new(),
            Fault::EndsCleanly if name == "error" => String::new(),
            Fault::ReserialisesEvents => write(rewritten(data)),
            Fault::KnownEventsOnly => known(data).map(write).unwrap_or_default(),
            _ => frame,
        }
    }
}

fn known(mut data: Value) -> Option<Value> {
    match data["type"].as_str()? {
        "message_start" => {
            data["message"]["usage"] = json!({"input_tokens": 0, "output_tokens": 0});
            Some(data)
        }
        "content_block_start" if data["content_block"]["type"] == "future_block" => None,
        "content_block_delta" => {
            let has_text = data["delta"]["text"].as_str().is_some_and(|text| !text.is_empty());
            has_text.then_some(data)
        }
        "message_delta" => {
            data["usage"] = Value::Object(Map::new());
            Some(data)
        }
        "content_block_start" | "content_block_stop" | "message_stop" | "error" => Some(data),
        _ => None,
    }
}

//! Estimates of input tokens, where the upstream counts none: OpenAI's o200k, times the factor of the model's family.
mod media;
#[cfg(test)]
mod tests;
mod tokens;

use memchr::{memchr, memmem};
use serde_json::Value;

use crate::catalogue::images::ImageRule;
use crate::catalogue::row::{Row, Tokenizer};
use crate::wire::MessagesRequest;
use crate::wire::content::elements;

/// The bytes of a request for each token of o200k, in English and JSON.
const BYTES_A_TOKEN: u64 = 4;
/// The shortest value of `data` that [`quick_estimate`] takes for a file.
const FILE: usize = 1024;
/// The tokens of a file to [`quick_estimate`].
const FILE_TOKENS: u64 = 1500;
/// The parts of a request that are input of the model.
const FIELDS: [&str; 3] = ["system", "messages", "tools"];
/// Members that are never part of the prompt, or not as text.
const SILENT: &[&str] = &[
    "type",
    "id",
    "tool_use_id",
    "cache_control",
    "signature",
    "encrypted_content",
    "encrypted_index",
    "citations",
    "media_type",
    "file_id",
    "is_error",
];

/// Returns the estimated input tokens of a request. The time grows with the length of the request only: about 20 ms
/// for a megabyte, whatever its text. Call it on a thread that may block.
pub(crate) fn estimate(request: &MessagesRequest, row: Option<&Row>) -> u64 {
    let tokenizer = row.map_or(Tokenizer::UNKNOWN, |row| row.tokenizer);
    let images = row.and_then(|row| row.images).unwrap_or(ImageRule::UNKNOWN);
    let mut count = Count { text: 0, media: 0, images };
    let document = request.document();
    if let Some(system) = document.field("system") {
        count.content(&value(&system));
    }
    let messages = document.field("messages").unwrap_or_default();
    let messages = elements(&messages);
    for message in &messages {
        count.content(&value(message.get().as_bytes())["content"]);
    }
    let tools = document.field("tools").unwrap_or_default();
    let tools = elements(&tools);
    for tool in &tools {
        count.tool(value(tool.get().as_bytes()));
    }
    if let Some(output) = document.field("output_config") {
        count.json(&value(&output)["format"]["schema"]);
    }
    let overhead = tokenizer.request
        + tokenizer.message * messages.len() as u64
        + if tools.is_empty() { 0 } else { tokenizer.tools };
    overhead + scaled(count.text, tokenizer.factor) + count.media
}

/// Returns a cheap estimate, about a nanosecond for each byte: for the usage at the start of a stream, and for the
/// price of a request.
pub(crate) fn quick_estimate(request: &MessagesRequest, row: Option<&Row>) -> u64 {
    let tokenizer = row.map_or(Tokenizer::UNKNOWN, |row| row.tokenizer);
    let (mut bytes, mut files, mut tools) = (0, 0, 0);
    for field in FIELDS {
        let Some(text) = request.document().field(field) else { continue };
        let (length, count) = files_in(&text);
        bytes += (text.len() - length) as u64;
        files += count;
        if field == "tools" && text.len() > "[]".len() {
            tools = tokenizer.tools;
        }
    }
    tokenizer.request
        + tokenizer.message
        + tools
        + scaled(bytes / BYTES_A_TOKEN, tokenizer.factor)
        + files * FILE_TOKENS
}

/// Returns the bytes and the number of files in Base64 in a JSON text.
fn files_in(json: &[u8]) -> (usize, u64) {
    let (mut bytes, mut files, mut at) = (0, 0, 0);
    while let Some(found) = memmem::find(&json[at..], b"\"data\"") {
        at += found + "\"data\"".len();
        let value = json[at..].trim_ascii_start().strip_prefix(b":");
        let Some(text) = value.and_then(|value| value.trim_ascii_start().strip_prefix(b"\""))
        else {
            continue;
        };
        let length = memchr(b'"', text).unwrap_or(text.len());
        if length >= FILE && !text[..FILE].contains(&b' ') {
            bytes += length;
            files += 1;
        }
        at = json.len() - text.len() + length;
    }
    (bytes, files)
}

fn scaled(tokens: u64, factor: f64) -> u64 {
    (tokens as f64 * factor).round() as u64
}

/// Parses a part of a request; `null` for one that is nested too deeply.
fn value(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap_or_default()
}

/// A running count.
struct Count {
    /// The tokens of o200k.
    text: u64,
    /// The model's own tokens of images and files.
    media: u64,
    images: ImageRule,
}

impl Count {
    fn text(&mut self, text: &str) {
        self.text += tokens::count(text);
    }

    fn text_of(&mut self, value: &Value) {
        if let Some(text) = value.as_str() {
            self.text(text);
        }
    }

    fn json(&mut self, value: &Value) {
        if !value.is_null() {
            self.text(&value.to_string());
        }
    }

    fn tool(&mut self, mut tool: Value) {
        if let Some(members) = tool.as_object_mut() {
            members.shift_remove("cache_control");
        }
        self.json(&tool);
    }

    /// Counts a text, or a list of blocks.
    fn content(&mut self, content: &Value) {
        match content {
            Value::Array(blocks) => blocks.iter().for_each(|block| self.block(block)),
            content => self.text_of(content),
        }
    }

    fn block(&mut self, block: &Value) {
        match block["type"].as_str().unwrap_or_default() {
            "text" => self.text_of(&block["text"]),
            "thinking" => self.text_of(&block["thinking"]),
            "redacted_thinking" => {}
            "image" => self.image(&block["source"]),
            "document" => {
                self.text_of(&block["title"]);
                self.text_of(&block["context"]);
                self.document(&block["source"]);
            }
            "tool_use" | "server_tool_use" | "mcp_tool_use" => {
                self.text_of(&block["name"]);
                self.json(&block["input"]);
            }
            "tool_result" | "mcp_tool_result" => self.content(&block["content"]),
            _ => self.strings(block),
        }
    }

    fn image(&mut self, source: &Value) {
        self.media += match source["data"].as_str() {
            Some(data) => media::image(self.images, data),
            None => media::unseen_image(self.images),
        };
    }

    fn document(&mut self, source: &Value) {
        match (source["type"].as_str(), source["data"].as_str()) {
            (Some("text"), Some(text)) => self.text(text),
            (Some("content"), _) => self.content(&source["content"]),
            (_, Some(data)) => self.media += media::pdf(self.images, data),
            (_, None) => self.media += self.images.page(),
        }
    }

    /// Counts every text of a block of another type: a search result, a page, a block of the future.
    fn strings(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.text(text),
            Value::Array(items) => items.iter().for_each(|item| self.inner(item)),
            Value::Object(members) => {
                let spoken = members.iter().filter(|(key, _)| !SILENT.contains(&key.as_str()));
                spoken.for_each(|(_, value)| self.inner(value));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Counts a value inside of a block, which may be a block itself.
    fn inner(&mut self, value: &Value) {
        match value["type"].as_str() {
            Some("text" | "image" | "document") => self.block(value),
            _ => self.strings(value),
        }
    }
}

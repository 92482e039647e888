//! Blocks of a conversation as texts, for upstreams that have no such block.
use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::providers::translate::conversation::{Block, BlockBody, Content, Source, input_json};

/// The beginning of the block that Claude Code puts before its system prompt. It changes with each version, and
/// would spoil the prompt cache of other upstreams.
const BILLING: &str = "x-anthropic-billing-header";

/// Returns the texts of a system prompt.
pub(crate) fn system<'c, 'a>(
    content: &'c Content<'a>,
) -> impl Iterator<Item = (&'c str, &'c Block<'a>)> {
    content.0.iter().filter_map(|block| match &block.body {
        BlockBody::Text(text) if !text.is_empty() && !text.starts_with(BILLING) => {
            Some((&**text, block))
        }
        _ => None,
    })
}

/// Returns a system message in the middle of a conversation, as a text of the user.
pub(crate) fn marked_system(text: &str) -> String {
    format!("<system-message>\n{text}\n</system-message>")
}

/// Returns a document that is a text, with its title and its context in front.
pub(crate) fn document(title: Option<&str>, context: Option<&str>, text: &str) -> String {
    let mut whole = String::with_capacity(text.len() + 64);
    if let Some(title) = title.filter(|title| !title.is_empty()) {
        let _ = writeln!(whole, "[document: {title}]");
    }
    if let Some(context) = context.filter(|context| !context.is_empty()) {
        let _ = writeln!(whole, "{context}");
    }
    whole.push_str(text);
    whole
}

/// Returns a search result as a text.
pub(crate) fn search_result(title: &str, source: &str, content: &Content<'_>) -> String {
    let mut whole = format!("[search result: {title}]\n{source}");
    for text in content.0.iter().filter_map(Block::plain_text) {
        whole.push('\n');
        whole.push_str(text);
    }
    whole
}

/// Returns a line in the place of a block that an upstream cannot receive.
pub(crate) fn placeholder(kind: &str, title: Option<&str>) -> String {
    match title {
        Some(title) if !title.is_empty() => {
            format!("[the gateway left out a block of type `{kind}`: {title}]")
        }
        _ => format!("[the gateway left out a block of type `{kind}`]"),
    }
}

/// Returns a line in the place of a block whose URL has no content for an upstream, with the reason.
pub(crate) fn unfetched(kind: &str, title: Option<&str>, reason: &str) -> String {
    match title {
        Some(title) if !title.is_empty() => {
            format!("[the gateway left out a block of type `{kind}`: {title}: {reason}]")
        }
        _ => format!("[the gateway left out a block of type `{kind}`: {reason}]"),
    }
}

/// Returns a call of a tool that the API ran, as a text.
pub(crate) fn server_call(name: &str, input: &RawValue) -> String {
    format!("[the tool `{name}` was called with {}]", input_json(input))
}

/// Returns the result of a tool that the API ran, as a text: titles and addresses of hits, else its texts.
pub(crate) fn server_result(content: &RawValue) -> String {
    let value: Value = serde_json::from_str(content.get()).unwrap_or_default();
    let mut lines = Vec::new();
    collect(&value, &mut lines);
    match lines.is_empty() {
        true => "[the tool gave no readable result]".to_owned(),
        false => format!("[the tool's result]\n{}", lines.join("\n")),
    }
}

fn collect(value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Array(list) => list.iter().for_each(|one| collect(one, lines)),
        Value::Object(object) => {
            let text =
                |key: &str| object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
            match (text("title"), text("url").or(text("source"))) {
                (Some(title), Some(url)) => lines.push(format!("- {title}: {url}")),
                (None, Some(url)) => lines.push(format!("- {url}")),
                _ => {}
            }
            for key in ["text", "stdout", "stderr", "error_code", "data"] {
                lines.extend(text(key).map(str::to_owned));
            }
            for key in ["content", "source"] {
                if let Some(inner @ (Value::Array(_) | Value::Object(_))) = object.get(key) {
                    collect(inner, lines);
                }
            }
        }
        _ => {}
    }
}

impl<'a> Block<'a> {
    /// Returns the text of a text block.
    pub(crate) fn plain_text(&self) -> Option<&str> {
        match &self.body {
            BlockBody::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the kind of a block that cannot be carried, and its title.
    pub(crate) fn kind_and_title(&self) -> (&str, Option<&str>) {
        match &self.body {
            BlockBody::Image(_) => ("image", None),
            BlockBody::Document { title, .. } => ("document", title.as_deref()),
            BlockBody::Other(kind) => (kind, None),
            _ => ("unknown", None),
        }
    }

    /// Returns the text of a block that every upstream can receive as text; `None` for media and calls.
    pub(crate) fn as_text(&self) -> Option<Cow<'_, str>> {
        match &self.body {
            BlockBody::Text(text) => Some(Cow::Borrowed(text)),
            BlockBody::SearchResult { title, source, content } => {
                Some(search_result(title, source, content).into())
            }
            BlockBody::Document { source: Source::Text(text), title, context } => {
                Some(document(title.as_deref(), context.as_deref(), text).into())
            }
            BlockBody::ServerToolUse { name, input, .. } => Some(server_call(name, input).into()),
            BlockBody::ServerToolResult { content, .. } => Some(server_result(content).into()),
            _ => None,
        }
    }
}

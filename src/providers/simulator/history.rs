//! The conversation of a request in the API's view: consecutive messages of one role are one turn.
use std::fmt;

use serde_json::Value;

/// Consecutive messages of one role.
pub(crate) struct Turn<'a> {
    /// Whether the turn is the user's; else it is the assistant's.
    pub is_user: bool,
    /// The blocks, in order.
    pub blocks: Vec<HistoryBlock<'a>>,
}

/// A content block and its position.
#[derive(Clone, Copy)]
pub(crate) struct HistoryBlock<'a> {
    /// The index in `messages`.
    message: usize,
    /// The index in the message's `content`.
    index: usize,
    value: &'a Value,
}

impl<'a> HistoryBlock<'a> {
    /// Returns the block's `type`. Content that is a string is a text block.
    pub(crate) fn kind(self) -> &'a str {
        if self.value.is_string() { "text" } else { self.str("type") }
    }

    /// Returns a string field, or an empty string.
    pub(crate) fn str(self, field: &str) -> &'a str {
        self.value[field].as_str().unwrap_or_default()
    }

    /// Returns the text of a text block.
    pub(crate) fn text(self) -> &'a str {
        self.value.as_str().unwrap_or_else(|| self.str("text"))
    }

    /// Returns any field, or null.
    pub(crate) fn field(self, field: &str) -> &'a Value {
        &self.value[field]
    }

    /// Returns the path in the API's form: `messages.3.content.0`.
    pub(crate) fn path(self) -> Path {
        Path { message: self.message, index: self.index }
    }
}

/// The position of a block. It is formatted only for messages.
#[derive(Clone, Copy)]
pub(crate) struct Path {
    message: usize,
    index: usize,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "messages.{}.content.{}", self.message, self.index)
    }
}

/// Returns the turns. `system` messages are between turns and end none.
pub(crate) fn turns(messages: &[Value]) -> Vec<Turn<'_>> {
    let mut turns: Vec<Turn<'_>> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let is_user = match message["role"].as_str() {
            Some("user") => true,
            Some("assistant") => false,
            _ => continue,
        };
        let blocks = blocks(at, &message["content"]);
        match turns.last_mut() {
            Some(turn) if turn.is_user == is_user => turn.blocks.extend(blocks),
            _ => turns.push(Turn { is_user, blocks: blocks.collect() }),
        }
    }
    turns
}

/// Returns the blocks of one message.
pub(crate) fn blocks(message: usize, content: &Value) -> impl Iterator<Item = HistoryBlock<'_>> {
    let list = match content {
        Value::Array(list) => list.as_slice(),
        other => std::slice::from_ref(other),
    };
    list.iter().enumerate().map(move |(index, value)| HistoryBlock { message, index, value })
}

/// Returns the user's text in this turn, without the notes that clients add by themselves.
pub(crate) fn own_text(turn: &Turn<'_>) -> String {
    let texts: Vec<&str> = turn
        .blocks
        .iter()
        .filter(|block| block.kind() == "text")
        .map(|block| block.text().trim())
        .filter(|text| !text.is_empty() && !text.starts_with("<system-reminder>"))
        .collect();
    texts.join("\n")
}

//! The conversation of a request as the API sees it: messages of one role in a row are one turn.
use std::fmt;

use serde_json::Value;

/// Consecutive messages of one role.
pub struct Turn<'a> {
    /// The user's; else the assistant's.
    pub is_user: bool,
    /// Their blocks, in order.
    pub blocks: Vec<Block<'a>>,
}

/// One content block and where it stands.
#[derive(Clone, Copy)]
pub struct Block<'a> {
    /// Index into `messages`.
    message: usize,
    /// Index into its `content`.
    index: usize,
    value: &'a Value,
}

impl<'a> Block<'a> {
    /// The block's `type`; content that is a string is a text block.
    pub fn kind(self) -> &'a str {
        if self.value.is_string() { "text" } else { self.str("type") }
    }

    /// A string field; empty if there is none.
    pub fn str(self, field: &str) -> &'a str {
        self.value[field].as_str().unwrap_or_default()
    }

    /// The text of a text block.
    pub fn text(self) -> &'a str {
        self.value.as_str().unwrap_or_else(|| self.str("text"))
    }

    /// Any field; null if there is none.
    pub fn field(self, field: &str) -> &'a Value {
        &self.value[field]
    }

    /// `messages.3.content.0`, as the API writes it.
    pub fn path(self) -> Path {
        Path { message: self.message, index: self.index }
    }
}

/// Where a block stands; written out only if there is something to say about it.
#[derive(Clone, Copy)]
pub struct Path {
    message: usize,
    index: usize,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "messages.{}.content.{}", self.message, self.index)
    }
}

/// The turns. `system` messages stand between turns and end none.
pub fn turns(messages: &[Value]) -> Vec<Turn<'_>> {
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

/// The blocks of one message.
pub fn blocks(message: usize, content: &Value) -> impl Iterator<Item = Block<'_>> {
    let list = match content {
        Value::Array(list) => list.as_slice(),
        other => std::slice::from_ref(other),
    };
    list.iter().enumerate().map(move |(index, value)| Block { message, index, value })
}

/// What the user wrote in this turn: notes that clients add by themselves are not the user's own.
pub fn own_text(turn: &Turn<'_>) -> String {
    let texts: Vec<&str> = turn
        .blocks
        .iter()
        .filter(|block| block.kind() == "text")
        .map(|block| block.text().trim())
        .filter(|text| !text.is_empty() && !text.starts_with("<system-reminder>"))
        .collect();
    texts.join("\n")
}

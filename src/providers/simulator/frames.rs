//! Writes an answer down as the events of a stream, in the order and shape of the real API.
use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

use crate::providers::simulator::answer::{Answer, Block};
use crate::providers::simulator::directives::{Framing, Odd};
use crate::providers::simulator::seed::Seed;
use crate::providers::simulator::tokens::Input;
use crate::wire::Event;

/// How finely the deltas of a block are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pieces {
    /// A word each, as a stream shows them.
    Words,
    /// All at once, for an answer that is folded anyway.
    Whole,
}

/// What the message says of itself at its start.
pub struct Head<'a> {
    /// Where its id comes from.
    pub seed: &'a Seed,
    /// `model`
    pub model: &'a str,
    /// What the request cost.
    pub input: Input,
}

/// A piece of a text without blanks is cut here, in bytes.
const MAX_WORD: usize = 24;

/// The events of a whole message.
pub fn events(head: &Head<'_>, answer: &Answer, pieces: Pieces, framing: Framing) -> Vec<Event> {
    let mut writer = Writer {
        buffer: BytesMut::with_capacity(8 * 1024),
        events: Vec::with_capacity(32),
        framing,
        pieces,
    };
    writer.start(head);
    for (index, block) in answer.blocks.iter().enumerate() {
        writer.block(index, block, &answer.odd);
    }
    writer.end(head, answer);
    writer.events
}

/// One event of any name, for the `error` event.
pub fn event(name: &str, data: &Value, framing: Framing) -> Event {
    let mut writer =
        Writer { buffer: BytesMut::new(), events: Vec::new(), framing, pieces: Pieces::Whole };
    writer.frame(name, data.to_string().as_bytes())
}

struct Writer {
    /// All frames of a stream share few buffers.
    buffer: BytesMut,
    events: Vec<Event>,
    framing: Framing,
    pieces: Pieces,
}

impl Writer {
    fn start(&mut self, head: &Head<'_>) {
        let input = head.input;
        let data = json!({
            "type": "message_start",
            "message": {
                "id": head.seed.id("msg", 0),
                "type": "message",
                "role": "assistant",
                "model": head.model,
                "content": [],
                "stop_reason": null,
                "stop_sequence": null,
                "stop_details": null,
                "usage": {
                    "input_tokens": input.fresh,
                    "cache_creation_input_tokens": input.cache_creation(),
                    "cache_read_input_tokens": input.cache_read,
                    "cache_creation": {
                        "ephemeral_5m_input_tokens": input.cache_creation_5m,
                        "ephemeral_1h_input_tokens": input.cache_creation_1h,
                    },
                    "output_tokens": 1,
                    "service_tier": "standard",
                },
            },
        });
        self.push("message_start", data.to_string().as_bytes());
    }

    fn block(&mut self, index: usize, block: &Block, odd: &[Odd]) {
        let start = match block {
            Block::Text(_) => json!({"type": "text", "text": ""}),
            Block::Cited { .. } => json!({"type": "text", "text": "", "citations": []}),
            Block::Thinking { .. } => json!({"type": "thinking", "thinking": "", "signature": ""}),
            Block::Redacted(data) => json!({"type": "redacted_thinking", "data": data}),
            Block::ToolUse { id, name, .. } => {
                json!({"type": "tool_use", "id": id, "name": name, "input": {}})
            }
            Block::Unknown => json!({"type": "future_block", "future": "field"}),
        };
        let start = json!({"type": "content_block_start", "index": index, "content_block": start});
        self.push("content_block_start", start.to_string().as_bytes());
        if index == 0 {
            self.events.push(self.ping());
            self.odd_event(odd);
        }
        match block {
            Block::Text(text) => self.deltas(index, ("text_delta", "text"), text),
            Block::Cited { text, citation } => {
                let delta = json!({"type": "citations_delta", "citation": citation});
                let data = json!({"type": "content_block_delta", "index": index, "delta": delta});
                self.push("content_block_delta", data.to_string().as_bytes());
                self.deltas(index, ("text_delta", "text"), text);
            }
            Block::Thinking { text, signature } => {
                self.deltas(index, ("thinking_delta", "thinking"), text);
                self.delta(index, ("signature_delta", "signature"), signature);
            }
            Block::ToolUse { input, .. } => {
                self.delta(index, ("input_json_delta", "partial_json"), "");
                self.deltas(index, ("input_json_delta", "partial_json"), input);
            }
            Block::Redacted(_) | Block::Unknown => {}
        }
        if index == 0 && odd.contains(&Odd::Delta) {
            self.delta(index, ("future_delta", "future"), "unknown");
        }
        let stop = json!({"type": "content_block_stop", "index": index});
        self.push("content_block_stop", stop.to_string().as_bytes());
    }

    fn deltas(&mut self, index: usize, names: (&str, &str), text: &str) {
        match self.pieces {
            Pieces::Whole => self.delta(index, names, text),
            Pieces::Words => words(text).for_each(|word| self.delta(index, names, word)),
        }
    }

    /// Written by hand: a load test makes millions of these.
    fn delta(&mut self, index: usize, (kind, field): (&str, &str), text: &str) {
        // a string always serializes
        let text = serde_json::to_string(text).unwrap_or_default();
        let data = format!(
            "{{\"type\":\"content_block_delta\",\"index\":{index},\"delta\":{{\"type\":\"{kind}\",\
             \"{field}\":{text}}}}}"
        );
        self.push("content_block_delta", data.as_bytes());
    }

    fn odd_event(&mut self, odd: &[Odd]) {
        if odd.contains(&Odd::Event) {
            self.push("future_event", br#"{"type":"future_event","future":"field"}"#);
        }
    }

    fn end(&mut self, head: &Head<'_>, answer: &Answer) {
        let mut usage = json!({
            "input_tokens": head.input.fresh,
            "cache_creation_input_tokens": head.input.cache_creation(),
            "cache_read_input_tokens": head.input.cache_read,
            "output_tokens": answer.output_tokens,
        });
        if answer.thinking_tokens > 0 {
            usage["output_tokens_details"] = json!({"thinking_tokens": answer.thinking_tokens});
        }
        let data = json!({
            "type": "message_delta",
            "delta": {
                "stop_reason": answer.stop_reason,
                "stop_sequence": answer.stop_sequence,
                "stop_details": answer.stop_details,
            },
            "usage": usage,
        });
        self.push("message_delta", data.to_string().as_bytes());
        self.push("message_stop", br#"{"type":"message_stop"}"#);
    }

    fn ping(&self) -> Event {
        match self.framing.is_crlf {
            false => Event::ping(),
            true => Event::from_frame(Bytes::from_static(
                b"event: ping\r\ndata: {\"type\": \"ping\"}\r\n\r\n",
            )),
        }
    }

    fn push(&mut self, name: &str, data: &[u8]) {
        let event = self.frame(name, data);
        self.events.push(event);
    }

    fn frame(&mut self, name: &str, data: &[u8]) -> Event {
        let end_of_line: &[u8] = if self.framing.is_crlf { b"\r\n" } else { b"\n" };
        // as many blanks as one cannot guess, but always the same ones
        let padding = if self.framing.is_padded { 1 + (self.events.len() * 7) % 11 } else { 0 };
        let (data, brace) = data.split_at(data.len().saturating_sub(1));
        self.buffer.reserve(name.len() + data.len() + padding + 24);
        self.buffer.put_slice(b"event: ");
        self.buffer.put_slice(name.as_bytes());
        self.buffer.put_slice(end_of_line);
        self.buffer.put_slice(b"data: ");
        self.buffer.put_slice(data);
        self.buffer.put_bytes(b' ', padding);
        self.buffer.put_slice(brace);
        self.buffer.put_slice(end_of_line);
        self.buffer.put_slice(end_of_line);
        Event::from_frame(self.buffer.split().freeze())
    }
}

/// Cuts a text into words, each with the blank before it.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let behind = &rest[first.len_utf8()..];
        let at_most = behind.floor_char_boundary(MAX_WORD);
        let word = behind[..at_most].find(char::is_whitespace).unwrap_or(at_most);
        let (piece, left) = rest.split_at(first.len_utf8() + word);
        rest = left;
        Some(piece)
    })
}

//! Encodes an answer as the events of a stream, in the order and shape of the real API.
use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

use crate::error::Result;
use crate::providers::simulator::answer::{OutputBlock, SimulatedAnswer};
use crate::providers::simulator::directives::{Framing, Odd};
use crate::providers::simulator::seed::Seed;
use crate::providers::simulator::tokens::Input;
use crate::wire::Event;
use crate::wire::compose::{Composer, Delta};
use crate::wire::required;

/// The size of the deltas of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pieces {
    /// One word each, as in a real stream.
    Words,
    /// The whole block in one delta, for an answer that is folded anyway.
    Whole,
}

/// The values of the `message_start` event.
pub(crate) struct Head<'a> {
    /// The source of the message's id.
    pub seed: &'a Seed,
    /// `model`
    pub model: &'a str,
    /// The input tokens.
    pub input: Input,
    /// Whether the request names a beta. Then the answer has the members that only betas have.
    pub is_beta: bool,
}

/// The largest piece of a text without blanks, in bytes.
const MAX_WORD: usize = 24;

/// Returns the events of a whole message.
pub(crate) fn events(
    head: &Head<'_>,
    answer: &SimulatedAnswer,
    pieces: Pieces,
    framing: Framing,
) -> Result<Vec<Event>> {
    let mut frames = Frames::new(framing);
    let ping = frames.ping();
    let stream = Composer::framed_by(|name, data| frames.frame(name, data));
    let mut writer = Writer { stream, pieces, ping };
    writer.start(head);
    for block in &answer.blocks {
        writer.block(block, &answer.odd);
    }
    writer.end(head, answer);
    writer.stream.take()
}

/// Returns one event of any name, for the `error` event.
pub(crate) fn event(name: &str, data: &Value, framing: Framing) -> Event {
    Frames::new(framing).frame(name, data.to_string().as_bytes())
}

struct Writer<F> {
    stream: Composer<F>,
    pieces: Pieces,
    ping: Event,
}

impl<F: FnMut(&str, &[u8]) -> Event> Writer<F> {
    fn start(&mut self, head: &Head<'_>) {
        let input = head.input;
        let mut message = json!({
            "id": head.seed.id("msg", 0),
            "type": "message",
            "role": "assistant",
            "model": head.model,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "stop_details": null,
            "container": null,
            "diagnostics": null,
            "usage": {
                "input_tokens": input.fresh,
                "cache_creation_input_tokens": input.cache_creation(),
                "cache_read_input_tokens": input.cache_read,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": input.cache_creation_5m,
                    "ephemeral_1h_input_tokens": input.cache_creation_1h,
                },
                "output_tokens": 1,
                "output_tokens_details": null,
                "server_tool_use": null,
                "service_tier": "standard",
                "inference_geo": null,
                "speed": null,
            },
        });
        if head.is_beta {
            message["context_management"] = Value::Null;
            add_beta_usage(&mut message["usage"]);
        }
        self.stream.start(message.to_string().as_bytes());
    }

    fn block(&mut self, block: &OutputBlock, odd: &[Odd]) {
        let start = match block {
            OutputBlock::Text(_) => json!({"type": "text", "text": "", "citations": null}),
            OutputBlock::Cited { .. } => json!({"type": "text", "text": "", "citations": []}),
            OutputBlock::Thinking { .. } => {
                json!({"type": "thinking", "thinking": "", "signature": ""})
            }
            OutputBlock::Redacted(data) => json!({"type": "redacted_thinking", "data": data}),
            OutputBlock::ToolUse { id, name, .. } => json!({
                "type": "tool_use", "id": id, "name": name, "input": {}, "caller": required::caller(),
            }),
            OutputBlock::Unknown => json!({"type": "future_block", "future": "field"}),
        };
        let is_first = self.stream.index() == 0;
        self.stream.block(start.to_string().as_bytes());
        if is_first {
            self.stream.pass(self.ping.clone());
            if odd.contains(&Odd::Event) {
                self.stream.unknown("future_event", br#"{"type":"future_event","future":"field"}"#);
            }
        }
        let has_odd_delta = is_first && odd.contains(&Odd::Delta);
        match block {
            OutputBlock::Text(text) => self.deltas(Delta::Text, text),
            OutputBlock::Cited { text, citation } => {
                self.stream.delta_json(Delta::Citation, citation.to_string().as_bytes());
                self.deltas(Delta::Text, text);
            }
            OutputBlock::Thinking { text, .. } => self.deltas(Delta::Thinking, text),
            OutputBlock::ToolUse { input, .. } => {
                self.stream.delta(Delta::Input, "");
                self.deltas(Delta::Input, input);
            }
            OutputBlock::Redacted(_) | OutputBlock::Unknown => {}
        }
        if has_odd_delta {
            self.stream.delta(Delta::Unknown("future_delta", "future"), "unknown");
        }
        // nothing follows a signature within its block
        if let OutputBlock::Thinking { signature, .. } = block {
            self.stream.delta(Delta::Signature, signature);
        }
        self.stream.close();
    }

    fn deltas(&mut self, delta: Delta, text: &str) {
        match self.pieces {
            Pieces::Whole => self.stream.delta(delta, text),
            Pieces::Words => words(text).for_each(|word| self.stream.delta(delta, word)),
        }
    }

    fn end(&mut self, head: &Head<'_>, answer: &SimulatedAnswer) {
        let thinking = answer.thinking_tokens;
        let details = (thinking > 0).then(|| json!({"thinking_tokens": thinking}));
        let mut data = json!({
            "type": "message_delta",
            "delta": {
                "stop_reason": answer.stop_reason,
                "stop_sequence": answer.stop_sequence,
                "stop_details": answer.stop_details,
                "container": null,
            },
            "usage": {
                "input_tokens": head.input.fresh,
                "cache_creation_input_tokens": head.input.cache_creation(),
                "cache_read_input_tokens": head.input.cache_read,
                "output_tokens": answer.output_tokens,
                "output_tokens_details": details,
                "server_tool_use": null,
            },
        });
        if head.is_beta {
            data["context_management"] = Value::Null;
            add_beta_usage(&mut data["usage"]);
        }
        self.stream.end(data.to_string().as_bytes());
        self.stream.stop();
    }
}

fn add_beta_usage(usage: &mut Value) {
    usage["iterations"] = Value::Null;
    usage["fallback_credit"] = Value::Null;
}

/// Makes the frames of one stream.
struct Frames {
    /// The buffer, shared by the frames of a stream.
    buffer: BytesMut,
    framing: Framing,
    /// The number of frames so far.
    count: usize,
}

impl Frames {
    fn new(framing: Framing) -> Self {
        Self { buffer: BytesMut::with_capacity(8 * 1024), framing, count: 0 }
    }

    fn ping(&self) -> Event {
        match self.framing.is_crlf {
            false => Event::ping(),
            true => Event::from_frame(Bytes::from_static(
                b"event: ping\r\ndata: {\"type\": \"ping\"}\r\n\r\n",
            )),
        }
    }

    fn frame(&mut self, name: &str, data: &[u8]) -> Event {
        let end_of_line: &[u8] = if self.framing.is_crlf { b"\r\n" } else { b"\n" };
        // a varying but repeatable number of blanks
        let padding = if self.framing.is_padded { 1 + (self.count * 7) % 11 } else { 0 };
        self.count += 1;
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

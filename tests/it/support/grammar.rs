//! The strict grammar of a Messages stream: what every stream must keep to, wherever it comes from.
use serde_json::Value;
use tidegate::wire::{Event, EventKind};

/// Checks a stream from its first event to its last. A stream that ends with an `error` event is
/// in order; one that ends in any other way before `message_stop` is not.
pub fn check(events: &[Event]) -> Result<(), String> {
    let mut grammar = Grammar::default();
    for (n, event) in events.iter().enumerate() {
        grammar.event(event).map_err(|wrong| {
            format!("event {n} (`{}`): {wrong}\n{:?}", event.kind.as_str(), event.frame())
        })?;
    }
    match grammar.state {
        State::Done | State::Failed => Ok(()),
        state => Err(format!("the stream ends in the state {state:?}")),
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum State {
    #[default]
    Fresh,
    Between,
    Inside,
    Told,
    Done,
    Failed,
}

#[derive(Default)]
struct Grammar {
    state: State,
    /// The index of the current block, or of the next one.
    index: u64,
    kind: String,
    partial_json: String,
    signatures: usize,
}

impl Grammar {
    fn event(&mut self, event: &Event) -> Result<(), String> {
        if matches!(self.state, State::Done | State::Failed) {
            return Err(format!("it comes after the end ({:?})", self.state));
        }
        let frame = event.frame();
        if !frame.ends_with(b"\n\n") && !frame.ends_with(b"\r\n\r\n") {
            return Err("the frame does not end with a blank line".to_owned());
        }
        if event.kind == EventKind::Other {
            return Ok(());
        }
        let data: Value =
            serde_json::from_slice(&event.data()).map_err(|e| format!("no JSON: {e}"))?;
        if data["type"] != event.kind.as_str() {
            return Err(format!("`data.type` is {}", data["type"]));
        }
        match event.kind {
            EventKind::MessageStart => self.message_start(&data["message"]),
            EventKind::ContentBlockStart => self.block_start(&data),
            EventKind::ContentBlockDelta => self.block_delta(&data),
            EventKind::ContentBlockStop => self.block_stop(&data),
            EventKind::MessageDelta => self.message_delta(&data),
            EventKind::MessageStop => self.go(State::Told, State::Done),
            EventKind::Error if data["error"]["type"].is_string() => {
                self.state = State::Failed;
                Ok(())
            }
            EventKind::Error => Err("`error.type` is missing".to_owned()),
            EventKind::Ping | EventKind::Other => Ok(()),
        }
    }

    fn go(&mut self, from: State, to: State) -> Result<(), String> {
        if self.state != from {
            return Err(format!("the stream is in the state {:?}, not {from:?}", self.state));
        }
        self.state = to;
        Ok(())
    }

    fn message_start(&mut self, message: &Value) -> Result<(), String> {
        expect(message["type"] == "message", "`message.type` is not `message`")?;
        expect(message["role"] == "assistant", "`role` is not `assistant`")?;
        expect(message["id"].is_string(), "`id` is missing")?;
        expect(message["model"].is_string(), "`model` is missing")?;
        expect(message["content"] == Value::Array(Vec::new()), "`content` is not empty")?;
        expect(message["stop_reason"].is_null(), "`stop_reason` is there too early")?;
        for field in ["input_tokens", "output_tokens"] {
            expect(message["usage"][field].is_u64(), "`usage` lacks a count")?;
        }
        self.go(State::Fresh, State::Between)
    }

    fn block_start(&mut self, data: &Value) -> Result<(), String> {
        self.go(State::Between, State::Inside)?;
        self.same_index(data)?;
        let block = &data["content_block"];
        self.kind = block["type"].as_str().ok_or("`content_block.type` is missing")?.to_owned();
        self.partial_json.clear();
        self.signatures = 0;
        match self.kind.as_str() {
            "text" => expect(block["text"] == "", "a text block starts with text"),
            "thinking" => expect(block["thinking"] == "", "a thinking block starts with thinking"),
            "tool_use" | "server_tool_use" | "mcp_tool_use" => {
                expect(block["id"].is_string() && block["name"].is_string(), "no `id` or `name`")?;
                expect(block["input"].is_object(), "`input` is no object")
            }
            _ => Ok(()),
        }
    }

    fn block_delta(&mut self, data: &Value) -> Result<(), String> {
        expect(self.state == State::Inside, "a delta outside of a block")?;
        self.same_index(data)?;
        let delta = &data["delta"];
        let kind = delta["type"].as_str().ok_or("`delta.type` is missing")?;
        expect(self.signatures == 0, "a delta after the signature")?;
        let fits = match kind {
            "text_delta" => self.kind == "text" && delta["text"].is_string(),
            "citations_delta" => self.kind == "text" && delta["citation"].is_object(),
            "thinking_delta" => self.kind == "thinking" && delta["thinking"].is_string(),
            "signature_delta" => {
                self.signatures += 1;
                self.kind == "thinking" && delta["signature"].is_string()
            }
            "input_json_delta" => {
                let part = delta["partial_json"].as_str().ok_or("`partial_json` is missing")?;
                self.partial_json.push_str(part);
                self.kind.ends_with("tool_use")
            }
            // a type of the future may stand in any block
            _ => true,
        };
        expect(fits, &format!("`{kind}` does not fit a `{}` block", self.kind))
    }

    fn block_stop(&mut self, data: &Value) -> Result<(), String> {
        self.go(State::Inside, State::Between)?;
        self.same_index(data)?;
        self.index += 1;
        expect(self.kind != "thinking" || self.signatures == 1, "thinking without its signature")?;
        if !self.partial_json.is_empty() {
            let input: Result<Value, _> = serde_json::from_str(&self.partial_json);
            expect(input.is_ok_and(|input| input.is_object()), "the input is no JSON object")?;
        }
        Ok(())
    }

    fn message_delta(&mut self, data: &Value) -> Result<(), String> {
        expect(data["delta"]["stop_reason"].is_string(), "`stop_reason` is missing")?;
        expect(data["usage"]["output_tokens"].is_u64(), "`usage.output_tokens` is missing")?;
        self.go(State::Between, State::Told)
    }

    fn same_index(&self, data: &Value) -> Result<(), String> {
        expect(
            data["index"] == self.index,
            &format!("`index` is {}, not {}", data["index"], self.index),
        )
    }
}

fn expect(is_so: bool, otherwise: &str) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(otherwise.to_owned()) }
}

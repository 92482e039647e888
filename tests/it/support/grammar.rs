//! The strict grammar of a Messages stream: what every stream must keep to, wherever it comes from.
use std::collections::HashSet;

use serde_json::Value;

use super::events::{Event, EventKind};

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

/// What clients know; Claude Code dies on any other. Tests call theirs `future…`.
const BLOCKS: [&str; 12] = [
    "text",
    "thinking",
    "redacted_thinking",
    "tool_use",
    "server_tool_use",
    "mcp_tool_use",
    "mcp_tool_result",
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "container_upload",
    "compaction",
];

const STOP_REASONS: [&str; 7] = [
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
];

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
    /// The input of the call under way is no JSON: only the end of the tokens excuses it.
    is_cut: bool,
    ids: HashSet<String>,
    /// Server calls that have no result yet: the id, and the type that their result has.
    waiting: Vec<(String, String)>,
    has_client_call: bool,
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
        let name = format!("event: {}", event.kind.as_str());
        let first = frame.split(|byte| *byte == b'\n').next().unwrap_or_default();
        expect(first.trim_ascii_end() == name.as_bytes(), "no `event:` line of its name")?;
        let data: Value =
            serde_json::from_str(&event.data()).map_err(|e| format!("no JSON: {e}"))?;
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
        let is_known = BLOCKS.contains(&self.kind.as_str()) || self.kind.starts_with("future");
        expect(is_known, &format!("a block of an invented type `{}`", self.kind))?;
        expect(!self.is_cut, "a block behind a call that was cut off")?;
        match self.kind.as_str() {
            "text" => expect(block["text"] == "", "a text block starts with text"),
            "thinking" => expect(block["thinking"] == "", "a thinking block starts with thinking"),
            "tool_use" | "server_tool_use" | "mcp_tool_use" => {
                expect(block["name"].is_string(), "no `name`")?;
                expect(block["input"].is_object(), "`input` is no object")?;
                self.call(block)
            }
            kind if kind.ends_with("_tool_result") => self.result(block),
            _ => Ok(()),
        }
    }

    fn call(&mut self, block: &Value) -> Result<(), String> {
        let id = block["id"].as_str().ok_or("no `id`")?;
        expect(self.ids.insert(id.to_owned()), &format!("the id `{id}` is there twice"))?;
        let result = match self.kind.as_str() {
            "mcp_tool_use" => "mcp_tool_result".to_owned(),
            "server_tool_use" => {
                expect(id.starts_with("srvtoolu_"), "the id of a server's call is another's")?;
                format!("{}_tool_result", block["name"].as_str().unwrap_or_default())
            }
            _ => {
                self.has_client_call = true;
                return Ok(());
            }
        };
        self.waiting.push((id.to_owned(), result));
        Ok(())
    }

    /// Whole at its start, and the answer to a call before it.
    fn result(&mut self, block: &Value) -> Result<(), String> {
        let id = block["tool_use_id"].as_str().ok_or("no `tool_use_id`")?;
        let at = self.waiting.iter().position(|(call, kind)| call == id && *kind == self.kind);
        let at = at.ok_or_else(|| format!("no `{}` waits for `{id}`", self.kind))?;
        self.waiting.remove(at);
        let content = &block["content"];
        let items = |fits: fn(&Value) -> bool| {
            content.as_array().is_some_and(|items| items.iter().all(fits))
        };
        let is_error =
            content["type"] == format!("{}_error", self.kind) && content["error_code"].is_string();
        let fits = match self.kind.as_str() {
            "mcp_tool_result" => {
                block["is_error"].is_boolean() && items(|item| item["type"].is_string())
            }
            "web_search_tool_result" => {
                is_error
                    || items(|item| {
                        item["type"] == "web_search_result"
                            && ["title", "url", "encrypted_content"]
                                .iter()
                                .all(|field| item[*field].is_string())
                    })
            }
            "web_fetch_tool_result" => {
                is_error
                    || content["type"] == "web_fetch_result"
                        && content["url"].is_string()
                        && content["content"]["type"] == "document"
                        && content["content"]["source"]["data"].is_string()
            }
            _ => true,
        };
        expect(fits, &format!("the content of a `{}` has another shape", self.kind))
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
            self.is_cut = !input.is_ok_and(|input| input.is_object());
        }
        Ok(())
    }

    fn message_delta(&mut self, data: &Value) -> Result<(), String> {
        let reason = data["delta"]["stop_reason"].as_str().ok_or("`stop_reason` is missing")?;
        expect(STOP_REASONS.contains(&reason), "an invented `stop_reason`")?;
        expect(data["usage"]["output_tokens"].is_u64(), "`usage.output_tokens` is missing")?;
        let counts = data["usage"]["server_tool_use"].as_object();
        let are_counts = counts.is_none_or(|counts| counts.values().all(Value::is_u64));
        expect(are_counts, "a count of `usage.server_tool_use` is none")?;
        expect(reason != "tool_use" || self.has_client_call, "`tool_use` without a call")?;
        if !matches!(reason, "max_tokens" | "refusal" | "model_context_window_exceeded") {
            expect(!self.is_cut, "the input is no JSON object")?;
            expect(self.waiting.is_empty(), &format!("without results: {:?}", self.waiting))?;
        }
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

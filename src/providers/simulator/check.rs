//! The checks of the real API that a gateway could violate: a strict copy for the tests of the
//! gateway.
use std::collections::HashSet;

use serde_json::Value;

use crate::providers::simulator::faults::Failure;
use crate::providers::simulator::history::{self, HistoryBlock, Turn};
use crate::providers::simulator::{seed, sources};

/// The block types, their allowed roles, and the required part of `anthropic-beta`.
const BLOCKS: &[(&str, &str, &str)] = &[
    ("text", "user assistant system", ""),
    ("image", "user", ""),
    ("document", "user", ""),
    ("search_result", "user", ""),
    ("tool_result", "user", ""),
    ("container_upload", "user assistant", ""),
    ("thinking", "assistant", ""),
    ("redacted_thinking", "assistant", ""),
    ("tool_use", "assistant", ""),
    ("server_tool_use", "assistant", ""),
    ("web_search_tool_result", "assistant", ""),
    ("web_fetch_tool_result", "assistant", ""),
    ("code_execution_tool_result", "assistant", ""),
    ("bash_code_execution_tool_result", "assistant", ""),
    ("text_editor_code_execution_tool_result", "assistant", ""),
    ("tool_search_tool_result", "assistant", ""),
    ("advisor_tool_result", "assistant", "advisor-tool-"),
    ("mcp_tool_use", "assistant", "mcp-client-"),
    ("mcp_tool_result", "assistant", "mcp-client-"),
    ("mcp_tool_listing", "user assistant system", "mcp-client-"),
    ("compaction", "user assistant", "compact-"),
    ("fallback", "assistant", "fallback"),
    ("tool_addition", "system", "mid-conversation-tool-changes-"),
    ("tool_removal", "system", "mid-conversation-tool-changes-"),
];

/// The families of the API's own tools; a date follows.
const TOOL_FAMILIES: &[&str] = &[
    "advisor_",
    "bash_",
    "browser_toolset_",
    "code_execution_",
    "computer_",
    "memory_",
    "text_editor_",
    "tool_search_tool_",
    "web_fetch_",
    "web_search_",
];

const CUSTOM_TOOL_FIELDS: &[&str] = &[
    "type",
    "name",
    "description",
    "input_schema",
    "cache_control",
    "allowed_callers",
    "defer_loading",
    "strict",
    "input_examples",
    "eager_input_streaming",
];

/// Returns a whole number of 0 or more, in any of JSON's forms: `10`, `1.0e1`.
pub(crate) fn whole(value: &Value) -> Option<u64> {
    let is_whole = |number: &f64| number.fract() == 0.0 && (0.0..9e15).contains(number);
    value.as_u64().or_else(|| value.as_f64().filter(is_whole).map(|number| number as u64))
}

fn check_max_tokens(value: &Value) -> Result<(), String> {
    match value.is_null() || whole(value).is_some() {
        true => Ok(()),
        false => Err(format!("max_tokens: Input should be a valid integer, found {value}")),
    }
}

/// Checks a request. The failure is the API's 400.
pub(crate) fn check(body: &Value, betas: &str) -> Result<(), Failure> {
    if !body["thread"].is_null() {
        let message = "the simulator holds no threads: send the whole conversation".to_owned();
        return Err(Failure::invalid(message).with_code("thread_unsupported_request"));
    }
    if !body["gateway"].is_null() {
        return Err(Failure::invalid("gateway: Extra inputs are not permitted".to_owned()));
    }
    check_max_tokens(&body["max_tokens"])
        .and_then(|()| check_messages(body, betas))
        .and_then(|()| check_tools(&body["tools"], betas))
        .and_then(|()| check_choice(body))
        .map_err(Failure::invalid)
}

fn check_messages(body: &Value, betas: &str) -> Result<(), String> {
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    if messages.is_empty() {
        return Err("messages: at least one message is required".to_owned());
    }
    for (at, message) in messages.iter().enumerate() {
        check_message(at, at + 1 == messages.len(), message, betas)?;
    }
    let turns = history::turns(messages);
    check_pairs(&turns)?;
    sources::check(messages, body["output_config"]["format"].is_object())?;
    check_thinking(body, &turns)
}

fn check_message(at: usize, is_last: bool, message: &Value, betas: &str) -> Result<(), String> {
    let role = message["role"].as_str().unwrap_or_default();
    if !matches!(role, "user" | "assistant" | "system") {
        return Err(format!("messages.{at}.role: must be `user`, `assistant` or `system`"));
    }
    if at == 0 && role == "assistant" {
        return Err("messages: the first message must have the role `user`".to_owned());
    }
    let content = &message["content"];
    let is_empty = match content {
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => return Err(format!("messages.{at}.content: must be a string or an array")),
    };
    if is_empty && !(is_last && role == "assistant") {
        return Err(format!("messages.{at}: only a last assistant message may have no content"));
    }
    if content.is_string() {
        return Ok(());
    }
    history::blocks(at, content).try_for_each(|block| check_block(block, role, betas))
}

fn check_block(block: HistoryBlock<'_>, role: &str, betas: &str) -> Result<(), String> {
    let (kind, path) = (block.kind(), block.path());
    let Some((_, roles, beta)) = BLOCKS.iter().find(|(known, ..)| *known == kind) else {
        return Err(format!("{path}: a block of the type `{kind}` is not known"));
    };
    if !betas.contains(beta) {
        return Err(format!(
            "{path}: a block of the type `{kind}` needs an anthropic-beta `{beta}…`"
        ));
    }
    if !roles.split(' ').any(|allowed| allowed == role) {
        return Err(format!("{path}: a block of the type `{kind}` cannot be in a {role} message"));
    }
    let field = |field: &str| match block.str(field) {
        "" => Err(format!("{path}.{field}: Field required")),
        _ => Ok(()),
    };
    match kind {
        "text" if block.text().is_empty() => Err(format!("{path}: a text block must hold text")),
        "tool_use" | "server_tool_use" if !block.field("input").is_object() => {
            Err(format!("{path}.input: must be an object"))
        }
        "tool_use" | "server_tool_use" => field("id").and_then(|()| field("name")),
        "tool_result" => field("tool_use_id"),
        "thinking" => field("signature").and_then(|()| {
            match seed::is_signed(block.str("thinking"), block.str("signature")) {
                true => Ok(()),
                false => Err(format!("{path}: Invalid signature in thinking block")),
            }
        }),
        "redacted_thinking" if !seed::is_signed("redacted", block.str("data")) => {
            Err(format!("{path}: Invalid data in redacted_thinking block"))
        }
        _ => Ok(()),
    }
}

/// Checks calls and their results: the next turn must answer each call once, at its beginning.
fn check_pairs(turns: &[Turn<'_>]) -> Result<(), String> {
    let mut calls = Calls::default();
    for turn in turns {
        if turn.is_user {
            check_results(turn, &std::mem::take(&mut calls.open))?;
        } else {
            turn.blocks.iter().try_for_each(|block| calls.take(*block))?;
        }
    }
    unanswered(&calls.open)
}

/// The calls of a conversation so far.
#[derive(Default)]
struct Calls<'a> {
    all: HashSet<&'a str>,
    /// The calls that the API answers itself.
    server: HashSet<&'a str>,
    /// The calls that the user's next turn must answer.
    open: Vec<&'a str>,
}

impl<'a> Calls<'a> {
    fn take(&mut self, block: HistoryBlock<'a>) -> Result<(), String> {
        let (kind, path) = (block.kind(), block.path());
        let (id, answers) = (block.str("id"), block.str("tool_use_id"));
        let is_new = match kind {
            "tool_use" => {
                self.open.push(id);
                self.all.insert(id)
            }
            "server_tool_use" | "mcp_tool_use" => self.server.insert(id),
            _ if kind.ends_with("_tool_result") && !self.server.contains(answers) => {
                return Err(format!("{path}: no call before this `{kind}` has the id `{answers}`"));
            }
            _ => true,
        };
        match is_new {
            true => Ok(()),
            false => Err(format!("{path}: two `{kind}` have the id `{id}`")),
        }
    }
}

fn check_results(turn: &Turn<'_>, open: &[&str]) -> Result<(), String> {
    let mut answered = HashSet::new();
    let mut has_other = false;
    for block in &turn.blocks {
        if block.kind() != "tool_result" {
            has_other = true;
            continue;
        }
        let (path, id) = (block.path(), block.str("tool_use_id"));
        if !open.contains(&id) {
            return Err(format!(
                "{path}: the `tool_result` for `{id}` has no `tool_use` in the assistant's turn \
                 before it"
            ));
        }
        if !answered.insert(id) {
            return Err(format!("{path}: `{id}` has two `tool_result`"));
        }
        if has_other {
            return Err(format!("{path}: `tool_result` blocks must come first in the user's turn"));
        }
    }
    let left: Vec<&str> = open.iter().copied().filter(|id| !answered.contains(id)).collect();
    unanswered(&left)
}

fn unanswered(ids: &[&str]) -> Result<(), String> {
    match ids {
        [] => Ok(()),
        ids => Err(format!(
            "messages: `tool_use` without a `tool_result` at the beginning of the user's next \
             turn: {}",
            ids.join(", ")
        )),
    }
}

/// Checks that, with thinking on, the turn that a tool loop continues still begins with its
/// thinking.
fn check_thinking(body: &Value, turns: &[Turn<'_>]) -> Result<(), String> {
    if body["thinking"]["type"] != "enabled" {
        return Ok(());
    }
    let [.., calls, results] = turns else { return Ok(()) };
    let goes_on = results.blocks.first().is_some_and(|block| block.kind() == "tool_result");
    let Some(first) = calls.blocks.first().filter(|_| goes_on) else { return Ok(()) };
    match first.kind() {
        "thinking" | "redacted_thinking" => Ok(()),
        kind => Err(format!(
            "{}: Expected `thinking` or `redacted_thinking`, but found `{kind}`",
            first.path()
        )),
    }
}

fn check_tools(tools: &Value, betas: &str) -> Result<(), String> {
    let mut names = HashSet::new();
    for (at, tool) in tools.as_array().into_iter().flatten().enumerate() {
        match tool["type"].as_str() {
            None | Some("custom") => check_custom(at, tool)?,
            Some("mcp_toolset") if betas.contains("mcp-client-") => {}
            Some(kind) if TOOL_FAMILIES.iter().any(|family| is_of(kind, family)) => {}
            Some(kind) => {
                return Err(format!("tools.{at}: a tool of the type `{kind}` is not known"));
            }
        }
        if let Some(name) = tool["name"].as_str()
            && !names.insert(name)
        {
            return Err(format!("tools: Tool names must be unique, and `{name}` is there twice"));
        }
    }
    Ok(())
}

fn is_of(kind: &str, family: &str) -> bool {
    kind.strip_prefix(family).is_some_and(|rest| {
        rest.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    })
}

fn check_custom(at: usize, tool: &Value) -> Result<(), String> {
    let Some(fields) = tool.as_object() else {
        return Err(format!("tools.{at}: must be an object"));
    };
    let name = tool["name"].as_str().unwrap_or_default();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !(1..=128).contains(&name.len()) || !name.chars().all(is_name) {
        return Err(format!(
            "tools.{at}.custom.name: must have 1 to 128 of a-z, A-Z, 0-9, _ and -"
        ));
    }
    if tool["input_schema"]["type"] != "object" {
        return Err(format!("tools.{at}.custom.input_schema.type: must be `object`"));
    }
    match fields.keys().find(|key| !CUSTOM_TOOL_FIELDS.contains(&key.as_str())) {
        Some(extra) => Err(format!("tools.{at}.custom.{extra}: Extra inputs are not permitted")),
        None => Ok(()),
    }
}

fn check_choice(body: &Value) -> Result<(), String> {
    let choice = &body["tool_choice"];
    if choice.is_null() {
        return Ok(());
    }
    let tools = body["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    match choice["type"].as_str() {
        Some("none") => Ok(()),
        Some("auto" | "any") if !tools.is_empty() => Ok(()),
        Some("auto" | "any") => Err("tool_choice: only with `tools`".to_owned()),
        Some("tool") => match choice["name"].as_str() {
            Some(name) if tools.iter().any(|tool| tool["name"] == name) => Ok(()),
            Some(name) => Err(format!("tool_choice: no tool of `tools` is named `{name}`")),
            None => Err("tool_choice.tool.name: Field required".to_owned()),
        },
        _ => Err("tool_choice.type: must be `auto`, `any`, `tool` or `none`".to_owned()),
    }
}

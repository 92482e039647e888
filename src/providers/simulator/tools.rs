//! The tools that a request offers, and those that the user's text requests.
use serde_json::{Value, json};

/// A tool that the model may call, and that runs outside the simulated API.
pub(crate) struct Tool<'a> {
    /// The name in the request.
    pub name: &'a str,
    /// The schema of its input.
    pub schema: Schema<'a>,
    /// Whether the tool must be searched for first. Then only a directive calls it.
    pub is_deferred: bool,
}

/// The source of a tool's schema.
pub(crate) enum Schema<'a> {
    /// The schema in the request.
    Given(&'a Value),
    /// A known tool: one input that it accepts.
    Known(Value),
}

/// The prefix of the gateway's own tools.
const GATEWAY: &str = "gateway_";

/// Returns the tools of a request that end in a `tool_use`. The tools that the API runs itself are
/// not included.
pub(crate) fn offered(tools: &Value) -> Vec<Tool<'_>> {
    tools.as_array().into_iter().flatten().filter_map(tool).collect()
}

fn tool(tool: &Value) -> Option<Tool<'_>> {
    let schema = match tool["type"].as_str() {
        None | Some("custom") => Schema::Given(&tool["input_schema"]),
        Some(kind) => Schema::Known(known_input(kind)?),
    };
    let is_deferred = tool["defer_loading"] == true;
    Some(Tool { name: tool["name"].as_str()?, schema, is_deferred })
}

fn known_input(kind: &str) -> Option<Value> {
    if kind.starts_with("bash_") {
        Some(json!({"command": "echo hello"}))
    } else if kind.starts_with("text_editor_") {
        Some(json!({"command": "view", "path": "/tmp/example.txt"}))
    } else if kind.starts_with("memory_") {
        Some(json!({"command": "view", "path": "/memories"}))
    } else if kind.starts_with("computer_20") {
        Some(json!({"action": "screenshot"}))
    } else {
        None
    }
}

/// Returns the tool of a directive: by its whole name, or without `gateway_`.
pub(crate) fn find<'a, 't>(tools: &'t [Tool<'a>], name: &str) -> Option<&'t Tool<'a>> {
    tools
        .iter()
        .find(|tool| tool.name == name)
        .or_else(|| tools.iter().find(|tool| tool.name.strip_prefix(GATEWAY) == Some(name)))
}

/// Returns the tools that a text requests, in the order of the request.
pub(crate) fn asked_for<'a, 't>(tools: &'t [Tool<'a>], text: &str) -> Vec<&'t Tool<'a>> {
    if tools.is_empty() {
        return Vec::new();
    }
    let text = text.to_lowercase();
    let words: Vec<&str> =
        text.split(|c: char| !is_name_part(c)).filter(|word| !word.is_empty()).collect();
    let asks_time = asks_time(&text);
    let mut found: Vec<&Tool<'a>> = Vec::new();
    for tool in tools.iter().filter(|tool| !tool.is_deferred) {
        let by_time =
            asks_time && tells_time(tool.name) && !found.iter().any(|t| tells_time(t.name));
        if by_time || is_named(tool.name, &words, &text) {
            found.push(tool);
        }
    }
    found
}

fn is_name_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

/// Returns whether a text mentions a tool. An uncommon name only has to be there; a common word
/// such as `read` also needs `use`, `call`, `run`, or `tool`.
fn is_named(name: &str, words: &[&str], text: &str) -> bool {
    let full = name.to_lowercase();
    let short = full.strip_prefix(GATEWAY).unwrap_or(&full);
    [full.as_str(), short].into_iter().any(|name| {
        let is_distinct = name.contains(['_', '-']) || name.contains("datetime");
        words.iter().enumerate().filter(|(_, word)| **word == name).any(|(at, _)| {
            is_distinct
                || text.contains(&format!("`{name}`"))
                || words.get(at + 1).is_some_and(|next| *next == "tool")
                || words[at.saturating_sub(2)..at].iter().any(|word| is_verb(word))
        })
    })
}

fn is_verb(word: &str) -> bool {
    matches!(word, "use" | "call" | "run" | "invoke" | "using" | "calling")
}

fn asks_time(text: &str) -> bool {
    const QUESTIONS: [&str; 12] = [
        "what time",
        "which time",
        "time is it",
        "what's the time",
        "what is the time",
        "tell me the time",
        "current time",
        "what date",
        "what day",
        "today's date",
        "current date",
        "what is the date",
    ];
    QUESTIONS.iter().any(|question| text.contains(question))
}

fn tells_time(name: &str) -> bool {
    let name = name.to_lowercase();
    name.contains("datetime")
        || name.split(['_', '-']).any(|part| matches!(part, "time" | "date" | "clock" | "now"))
}

//! The parts of a request that the simulator understands.
use serde_json::Value;

use crate::providers::simulator::check;
use crate::providers::simulator::directives::{CallDirective, Script, Step};
use crate::providers::simulator::history::{self, Turn};
use crate::providers::simulator::input::Inputs;
use crate::providers::simulator::sources;
use crate::providers::simulator::tools::{self, Tool};

/// A parsed request.
pub(crate) struct Ask<'a> {
    /// The upstream's model name.
    pub model: &'a str,
    /// The text of the user without directives.
    pub text: String,
    /// The step of the script for this round of the conversation.
    pub step: Step,
    /// The results of the tools, if they are the last content.
    pub results: Vec<ToolResult<'a>>,
    /// All possible citations of the answer.
    pub citations: Vec<Value>,
    /// The calls to make now.
    pub calls: Vec<Wanted<'a>>,
    /// Whether the caller forced the calls. Then no text comes before them.
    pub is_forced: bool,
    /// The limit of the answer in tokens.
    pub max_tokens: u64,
    /// The stop sequences. The answer ends before the first of them.
    pub stop_sequences: Vec<&'a str>,
    /// The required schema of the answer.
    pub format: Option<&'a Value>,
}

/// The result of one tool.
pub(crate) struct ToolResult<'a> {
    /// The name of the tool.
    pub name: &'a str,
    /// The text; other blocks as their type.
    pub text: String,
    /// Whether the tool failed.
    pub is_error: bool,
}

/// One call to make.
pub(crate) struct Wanted<'a> {
    /// The tool's name in the request.
    pub name: &'a str,
    /// The input of the directive, else one made from the schema.
    pub input: String,
}

impl<'a> Ask<'a> {
    /// Parses a request that has passed the checks. The script comes from the same turns.
    ///
    /// Fails with a message for the user if a directive calls a tool that is not offered.
    pub(crate) fn read(
        body: &'a Value,
        turns: &[Turn<'a>],
        script: &Script,
    ) -> Result<Self, String> {
        let step = script.step_of(round(turns));
        let tools = tools::offered(&body["tools"]);
        let wishes = match step {
            Some(step) => wishes(step, &tools, &script.text)?,
            None => Vec::new(),
        };
        let choice = &body["tool_choice"];
        let calls = calls(choice, wishes, &tools, step.and_then(|step| step.parallel));
        let inputs = Inputs { asked: &script.text };
        let cites = step.is_some_and(|step| step.cite.is_some());
        let messages = body["messages"].as_array().filter(|_| cites).map(Vec::as_slice);
        Ok(Self {
            model: body["model"].as_str().unwrap_or_default(),
            text: script.text.clone(),
            step: step.cloned().unwrap_or_default(),
            results: results(turns),
            citations: sources::citations(messages.unwrap_or_default()),
            calls: calls.into_iter().map(|wish| wish.made(&inputs)).collect(),
            is_forced: is_forced(choice),
            max_tokens: check::whole(&body["max_tokens"]).unwrap_or(u64::MAX),
            stop_sequences: strings(&body["stop_sequences"]),
            format: Some(&body["output_config"]["format"]["schema"]).filter(|s| s.is_object()),
        })
    }
}

/// A tool to call, and its input if a directive has one.
#[derive(Clone)]
struct Wish<'t, 'a> {
    tool: &'t Tool<'a>,
    input: Option<String>,
}

impl<'a> Wish<'_, 'a> {
    fn made(self, inputs: &Inputs<'_>) -> Wanted<'a> {
        let input = self.input.unwrap_or_else(|| match &self.tool.schema {
            tools::Schema::Given(schema) => inputs.of(schema).to_string(),
            tools::Schema::Known(input) => input.to_string(),
        });
        Wanted { name: self.tool.name, input }
    }
}

/// Returns the turn with the current text: the last one in which the user wrote text.
pub(crate) fn asking_turn(turns: &[Turn<'_>]) -> Option<usize> {
    turns.iter().rposition(|turn| turn.is_user && !history::own_text(turn).is_empty())
}

/// Returns the number of rounds since the user's text. A round has tool results, or continues the
/// assistant's last text.
fn round(turns: &[Turn<'_>]) -> usize {
    let from = asking_turn(turns).map_or(0, |at| at + 1);
    let since = &turns[from..];
    let results = since.iter().filter(|turn| turn.is_user && has_results(turn)).count();
    results + usize::from(turns.last().is_some_and(|turn| !turn.is_user))
}

fn has_results(turn: &Turn<'_>) -> bool {
    turn.blocks.iter().any(|block| block.kind() == "tool_result")
}

fn wishes<'t, 'a>(
    step: &Step,
    tools: &'t [Tool<'a>],
    text: &str,
) -> Result<Vec<Wish<'t, 'a>>, String> {
    let called: Vec<Wish<'t, 'a>> =
        step.calls.iter().map(|call| wish(call, tools)).collect::<Result<_, _>>()?;
    if !called.is_empty() || step.say.is_some() || step.stop.is_some() {
        return Ok(called);
    }
    let mut asked = tools::asked_for(tools, text);
    if asked.is_empty() && step.parallel.is_some() {
        asked.extend(tools.iter().find(|tool| !tool.is_deferred));
    }
    Ok(asked.into_iter().map(|tool| Wish { tool, input: None }).collect())
}

fn wish<'t, 'a>(call: &CallDirective, tools: &'t [Tool<'a>]) -> Result<Wish<'t, 'a>, String> {
    let tool = tools::find(tools, &call.name).ok_or_else(|| {
        format!("`[sim: call {}]`: the request offers no such tool to the model", call.name)
    })?;
    Ok(Wish { tool, input: call.input.clone() })
}

/// Returns the calls after applying `tool_choice` to the wishes.
fn calls<'t, 'a>(
    choice: &Value,
    mut wishes: Vec<Wish<'t, 'a>>,
    tools: &'t [Tool<'a>],
    parallel: Option<usize>,
) -> Vec<Wish<'t, 'a>> {
    let forced = match choice["type"].as_str() {
        Some("none") => return Vec::new(),
        Some("any") => tools.iter().find(|tool| !tool.is_deferred),
        Some("tool") => {
            let name = choice["name"].as_str().unwrap_or_default();
            wishes.retain(|wish| wish.tool.name == name);
            tools::find(tools, name)
        }
        _ => None,
    };
    if wishes.is_empty() {
        wishes.extend(forced.map(|tool| Wish { tool, input: None }));
    }
    let count = match choice["disable_parallel_tool_use"] == true {
        true => wishes.len().min(1),
        false if wishes.is_empty() => 0,
        false => parallel.unwrap_or_default().max(wishes.len()),
    };
    wishes.iter().cycle().take(count).cloned().collect()
}

fn is_forced(choice: &Value) -> bool {
    matches!(choice["type"].as_str(), Some("any" | "tool"))
}

fn results<'a>(turns: &[Turn<'a>]) -> Vec<ToolResult<'a>> {
    let [.., calls, results] = turns else { return Vec::new() };
    let name_of = |id: &str| {
        calls.blocks.iter().find(|call| call.kind() == "tool_use" && call.str("id") == id)
    };
    results
        .blocks
        .iter()
        .filter(|block| block.kind() == "tool_result")
        .map(|block| ToolResult {
            name: name_of(block.str("tool_use_id")).map_or("", |call| call.str("name")),
            text: text_of(block.field("content")),
            is_error: *block.field("is_error") == true,
        })
        .collect()
}

fn text_of(content: &Value) -> String {
    if content.is_null() {
        return String::new();
    }
    let parts: Vec<String> = history::blocks(0, content)
        .map(|block| match block.kind() {
            "text" => block.text().to_owned(),
            "search_result" => format!(
                "{} ({}): {}",
                block.str("title"),
                block.str("source"),
                text_of(block.field("content"))
            ),
            "document" if block.field("source")["type"] == "text" => {
                block.field("source")["data"].as_str().unwrap_or_default().to_owned()
            }
            kind => format!("[{kind}]"),
        })
        .collect();
    parts.join("\n")
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

//! Converts the caller's declarations of server tools into the form that an upstream understands.
use bytes::Bytes;
use memchr::memmem;
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::plugin_host::ToolManifest;
use crate::policy::Pipeline;
use crate::server_tools::native::{self, Fulfil};
use crate::server_tools::tool::{Face, NAMESPACE, ServerTool, upstream_name};
use crate::wire::schema::{self, Misfit};
use crate::wire::{Document, Kind, MessagesRequest, Step};

/// The text in the types of the API's own tools that plugins provide as well.
const NATIVE: &str = "\"web_";

/// Returns the types of the request's tools that may become gateway tools. Runs before any stage
/// can add one.
///
/// If there is none, it costs one search through `tools`.
pub(crate) fn declared(request: &mut MessagesRequest) -> Result<Vec<String>> {
    let Some(count) = count(request)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for n in 0..count {
        if let Some(kind) = tool_type(request.document_mut(), n)?
            && (kind.starts_with(NAMESPACE) || native::tool_of(&kind).is_some())
        {
            found.push(kind);
        }
    }
    Ok(found)
}

/// Replaces every declaration of a gateway tool by an ordinary tool, and adapts `tool_choice`.
///
/// `fulfil` decides about the API's own tools, by their type. Fails with a 400 in these cases: no
/// plugin provides a tool, a tool is declared twice, the caller uses a tool's upstream name itself,
/// or `tool_choice` names a gateway tool that is not declared.
pub(crate) fn replace(
    pipeline: &Pipeline,
    request: &mut MessagesRequest,
    declared: &[String],
    fulfil: &dyn Fn(&str) -> Fulfil,
) -> Result<Vec<ServerTool>> {
    let count = count(request)?.unwrap_or_default();
    let mut tools: Vec<ServerTool> = Vec::new();
    for n in 0..count {
        let document = request.document_mut();
        let Some(kind) = tool_type(document, n)? else { continue };
        let Some(wanted) = Wanted::read(&kind) else { continue };
        let fulfil = match wanted.is_native {
            true => fulfil(&kind),
            false => Fulfil::All,
        };
        let definition = match (fulfil, pipeline.tool(wanted.name)) {
            (Fulfil::Nothing, _) | (Fulfil::Possible, None) => continue,
            (_, Some(definition)) => definition,
            (Fulfil::All, None) => return Err(unknown(pipeline, n, &kind)),
        };
        if tools.iter().any(|tool| tool.name == wanted.name) {
            return Err(Error::invalid(format!(
                "`tools[{n}]` declares `{kind}` a second time: remove one"
            )));
        }
        let at = [Step::Key("tools"), Step::Index(n)];
        let declaration = document.get(&at)?.unwrap_or_default();
        let (plain, mut tool) = split(&declaration, n, &wanted, definition)?;
        if !declared.contains(&kind) {
            tool.face = Face::Hidden;
        }
        document.set(&at, plain)?;
        tools.push(tool);
    }
    refuse_taken_names(request.document_mut(), &tools, count)?;
    rename_choice(request, &tools, count)?;
    Ok(tools)
}

/// A gateway tool that a declaration names.
struct Wanted<'a> {
    kind: &'a str,
    name: &'a str,
    is_native: bool,
}

impl<'a> Wanted<'a> {
    fn read(kind: &'a str) -> Option<Self> {
        if let Some(name) = kind.strip_prefix(NAMESPACE) {
            return Some(Self { kind, name, is_native: false });
        }
        native::tool_of(kind).map(|name| Self { kind, name, is_native: true })
    }
}

/// Lets the model choose freely after the first turn.
pub(crate) fn free_choice(document: &mut Document) -> Result<()> {
    let path = [Step::Key("tool_choice"), Step::Key("type")];
    let Some(kind) = string(document, &path)? else { return Ok(()) };
    if matches!(kind.as_str(), "any" | "tool") {
        document.remove(&[Step::Key("tool_choice"), Step::Key("name")])?;
        document.set(&path, "\"auto\"")?;
    }
    Ok(())
}

/// Forbids tool calls in the last turn: the model must answer with the results so far.
pub(crate) fn forbid(document: &mut Document) -> Result<()> {
    document.set(&[Step::Key("tool_choice")], r#"{"type":"none"}"#)
}

/// Returns the number of tools, or `None` if none can be a gateway tool.
fn count(request: &mut MessagesRequest) -> Result<Option<i64>> {
    let Some(text) = request.document().field("tools") else { return Ok(None) };
    let holds = |part: &str| memmem::find(&text, part.as_bytes()).is_some();
    if !holds(NAMESPACE) && !holds(NATIVE) {
        return Ok(None);
    }
    let count = request.document_mut().len(&[Step::Key("tools")])?;
    Ok(count.map(|count| count as i64))
}

fn tool_type(document: &mut Document, n: i64) -> Result<Option<String>> {
    string(document, &[Step::Key("tools"), Step::Index(n), Step::Key("type")])
}

fn string(document: &mut Document, path: &[Step<'_>]) -> Result<Option<String>> {
    if document.kind(path)? != Some(Kind::String) {
        return Ok(None);
    }
    let text = document.get(path)?.unwrap_or_default();
    Ok(serde_json::from_slice(&text).ok())
}

/// Splits a declaration into an ordinary one and the server tool with its options.
fn split(
    declaration: &Bytes,
    n: i64,
    wanted: &Wanted<'_>,
    definition: &ToolManifest,
) -> Result<(String, ServerTool)> {
    let Wanted { kind, name, is_native } = *wanted;
    let mut options: Map<String, Value> = serde_json::from_slice(declaration).map_err(|e| {
        Error::invalid(format!("the declaration of `{kind}` cannot be read")).with_source(e)
    })?;
    options.remove("type");
    options.remove("name");
    let mut plain = json!({
        "name": upstream_name(name),
        "description": definition.description,
        "input_schema": definition.input_schema,
    });
    if let Some(breakpoint) = options.remove("cache_control") {
        plain["cache_control"] = breakpoint;
    }
    let schema = definition.options_schema.as_ref();
    let mut face = Face::of(name);
    if is_native {
        face = native::options(&format!("tools[{n}]"), name, &mut options)?;
        native::cap(schema, &mut options, "max_chars");
    }
    let max_uses = native::max_uses(schema, &options);
    let wants_transcript = options.get("forward_transcript") == Some(&Value::Bool(true));
    let options = Value::Object(options);
    check_options(n, wanted, schema, &options)?;
    let tool = ServerTool {
        name: name.to_owned(),
        upstream_name: upstream_name(name),
        options: options.to_string().into(),
        face,
        max_uses,
        counts_history: !is_native,
        wants_transcript,
    };
    Ok((plain.to_string(), tool))
}

/// Checks the options of a tool before any model is called, so that the caller can correct them.
fn check_options(
    n: i64,
    wanted: &Wanted<'_>,
    schema: Option<&Value>,
    options: &Value,
) -> Result<()> {
    let Some(schema) = schema else { return Ok(()) };
    schema::check(schema, options).map_err(|Misfit { path, message, .. }| {
        let kind = wanted.kind;
        Error::invalid(format!("`tools[{n}]{path}` {message} (an option of `{kind}`)"))
    })
}

fn refuse_taken_names(document: &mut Document, tools: &[ServerTool], count: i64) -> Result<()> {
    for tool in tools {
        let mut seen = 0;
        for n in 0..count {
            let name = string(document, &[Step::Key("tools"), Step::Index(n), Step::Key("name")])?;
            seen += usize::from(name.as_deref() == Some(&tool.upstream_name));
        }
        if seen > 1 {
            return Err(Error::invalid(format!(
                "`tools` defines `{}`, which is reserved for `{NAMESPACE}{}`: rename it",
                tool.upstream_name, tool.name
            )));
        }
    }
    Ok(())
}

/// Renames the tool in `tool_choice`. The choice may name a gateway tool as declared: in an object
/// by `name` or by `type`, or as a string.
fn rename_choice(request: &mut MessagesRequest, tools: &[ServerTool], count: i64) -> Result<()> {
    let is_ours = |text: &Bytes| memmem::find(text, NAMESPACE.as_bytes()).is_some();
    let choice = request.document().field("tool_choice");
    if !choice.is_some_and(|text| !tools.is_empty() || is_ours(&text)) {
        return Ok(());
    }
    let document = request.document_mut();
    let choice = [Step::Key("tool_choice")];
    if let Some(named) = string(document, &choice)? {
        return match chosen(document, tools, count, &named)? {
            Some(tool) => {
                document.set_value(&choice, &json!({"type": "tool", "name": tool.upstream_name}))
            }
            None => Ok(()),
        };
    }
    let (kind, name) = (
        [Step::Key("tool_choice"), Step::Key("type")],
        [Step::Key("tool_choice"), Step::Key("name")],
    );
    let by_type = string(document, &kind)?.filter(|kind| kind.starts_with(NAMESPACE));
    let named = match by_type.clone() {
        Some(kind) => Some(kind),
        None => string(document, &name)?,
    };
    let Some(named) = named else { return Ok(()) };
    let Some(tool) = chosen(document, tools, count, &named)? else { return Ok(()) };
    if by_type.is_some() {
        document.set_value(&kind, &"tool")?;
    }
    document.set_value(&name, &tool.upstream_name)
}

/// Returns the chosen gateway tool. A tool of the caller's own with this name takes precedence.
fn chosen<'a>(
    document: &mut Document,
    tools: &'a [ServerTool],
    count: i64,
    named: &str,
) -> Result<Option<&'a ServerTool>> {
    if let Some(tool) = tools.iter().find(|tool| tool.upstream_name == named) {
        return Ok(Some(tool));
    }
    for n in 0..count {
        let name = string(document, &[Step::Key("tools"), Step::Index(n), Step::Key("name")])?;
        if name.as_deref() == Some(named) {
            return Ok(None);
        }
    }
    let bare = named.strip_prefix(NAMESPACE).unwrap_or(named);
    match tools.iter().find(|tool| tool.name == bare) {
        // the upstream does not know this name, so its error would not help
        None if named.starts_with(NAMESPACE) => {
            let shown: String = named.chars().take(64).collect();
            Err(Error::invalid(format!(
                "`tool_choice` names `{shown}`, which `tools` does not declare: add it, or choose another"
            )))
        }
        found => Ok(found),
    }
}

fn unknown(pipeline: &Pipeline, n: i64, kind: &str) -> Error {
    let shown: String = kind.chars().take(64).collect();
    let known: Vec<String> =
        pipeline.tool_names().iter().map(|name| format!("`{NAMESPACE}{name}`")).collect();
    let known = match known.is_empty() {
        true => "this gateway has none".to_owned(),
        false => format!("there are {}", known.join(", ")),
    };
    Error::invalid(format!(
        "`tools[{n}].type` is `{shown}`, a server tool that no plugin has: {known}"
    ))
}

#[cfg(test)]
mod tests;

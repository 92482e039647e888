//! Server tools on the way up: what the caller declared, turned into what an upstream understands.
use bytes::Bytes;
use memchr::memmem;
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::policy::Pipeline;
use crate::policy::plugin::ToolManifest;
use crate::wire::schema::{self, Misfit};
use crate::wire::{Document, Kind, MessagesRequest, Step};

/// What a caller writes in front of a server tool of the gateway: `gateway:datetime`.
pub const NAMESPACE: &str = "gateway:";
/// What the upstream sees in front of its name: `gateway_datetime`.
const PREFIX: &str = "gateway_";

/// One server tool that this request may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTool {
    /// As the plugin names it: `datetime`.
    pub name: String,
    /// As the upstream sees it: `gateway_datetime`.
    pub upstream_name: String,
    /// The options flat on the declaration, a JSON object: bounds that the model cannot widen.
    pub options: Bytes,
    /// The caller declared it and sees its calls; one that a policy added stays hidden.
    pub is_shown: bool,
}

/// The name under which an upstream sees a server tool. Names are of `a` to `z`, digits and `_`: the
/// one that a plugin's manifest has is the one that callers declare (`gateway:web_fetch`).
pub fn upstream_name(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// The `gateway:` tools in a request, by type, before any stage could add one.
///
/// Costs a search through `tools` where there is none.
pub fn declared(request: &mut MessagesRequest) -> Result<Vec<String>> {
    let Some(count) = count(request)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for n in 0..count {
        if let Some(kind) = tool_type(request.document_mut(), n)?
            && kind.starts_with(NAMESPACE)
        {
            found.push(kind);
        }
    }
    Ok(found)
}

/// Replaces every declaration of ours by an ordinary tool, and `tool_choice` with it.
///
/// Fails with a 400 for a tool that no plugin has, one declared twice, or one whose upstream name
/// the caller uses itself.
pub fn replace(
    pipeline: &Pipeline,
    request: &mut MessagesRequest,
    declared: &[String],
) -> Result<Vec<ServerTool>> {
    let Some(count) = count(request)? else { return Ok(Vec::new()) };
    let mut tools: Vec<ServerTool> = Vec::new();
    for n in 0..count {
        let document = request.document_mut();
        let Some(kind) = tool_type(document, n)? else { continue };
        let Some(name) = kind.strip_prefix(NAMESPACE) else { continue };
        let definition = pipeline.tool(name).ok_or_else(|| unknown(pipeline, n, &kind))?;
        if tools.iter().any(|tool| tool.name == name) {
            return Err(Error::invalid(format!(
                "`tools[{n}]` declares `{kind}` a second time: remove one"
            )));
        }
        let declaration = document.get(&[Step::Key("tools"), Step::Index(n)])?.unwrap_or_default();
        let (plain, options) = split(&declaration, name, definition)?;
        check_options(n, definition, &options)?;
        document.set(&[Step::Key("tools"), Step::Index(n)], plain)?;
        tools.push(ServerTool {
            name: name.to_owned(),
            upstream_name: upstream_name(name),
            options,
            is_shown: declared.contains(&kind),
        });
    }
    refuse_taken_names(request.document_mut(), &tools, count)?;
    if !tools.is_empty() {
        rename_choice(request.document_mut(), &tools, count)?;
    }
    Ok(tools)
}

/// After the first turn the model must be free to answer.
pub fn free_choice(document: &mut Document) -> Result<()> {
    let path = [Step::Key("tool_choice"), Step::Key("type")];
    let Some(kind) = string(document, &path)? else { return Ok(()) };
    if matches!(kind.as_str(), "any" | "tool") {
        document.remove(&[Step::Key("tool_choice"), Step::Key("name")])?;
        document.set(&path, "\"auto\"")?;
    }
    Ok(())
}

/// How many tools there are, if any of them may be ours.
fn count(request: &mut MessagesRequest) -> Result<Option<i64>> {
    let Some(text) = request.document().field("tools") else { return Ok(None) };
    if memmem::find(&text, NAMESPACE.as_bytes()).is_none() {
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

/// An ordinary declaration, and the options that stood beside `type`.
fn split(declaration: &Bytes, name: &str, definition: &ToolManifest) -> Result<(String, Bytes)> {
    let mut options: Map<String, Value> = serde_json::from_slice(declaration).map_err(|e| {
        Error::invalid(format!("the declaration of `{NAMESPACE}{name}` cannot be read"))
            .with_source(e)
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
    Ok((plain.to_string(), Value::Object(options).to_string().into()))
}

/// Options that cannot do are the caller's to mend, before a model has been asked.
fn check_options(n: i64, definition: &ToolManifest, options: &Bytes) -> Result<()> {
    let Some(wanted) = &definition.options_schema else { return Ok(()) };
    let options: Value = serde_json::from_slice(options).unwrap_or_default();
    schema::check(wanted, &options).map_err(|Misfit { path, message }| {
        let name = &definition.name;
        Error::invalid(format!("`tools[{n}]{path}` {message} (an option of `{NAMESPACE}{name}`)"))
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
                "`tools` has a tool of your own named `{}`, the name that `{NAMESPACE}{}` needs: rename yours",
                tool.upstream_name, tool.name
            )));
        }
    }
    Ok(())
}

/// A choice may name ours as it was declared: in an object by `name` or by `type`, or bare.
fn rename_choice(document: &mut Document, tools: &[ServerTool], count: i64) -> Result<()> {
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

/// A tool of the caller's own goes before one of ours that is named like it.
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
    Ok(tools.iter().find(|tool| tool.name == bare))
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

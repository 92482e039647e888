//! `Face`: how the caller gets to see a server tool's calls and results, and how they are known again.
//!
//! Only block types that clients know: the API's own for search and fetch, those of an MCP server
//! named `gateway` for every other tool.
use std::borrow::Cow;

use serde_json::json;
use serde_json::value::RawValue;

use crate::error::Result;
use crate::policy::ToolOutput;
use crate::server_tools::citations::{self, Forms};
use crate::server_tools::images::Images;
use crate::server_tools::tool::{Call, Face, SERVER_NAME, ServerTool};
use crate::server_tools::web;
use crate::wire::content::Block;
use crate::wire::{Document, Step};

/// Makes the `tool_use` that stands at `path` of an event what the caller sees of it.
pub fn show_call(tool: &ServerTool, data: &mut Document, id: &str) -> Result<()> {
    let block = Step::Key("content_block");
    data.set_value(&[block, Step::Key("type")], &tool.face.call_kind())?;
    data.set_value(&[block, Step::Key("id")], &tool.face.id(id))?;
    data.set_value(&[block, Step::Key("name")], &tool.name)?;
    if tool.face == Face::Mcp {
        data.set_value(&[block, Step::Key("server_name")], &SERVER_NAME)?;
    }
    // who may call a client tool is no matter of a server's tool
    data.remove(&[block, Step::Key("caller")])?;
    Ok(())
}

/// The block that shows the caller a result.
pub fn result_block(tool: &ServerTool, call: &Call, output: &ToolOutput) -> Result<Document> {
    let kind = tool.face.result_kind();
    let mut head = json!({"type": kind, "tool_use_id": tool.face.id(&call.id)});
    let code = output.code.as_deref();
    let content = match tool.face {
        Face::Mcp | Face::Hidden => {
            head["is_error"] = output.is_error.into();
            texts(&output.blocks())
        }
        Face::Search if output.is_error => {
            web::failure_for_caller(kind, web::search_code(code), &output.blocks())
        }
        Face::Search => web::search_for_caller(&output.blocks()),
        Face::Fetch { .. } if output.is_error => {
            web::failure_for_caller(kind, web::fetch_code(code), &output.blocks())
        }
        Face::Fetch { is_cited } => web::page_for_caller(&call.input, &output.blocks(), is_cited),
    };
    let mut block = Document::parse(head.to_string().into())?;
    block.set(&[Step::Key("content")], content)?;
    Ok(block)
}

/// A result of an MCP server holds texts only (messages-api.md, `BetaMCPToolResultBlock`): what else a
/// tool gave the model is named. It is named to the model, too, once the caller sends it back, but for an
/// image that the gateway keeps.
fn texts(blocks: &str) -> String {
    let Ok(all) = serde_json::from_str::<Vec<&RawValue>>(blocks) else {
        return blocks.to_owned();
    };
    let named = |raw: &&RawValue| {
        let kind = Block::of(raw)?.kind();
        let is_other = !kind.is_empty() && kind != "text";
        is_other.then(|| json!({"type": "text", "text": format!("({kind})")}).to_string())
    };
    let others: Vec<Option<String>> = all.iter().map(named).collect();
    if others.iter().all(Option::is_none) {
        return blocks.to_owned();
    }
    let shown: Vec<&str> = all
        .iter()
        .zip(&others)
        .map(|(block, other)| other.as_deref().unwrap_or_else(|| block.get()))
        .collect();
    format!("[{}]", shown.join(","))
}

/// The content of a result as the upstream reads it: the same when the caller sends it back.
pub fn for_upstream(
    tool: &ServerTool,
    call: &Call,
    output: &ToolOutput,
    (forms, images): (Forms, &Images<'_>),
) -> String {
    match tool.face {
        Face::Search if !output.is_error => {
            web::search_for_upstream(&call.input, &output.blocks(), forms.searches)
        }
        Face::Fetch { .. } if !output.is_error => {
            web::page_for_upstream(&output.blocks(), forms.pages)
        }
        _ => citable(images.for_upstream(output.blocks()), forms),
    }
}

/// Sources of another tool, beside results of ours that may be cited: the API wants citations everywhere
/// in a request or nowhere.
fn citable(blocks: String, forms: Forms) -> String {
    if !forms.cite() || !citations::holds_sources(blocks.as_bytes()) {
        return blocks;
    }
    let Ok(all) = serde_json::from_str::<Vec<&RawValue>>(&blocks) else { return blocks };
    let written: Vec<Cow<'_, str>> = all
        .iter()
        .map(|block| match with_citations(block) {
            Some(block) => Cow::Owned(block),
            None => Cow::Borrowed(block.get()),
        })
        .collect();
    format!("[{}]", written.join(","))
}

/// A source with citations; none where it has them, or is no source.
fn with_citations(block: &RawValue) -> Option<String> {
    let source = Block::of(block)?;
    if !matches!(&*source.kind(), "document" | "search_result") || source.is_cited() {
        return None;
    }
    let mut document = Document::parse(block.get().to_owned().into()).ok()?;
    document.set_value(&[Step::Key("citations")], &json!({"enabled": true})).ok()?;
    String::from_utf8(document.to_bytes().to_vec()).ok()
}

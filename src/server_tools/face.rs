//! `Face`: the caller's form of a server tool's calls and results, and the way back.
//!
//! It uses only block types that clients know: the API's own for search and fetch, and those of an
//! MCP server named `gateway` for every other tool.
use serde_json::json;
use serde_json::value::RawValue;

use crate::error::Result;
use crate::policy::ToolOutput;
use crate::server_tools::citations::{self, Forms};
use crate::server_tools::images::Images;
use crate::server_tools::tool::{Face, SERVER_NAME, ServerTool, ServerToolCall};
use crate::server_tools::web;
use crate::wire::content::Block;
use crate::wire::required;
use crate::wire::{Document, Kind, Step};

/// The member of a text that lists its citations, and of a source that enables them.
const CITATIONS: &str = "citations";

/// Converts the `tool_use` of an event into the caller's form.
pub(crate) fn show_call(tool: &ServerTool, data: &mut Document, id: &str) -> Result<()> {
    let block = Step::Key("content_block");
    data.set_value(&[block, Step::Key("type")], &tool.face.call_kind())?;
    data.set_value(&[block, Step::Key("id")], &tool.face.id(id))?;
    data.set_value(&[block, Step::Key("name")], &tool.name)?;
    if tool.face == Face::Mcp {
        data.set_value(&[block, Step::Key("server_name")], &SERVER_NAME)?;
    }
    let caller = [block, Step::Key("caller")];
    match tool.face {
        Face::Search | Face::Fetch { .. } => data.set_value(&caller, &required::caller()),
        // only the model calls the tools of an MCP server
        Face::Mcp | Face::Hidden => data.remove(&caller).map(drop),
    }
}

/// Returns the block with a result for the caller.
pub(crate) fn result_block(
    tool: &ServerTool,
    call: &ServerToolCall,
    output: &ToolOutput,
) -> Result<Document> {
    let kind = tool.face.result_kind();
    let mut head = json!({"type": kind, "tool_use_id": tool.face.id(&call.id)});
    if let Face::Search | Face::Fetch { .. } = tool.face {
        head["caller"] = required::caller();
    }
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

/// Returns the content of an MCP server's result, which holds texts only (messages-api.md,
/// `BetaMCPToolResultBlock`). Other blocks become their names. Once the caller sends the result
/// back, the model reads these names too, except for an image that the gateway keeps.
///
/// Each text has `citations`, as the API's schema requires.
fn texts(blocks: &str) -> String {
    let shown = |raw: &RawValue| {
        let kind = Block::of(raw)?.kind();
        match &*kind {
            "" => None,
            "text" => {
                let mut text = Document::parse(raw.get().to_owned().into()).ok()?;
                if text.has(CITATIONS) {
                    return None;
                }
                text.set(&[Step::Key(CITATIONS)], "null").ok()?;
                written(&text)
            }
            kind => {
                let name = format!("({kind})");
                Some(json!({"type": "text", "text": name, "citations": null}).to_string())
            }
        }
    };
    rewritten(blocks, shown).unwrap_or_else(|| blocks.to_owned())
}

/// Reverses [`texts`] as far as possible: removes the `citations` that cite nothing. Returns `None`
/// if the content that the caller sent has none.
pub(crate) fn texts_from_caller(content: &str) -> Option<String> {
    if !content.contains(CITATIONS) {
        return None;
    }
    rewritten(content, |raw| {
        let mut text = Document::parse(raw.get().to_owned().into()).ok()?;
        let path = [Step::Key(CITATIONS)];
        let cites_nothing = text.kind(&path).ok()? == Some(Kind::Null);
        if !cites_nothing || !text.remove(&path).ok()? {
            return None;
        }
        written(&text)
    })
}

/// Rewrites a list of blocks with `way`. Returns `None` if no block changes.
fn rewritten(blocks: &str, way: impl Fn(&RawValue) -> Option<String>) -> Option<String> {
    let all: Vec<&RawValue> = serde_json::from_str(blocks).ok()?;
    let others: Vec<Option<String>> = all.iter().map(|raw| way(raw)).collect();
    if others.iter().all(Option::is_none) {
        return None;
    }
    let pairs = all.iter().zip(&others);
    let list: Vec<&str> =
        pairs.map(|(raw, other)| other.as_deref().unwrap_or_else(|| raw.get())).collect();
    Some(format!("[{}]", list.join(",")))
}

fn written(document: &Document) -> Option<String> {
    String::from_utf8(document.to_bytes().to_vec()).ok()
}

/// Returns the content of a result in the upstream's form. It is the same when the caller sends it
/// back.
pub(crate) fn for_upstream(
    tool: &ServerTool,
    call: &ServerToolCall,
    output: &ToolOutput,
    forms: Forms,
    images: &Images<'_>,
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

/// Enables citations on another tool's sources if the gateway's own results have them: the API
/// requires citations everywhere in a request or nowhere.
fn citable(blocks: String, forms: Forms) -> String {
    if !forms.cite() || !citations::holds_sources(blocks.as_bytes()) {
        return blocks;
    }
    rewritten(&blocks, with_citations).unwrap_or(blocks)
}

/// Returns a source with citations enabled; `None` if it already has them or is no source.
fn with_citations(block: &RawValue) -> Option<String> {
    let source = Block::of(block)?;
    if !matches!(&*source.kind(), "document" | "search_result") || source.is_cited() {
        return None;
    }
    let mut document = Document::parse(block.get().to_owned().into()).ok()?;
    document.set_value(&[Step::Key(CITATIONS)], &json!({"enabled": true})).ok()?;
    written(&document)
}

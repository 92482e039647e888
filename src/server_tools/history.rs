//! Converts server tools in the caller's history into the form that an upstream understands.
//!
//! One assistant message of the caller may hold several upstream turns. A turn ends with its
//! results; the blocks after them belong to the next turn.
use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use memchr::memmem;
use serde_json::json;
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::server_tools::citations::{self, Sources};
use crate::server_tools::declare;
use crate::server_tools::face;
use crate::server_tools::images::Images;
use crate::server_tools::tool::{Face, OURS, SERVER_NAME, upstream_name};
use crate::server_tools::web;
use crate::wire::content::Block;
use crate::wire::{self, Document, MessagesRequest, Step, scan};

/// The result text of an incomplete call, or of a call without a result in the caller's history.
const UNANSWERED: &str = "not run: the answer ended before the call was complete";

/// Rewrites `messages` if it holds calls that the gateway ran, results that were put back into an
/// assistant's message, or citations that the caller counts differently. Otherwise changes nothing.
///
/// `sources` is empty at the start. Returns `None` if `messages` can hold none of these, else the
/// sources that can be cited.
pub(crate) fn restore(
    request: &mut MessagesRequest,
    sources: Sources,
    images: Images<'_>,
) -> Result<Option<Sources>> {
    let Some(text) = request.document().field("messages") else { return Ok(None) };
    if !may_hold_ours(&text) && !may_cite_ours(&text) && !sources.hides() {
        return Ok(None);
    }
    let document = request.document_mut();
    let count = document.len(&[Step::Key("messages")])?.unwrap_or_default();
    let mut turns = Turns::new(sources, images);
    for n in 0..count as i64 {
        let at = [Step::Key("messages"), Step::Index(n)];
        let message = document.get(&at)?.unwrap_or_default();
        turns
            .message(message)
            .map_err(|e| Error { message: format!("`messages[{n}]`: {}", e.message), ..e })?;
    }
    let sources = std::mem::take(&mut turns.sources);
    if !turns.is_changed {
        return Ok(Some(sources));
    }
    // the caller continues a paused turn: a forced call has already been made
    let goes_on = !turns.results.is_empty();
    document.set(&[Step::Key("messages")], turns.finish())?;
    if goes_on {
        declare::free_choice(document)?;
    }
    Ok(Some(sources))
}

/// The messages so far, as JSON texts. Unchanged messages are the caller's bytes.
struct Turns<'a> {
    messages: Vec<Bytes>,
    /// Results that wait for the user message to which they belong.
    results: Vec<Bytes>,
    /// Gateway calls of the current turn without a result so far, by the upstream's id.
    open: HashMap<String, VecDeque<Open>>,
    /// The number of gateway calls so far.
    calls: usize,
    /// The sources so far that may be cited.
    sources: Sources,
    images: Images<'a>,
    is_changed: bool,
}

/// A call that waits for its result.
struct Open {
    /// The position among all calls.
    at: usize,
    /// The upstream's id of the call.
    id: String,
    input: Bytes,
}

impl<'a> Turns<'a> {
    fn new(sources: Sources, images: Images<'a>) -> Self {
        Self {
            messages: Vec::new(),
            results: Vec::new(),
            open: HashMap::new(),
            calls: 0,
            sources,
            images,
            is_changed: false,
        }
    }

    fn message(&mut self, message: Bytes) -> Result<()> {
        let mut document = Document::parse(message.clone())?;
        let role = document.field("role").unwrap_or_default();
        let is_assistant = scan::is_string(&role, "assistant");
        let may_differ =
            || may_hold_ours(&message) || may_cite(&message) || self.sources.may_hide_in(&message);
        if is_assistant && may_differ() {
            return self.assistant(&mut document, message);
        }
        self.sources.message(&message);
        match self.results.is_empty() {
            true => self.messages.push(message),
            false if scan::is_string(&role, "user") => self.user(&mut document, message)?,
            false => {
                self.flush();
                self.messages.push(message);
            }
        }
        Ok(())
    }

    fn assistant(&mut self, document: &mut Document, message: Bytes) -> Result<()> {
        self.flush();
        let count = document.len(&[Step::Key("content")])?.unwrap_or_default();
        let cites = may_cite(&message);
        let mut has_ours = false;
        let mut blocks = Vec::new();
        for n in 0..count as i64 {
            if cites {
                self.with_citations(document, n)?;
            }
            let text = document.get(&[Step::Key("content"), Step::Index(n)])?.unwrap_or_default();
            let found = self.block(&text).map_err(|field| {
                Error::invalid(format!("`content[{n}].{field}` must be a string"))
            })?;
            match found {
                Found::Result(result) => {
                    has_ours = true;
                    self.results.push(result);
                }
                Found::Call(open, call) => {
                    self.next_turn(&mut blocks);
                    has_ours = true;
                    self.open.entry(open.id.clone()).or_default().push_back(open);
                    blocks.push(call);
                }
                // its call is missing, so no upstream could match the result
                Found::Orphan => has_ours = true,
                Found::Other => {
                    self.sources.block(&text);
                    self.next_turn(&mut blocks);
                    blocks.push(text);
                }
            }
        }
        if !has_ours {
            let edited = document.to_bytes();
            self.is_changed |= edited != message;
            self.messages.push(edited);
            return Ok(());
        }
        self.is_changed = true;
        self.end_turn(&blocks);
        // results after the last block wait for the user message that follows
        Ok(())
    }

    /// Rewrites the citations of a text block to the upstream's numbers. If no citation remains,
    /// removes the list.
    fn with_citations(&self, document: &mut Document, n: i64) -> Result<()> {
        let at = [Step::Key("content"), Step::Index(n), Step::Key("citations")];
        if document.kind(&at[..2])? != Some(wire::Kind::Object)
            || document.kind(&at)? != Some(wire::Kind::Array)
        {
            return Ok(());
        }
        let list = document.get(&at)?.unwrap_or_default();
        match citations::rewritten(&list, |citation| self.sources.for_upstream(citation)).as_deref()
        {
            None => Ok(()),
            Some("[]") => document.remove(&at).map(drop),
            Some(list) => document.set(&at, list.to_owned()),
        }
    }

    /// Reads a block of an assistant's message. Fails with the name of a member that a gateway call
    /// must have.
    fn block(&mut self, text: &Bytes) -> Result<Found, &'static str> {
        let Some(block) = Block::read(text) else { return Ok(Found::Other) };
        Ok(match &*block.kind() {
            "mcp_tool_use" | "server_tool_use" if is_ours(&block) => self.call(&block)?,
            "tool_result" if self.sources.hides_result(text) => {
                self.sources.block(text);
                Found::Result(text.clone())
            }
            kind @ ("mcp_tool_result" | "web_search_tool_result" | "web_fetch_tool_result") => {
                match block.tool_use_id() {
                    Some(id) => self.result(kind, &block, &id),
                    None => Found::Other,
                }
            }
            _ => Found::Other,
        })
    }

    fn call(&mut self, block: &Block<'_>) -> Result<Found, &'static str> {
        let id = block.id().ok_or("id")?;
        let name = block.name().ok_or("name")?;
        let id = id.strip_prefix(OURS).unwrap_or(&id).to_owned();
        let input = block.input().map_or("{}", RawValue::get);
        let head = json!({"type": "tool_use", "id": id, "name": upstream_name(&name)});
        let call = with_members(
            head.to_string(),
            &[("input", Some(input)), ("cache_control", cache_control(block))],
        );
        self.calls += 1;
        Ok(Found::Call(Open { at: self.calls, id, input: input.to_owned().into() }, call))
    }

    fn result(&mut self, kind: &str, block: &Block<'_>, id: &str) -> Found {
        let native_id = id.strip_prefix(OURS);
        if (kind == "mcp_tool_result") == native_id.is_some() {
            return Found::Other;
        }
        let Some(open) = self.open.get_mut(native_id.unwrap_or(id)).and_then(VecDeque::pop_front)
        else {
            return native_id.map_or(Found::Other, |_| Found::Orphan);
        };
        Found::Result(match kind {
            "mcp_tool_result" => plain(block, &open, &mut self.images),
            _ => unveiled(kind, block, &open, &mut self.sources),
        })
    }

    /// Begins the next turn if results precede the block.
    fn next_turn(&mut self, blocks: &mut Vec<Bytes>) {
        if !self.results.is_empty() {
            self.end_turn(&std::mem::take(blocks));
            self.flush();
        }
    }

    /// Ends a turn. Every call needs a result in the next message, so unanswered calls get one.
    fn end_turn(&mut self, blocks: &[Bytes]) {
        let is_sent = |block: &&Bytes| !is_empty_text(block);
        let blocks: Vec<Bytes> = blocks.iter().filter(is_sent).cloned().collect();
        self.push("assistant", &blocks);
        let mut open: Vec<Open> = std::mem::take(&mut self.open).into_values().flatten().collect();
        open.sort_by_key(|open| open.at);
        for Open { id, .. } in open {
            let result = json!({
                "type": "tool_result",
                "tool_use_id": id,
                "is_error": true,
                "content": UNANSWERED,
            });
            self.results.push(result.to_string().into());
        }
    }

    /// Puts the results first in a user message, as the API requires.
    fn user(&mut self, document: &mut Document, message: Bytes) -> Result<()> {
        let path = [Step::Key("content")];
        let content = document.field("content").unwrap_or_default();
        match document.kind(&path)? {
            Some(wire::Kind::Array) => {}
            Some(wire::Kind::String) if &content[..] == b"\"\"" => document.set(&path, "[]")?,
            Some(wire::Kind::String) => {
                let mut blocks = br#"[{"type":"text","text":"#.to_vec();
                blocks.extend_from_slice(&content);
                blocks.extend_from_slice(b"}]");
                document.set(&path, blocks)?;
            }
            // invalid in any case: the upstream reports the error
            _ => {
                self.flush();
                self.messages.push(message);
                return Ok(());
            }
        }
        let mut all = array(&std::mem::take(&mut self.results));
        let content = document.get(&path)?.unwrap_or_default();
        let own = content.get(1..).unwrap_or_default();
        // joins the end of one list with the beginning of the other
        all.pop();
        if document.len(&path)? != Some(0) && all.len() > 1 {
            all.push(b',');
        }
        all.extend_from_slice(own);
        document.set(&path, all)?;
        self.messages.push(document.to_bytes());
        Ok(())
    }

    /// Puts results that no user message follows into a message of their own.
    fn flush(&mut self) {
        let results = std::mem::take(&mut self.results);
        self.push("user", &results);
    }

    fn push(&mut self, role: &str, blocks: &[Bytes]) {
        if !blocks.is_empty() {
            self.messages.push(message(role, blocks));
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.flush();
        array(&self.messages)
    }
}

/// The kind of a block in an assistant's message.
enum Found {
    /// A call that the gateway ran, with its block for the upstream.
    Call(Open, Bytes),
    /// A result of a gateway call, as an upstream accepts it.
    Result(Bytes),
    /// A result without its gateway call.
    Orphan,
    /// Any other block.
    Other,
}

/// Returns a message made of complete blocks.
pub(crate) fn message(role: &str, blocks: &[Bytes]) -> Bytes {
    let mut text = format!("{{\"role\":\"{role}\",\"content\":").into_bytes();
    text.extend_from_slice(&array(blocks));
    text.push(b'}');
    text.into()
}

fn array(items: &[Bytes]) -> Vec<u8> {
    let length = items.iter().map(|item| item.len() + 1).sum::<usize>() + 2;
    let mut text = Vec::with_capacity(length);
    text.push(b'[');
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            text.push(b',');
        }
        text.extend_from_slice(item);
    }
    text.push(b']');
    text
}

/// Returns whether a text may hold gateway calls. One search is enough if it holds none: both kinds
/// contain the server name.
fn may_hold_ours(text: &[u8]) -> bool {
    let holds = |part: &str| memmem::find(text, part.as_bytes()).is_some();
    holds(SERVER_NAME) && (holds("mcp_tool_use") || holds(OURS))
}

/// Returns whether a text may cite sources that the gateway found. Such citations are sealed.
fn may_cite_ours(text: &[u8]) -> bool {
    memmem::find(text, web::MARK.as_bytes()).is_some() && may_cite(text)
}

fn may_cite(text: &[u8]) -> bool {
    memmem::find(text, b"_location\"").is_some()
}

/// The beginning of the ids of calls that the API itself sends to MCP servers. An MCP server of the
/// caller may have the gateway's name, but the gateway's calls have the ids of plain tool calls.
const MCP_CALL: &str = "mcptoolu_";

/// Returns whether the gateway ran a call. Calls of other servers and of a native upstream do not
/// count.
fn is_ours(block: &Block<'_>) -> bool {
    match &*block.kind() {
        "mcp_tool_use" => {
            block.server_name().is_some_and(|name| name == SERVER_NAME)
                && block.id().is_none_or(|id| !id.starts_with(MCP_CALL))
        }
        _ => block.id().is_some_and(|id| id.starts_with(OURS)),
    }
}

/// Returns whether a block is an empty text. An upstream may produce one, but rejects it in a
/// request.
fn is_empty_text(block: &[u8]) -> bool {
    let text = Block::read(block).filter(|block| block.is("text"));
    text.and_then(|block| block.text()).is_some_and(|text| text.is_empty())
}

fn cache_control<'a>(block: &Block<'a>) -> Option<&'a str> {
    block.cache_control().map(RawValue::get)
}

/// Converts a result from an MCP server's shape into the upstream's form.
fn plain(block: &Block<'_>, open: &Open, images: &mut Images<'_>) -> Bytes {
    let content = block.content().map(RawValue::get);
    let plain = content.and_then(face::texts_from_caller);
    let content = plain.as_deref().or(content);
    let shown = content.and_then(|content| images.put_back(content));
    let is_error = block.is_error().map(RawValue::get).filter(|is_error| *is_error != "false");
    let members = [
        ("is_error", is_error),
        ("content", shown.as_deref().or(content)),
        ("cache_control", cache_control(block)),
    ];
    with_members(json!({"type": "tool_result", "tool_use_id": open.id}).to_string(), &members)
}

/// Converts a result from one of the API's own shapes into the upstream's form.
fn unveiled(kind: &str, block: &Block<'_>, open: &Open, sources: &mut Sources) -> Bytes {
    let content = block.content().map_or("null", RawValue::get);
    let forms = sources.forms;
    let mut face = match kind {
        "web_search_tool_result" => Some(Face::Search),
        _ => Some(Face::Fetch { is_cited: true }),
    };
    let mut head = json!({"type": "tool_result", "tool_use_id": open.id});
    let plain = match web::failure_from_caller(content) {
        Some(failure) => {
            face = None;
            head["is_error"] = true.into();
            Some(failure)
        }
        None if kind == "web_search_tool_result" => {
            Some(web::search_from_caller(&open.input, content, forms.searches))
        }
        None => web::page_from_caller(content, forms.pages),
    };
    sources.ours(face, plain.as_deref().unwrap_or_default());
    let members = [("content", plain.as_deref()), ("cache_control", cache_control(block))];
    with_members(head.to_string(), &members)
}

/// Appends members to the text of an object. Numbers in them keep their form.
fn with_members(mut object: String, members: &[(&str, Option<&str>)]) -> Bytes {
    object.pop();
    for (key, value) in members {
        if let Some(value) = value {
            object.push_str(&format!(",\"{key}\":{value}"));
        }
    }
    object.push('}');
    object.into()
}

#[cfg(test)]
mod tests;

//! `Sources`: what an answer may cite, as the upstream counts it and as the caller does.
//!
//! The API counts `search_result` and `document` blocks through the whole request. Where the gateway
//! searches or fetches, its caller sees other blocks than the upstream, and so counts differently.
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::models::Target;
use crate::server_tools::tool::{Face, OURS, ServerTool};
use crate::server_tools::web::{self, Form};
use crate::wire::MessagesRequest;
use crate::wire::content::{self, Block, Message};

/// How results of ours go to the upstreams of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forms {
    /// What was found by searches.
    pub searches: Form,
    /// What was fetched.
    pub pages: Form,
    /// Images are blocks; else a word stands for them.
    pub images: bool,
}

impl Forms {
    /// Citable where the caller has a shape for citations and every target of the route understands
    /// the blocks. A request has citations everywhere or nowhere, and none beside a format of the
    /// answer: what the caller's own part of it says decides.
    pub fn on(targets: &[&Target], request: &MessagesRequest, tools: &[ServerTool]) -> Self {
        let lacks = |target: &Target, block: &str| target.accepts.lacks_block(block);
        let form = |is_wanted: fn(&Face) -> bool, block: &str, tool: &str| {
            let cites = |target: &Target| target.accepts.cites;
            // who lacks the tool hardly knows the blocks that came with it
            let has_tool = |target: &Target| !target.accepts.lacks_tool(tool);
            let understands =
                |target: &&Target| cites(target) && has_tool(target) && !lacks(target, block);
            let is_citable =
                tools.iter().any(|tool| is_wanted(&tool.face)) && targets.iter().all(understands);
            if is_citable { Form::Citable } else { Form::Text }
        };
        let forms = Self {
            searches: form(|face| *face == Face::Search, SEARCH_RESULT, "web_search_20250305"),
            pages: form(
                |face| *face == Face::Fetch { is_cited: true },
                DOCUMENT,
                "web_fetch_20250910",
            ),
            images: !targets.iter().any(|target| lacks(target, IMAGE)),
        };
        match forms.cite() && !may_cite(request) {
            true => Self { images: forms.images, ..Self::default() },
            false => forms,
        }
    }

    /// Something of ours is sent with citations.
    pub fn cite(self) -> bool {
        self.searches == Form::Citable || self.pages == Form::Citable
    }
}

const SEARCH_RESULT: &str = "search_result";
const DOCUMENT: &str = "document";
const IMAGE: &str = "image";
/// So deep a source can lie in a block: a page in the result of a fetch. What is inside is read again
/// at every level.
const MAX_NESTED: usize = 4;

/// In the order of the request; found by their number, or by their name, without a search.
#[derive(Debug, Default)]
pub struct Sources {
    /// How results of ours are sent.
    pub forms: Forms,
    /// The `tool_use_id` of results that stand in the request and the caller does not see.
    hidden: HashSet<String>,
    /// What the upstream has of search results.
    results: Vec<SearchResult>,
    /// Where those of the caller stand among them, as it counts.
    own: Vec<usize>,
    /// Where a source stands first.
    named: HashMap<String, Named>,
    /// Of each document that the caller has, its number upstream.
    shown: Vec<Option<usize>>,
    /// Of each that the upstream has, its number with the caller.
    sent: Vec<Option<usize>>,
    /// One side has what the other has not.
    differs: bool,
}

#[derive(Debug)]
struct SearchResult {
    source: String,
    whose: Whose,
}

#[derive(Debug)]
enum Whose {
    /// The caller sent it, and counts it so.
    Callers(usize),
    /// A search found it that the caller sees. Behind its snippet may stand what is no part of what
    /// was found.
    Found(Option<String>),
    /// The caller does not see it.
    Unseen,
}

#[derive(Debug)]
struct Named {
    at: usize,
    /// The first that a search found.
    found: Option<usize>,
}

/// What becomes of a citation on its way.
#[derive(Debug, PartialEq, Eq)]
pub enum Cited {
    /// It means the same to both sides.
    Same,
    /// It is written like this.
    As(String),
    /// The other side has nothing that it could point to.
    Nothing,
}

/// A citation of whatever kind.
#[derive(Deserialize)]
struct Citation<'a> {
    search_result_index: Option<usize>,
    document_index: Option<usize>,
    #[serde(borrow)]
    source: Option<Cow<'a, str>>,
    #[serde(borrow)]
    title: Option<Cow<'a, str>>,
    #[serde(borrow)]
    cited_text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    encrypted_index: Option<Cow<'a, str>>,
}

impl Sources {
    /// None yet.
    pub fn new(forms: Forms) -> Self {
        Self { forms, ..Self::default() }
    }

    /// The same where the request holds results, by their `tool_use_id`, that the caller has never seen.
    pub fn hiding(forms: Forms, hidden: HashSet<String>) -> Self {
        Self { forms, hidden, ..Self::default() }
    }

    /// The caller has not seen everything that the request holds.
    pub fn hides(&self) -> bool {
        !self.hidden.is_empty()
    }

    /// Costs a search where the caller has not seen everything.
    pub fn may_hide_in(&self, message: &[u8]) -> bool {
        self.hides() && memmem::find(message, b"tool_result").is_some()
    }

    /// The block is a result that the caller has not seen.
    pub fn hides_result(&self, block: &[u8]) -> bool {
        self.hides()
            && Block::read(block)
                .and_then(|block| block.tool_use_id())
                .is_some_and(|id| self.hidden.contains(&*id))
    }

    /// Those of a request whose history has no calls of ours.
    pub fn read(self, request: &MessagesRequest) -> Self {
        let mut sources = self;
        let messages = request.document().field("messages").unwrap_or_default();
        if holds_sources(&messages) {
            let messages = content::elements(&messages);
            messages.into_iter().for_each(|message| sources.message(message.get().as_bytes()));
        }
        sources
    }

    /// Counts what stands in a message. What has another form is for the upstream to refuse.
    pub fn message(&mut self, message: &[u8]) {
        let message = holds_sources(message).then(|| Message::read(message)).flatten();
        let content = message.filter(|message| message.role().is_some());
        let content = content.and_then(|message| message.content()).map(content::listed);
        let blocks = content.unwrap_or_default();
        blocks.into_iter().for_each(|block| self.block(block.get().as_bytes()));
    }

    /// The same for one block that is none of ours.
    pub fn block(&mut self, block: &[u8]) {
        if !holds_sources(block) {
            return;
        }
        let is_hidden = self.hides_result(block);
        visit(block, MAX_NESTED, &mut |block| match &*block.kind() {
            DOCUMENT => self.document(!is_hidden, true),
            _ if is_hidden => self.result(source(block), Whose::Unseen),
            _ => self.result(source(block), Whose::Callers(self.own.len())),
        });
    }

    fn document(&mut self, has_caller: bool, has_upstream: bool) {
        let (shown, sent) = (self.shown.len(), self.sent.len());
        if has_caller {
            self.shown.push(has_upstream.then_some(sent));
        }
        if has_upstream {
            self.sent.push(has_caller.then_some(shown));
        }
        self.differs |= has_caller != has_upstream;
    }

    fn result(&mut self, source: String, whose: Whose) {
        let at = self.results.len();
        let named = self.named.entry(source.clone()).or_insert(Named { at, found: None });
        match whose {
            Whose::Callers(_) => self.own.push(at),
            Whose::Found(_) => named.found = named.found.or(Some(at)),
            Whose::Unseen => {}
        }
        self.differs |= !matches!(whose, Whose::Callers(_));
        self.results.push(SearchResult { source, whose });
    }

    /// Counts a result of ours, by the `content` that the upstream gets. `face` is how the caller sees
    /// it; none if it failed or shows nothing that could be cited.
    pub fn ours(&mut self, face: Option<Face>, content: &str) {
        let mut is_shown = matches!(face, Some(Face::Fetch { .. }));
        let blocks = match holds_sources(content.as_bytes()) {
            true => content::elements(content.as_bytes()),
            false => Vec::new(),
        };
        let mut add = |block: &Block<'_>| match &*block.kind() {
            DOCUMENT => {
                let has_caller = std::mem::take(&mut is_shown);
                self.document(has_caller, true);
            }
            _ if face == Some(Face::Search) => {
                self.result(source(block), Whose::Found(behind_snippet(block)));
            }
            _ => self.result(source(block), Whose::Unseen),
        };
        blocks.into_iter().for_each(|block| visit(block.get().as_bytes(), MAX_NESTED, &mut add));
        if is_shown {
            self.document(true, false);
        }
    }

    /// Both sides see the same, or there is nothing to cite: no answer has to be rewritten.
    pub fn are_the_same(&self) -> bool {
        !self.differs || (self.sent.is_empty() && self.results.is_empty())
    }

    /// What the caller gets to see of an upstream's citation.
    pub fn for_caller(&self, citation: &[u8]) -> Cited {
        let Some(told) = read::<Citation<'_>>(citation) else { return Cited::Same };
        if let Some(index) = told.document_index {
            return counted(&self.sent, citation, index);
        }
        let Some(index) = told.search_result_index else { return Cited::Same };
        let named = told.source.as_deref().unwrap_or_default();
        let there = self.results.get(index).filter(|result| result.source == named);
        // an upstream that counts otherwise still names what it cites
        let found = there.or_else(|| self.results.get(self.named.get(named)?.at));
        match found.map(|result| &result.whose) {
            Some(Whose::Found(behind)) => Cited::As(shown(citation, &told, behind.as_deref())),
            Some(Whose::Unseen) => Cited::Nothing,
            None => Cited::Same,
            Some(Whose::Callers(own)) => renumbered(citation, ("search_result_index", index), *own),
        }
    }

    /// What an upstream takes of a citation that the caller sends back.
    pub fn for_upstream(&self, citation: &[u8]) -> Cited {
        let Some(told) = read::<Citation<'_>>(citation) else { return Cited::Same };
        if let Some(index) = told.document_index {
            return counted(&self.shown, citation, index);
        }
        if let Some(index) = told.search_result_index {
            return match self.own.get(index) {
                Some(at) => renumbered(citation, ("search_result_index", index), *at),
                None => Cited::Same,
            };
        }
        match told.encrypted_index.filter(|index| index.starts_with(web::MARK)) {
            Some(sealed) => self.found_again(&sealed),
            None => Cited::Same,
        }
    }

    /// A citation of what a search of ours found: the very bytes that the upstream made of it, as long
    /// as the result stands where it stood.
    fn found_again(&self, sealed: &str) -> Cited {
        let Some(own) = web::unsealed(sealed) else { return Cited::Nothing };
        let Some(told) = read::<Citation<'_>>(own.as_bytes()) else { return Cited::Nothing };
        let (Some(index), Some(named)) = (told.search_result_index, told.source.as_deref()) else {
            return Cited::Nothing;
        };
        let is_it = |result: &SearchResult| {
            matches!(result.whose, Whose::Found(_)) && result.source == named
        };
        if self.results.get(index).is_some_and(is_it) {
            return Cited::As(own);
        }
        match self.named.get(named).and_then(|named| named.found) {
            Some(at) => match renumbered(own.as_bytes(), ("search_result_index", index), at) {
                Cited::Same => Cited::As(own),
                moved => moved,
            },
            None => Cited::Nothing,
        }
    }
}

/// A citation of a document by its number on one side, as the other side counts it.
fn counted(numbers: &[Option<usize>], citation: &[u8], index: usize) -> Cited {
    match numbers.get(index) {
        None => Cited::Same,
        Some(None) => Cited::Nothing,
        Some(Some(number)) => renumbered(citation, ("document_index", index), *number),
    }
}

/// A list of citations, each as `way` has it; none where all stay as they are.
pub fn rewritten(list: &[u8], way: impl Fn(&[u8]) -> Cited) -> Option<String> {
    let list: Vec<&RawValue> = read(list)?;
    let ways: Vec<Cited> = list.iter().map(|citation| way(citation.get().as_bytes())).collect();
    if ways.iter().all(|way| *way == Cited::Same) {
        return None;
    }
    let left: Vec<&str> = list
        .iter()
        .zip(&ways)
        .filter_map(|(citation, way)| match way {
            Cited::Same => Some(citation.get()),
            Cited::As(citation) => Some(citation),
            Cited::Nothing => None,
        })
        .collect();
    Some(format!("[{}]", left.join(",")))
}

/// A citation of ours in the API's shape for searches: of the snippet, where the upstream has cited what
/// stands `behind` it as well.
fn shown(citation: &[u8], told: &Citation<'_>, behind: Option<&str>) -> String {
    let cited = told.cited_text.as_deref().unwrap_or_default();
    let snippet = behind.and_then(|behind| cited.strip_suffix(behind)).map(str::trim_end);
    json!({
        "type": "web_search_result_location",
        "cited_text": snippet.unwrap_or(cited),
        "url": told.source.as_deref().unwrap_or_default(),
        "title": told.title,
        "encrypted_index": web::sealed(&String::from_utf8_lossy(citation)),
    })
    .to_string()
}

fn renumbered(citation: &[u8], (field, from): (&str, usize), to: usize) -> Cited {
    if from == to {
        return Cited::Same;
    }
    let Some(mut citation) = read::<Map<String, Value>>(citation) else { return Cited::Same };
    citation.insert(field.to_owned(), to.into());
    Cited::As(Value::Object(citation).to_string())
}

/// Goes through a block and what it holds: documents and search results, but for what the gateway
/// fetched itself, and for what lies deeper than any block of the API holds it.
fn visit(block: &[u8], depth: usize, found: &mut impl FnMut(&Block<'_>)) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let Some(block) = Block::read(block) else { return };
    match &*block.kind() {
        DOCUMENT | SEARCH_RESULT => found(&block),
        "tool_result" => {
            let within = block.content().map(content::listed).unwrap_or_default();
            within.into_iter().for_each(|block| visit(block.get().as_bytes(), depth, found));
        }
        "web_fetch_tool_result" => {
            let is_ours = block.tool_use_id().is_some_and(|id| id.starts_with(OURS));
            if let Some(content) = block.content().filter(|_| !is_ours) {
                visit(content.get().as_bytes(), depth, found);
            }
        }
        "web_fetch_result" => {
            if let Some(content) = block.content() {
                visit(content.get().as_bytes(), depth, found);
            }
        }
        _ => {}
    }
}

/// No part of the request that is the caller's own has citations off, nor asks for what excludes them.
fn may_cite(request: &MessagesRequest) -> bool {
    #[derive(Deserialize, Default)]
    struct Output {
        format: Option<serde::de::IgnoredAny>,
    }
    let document = request.document();
    let output = document.field("output_config").unwrap_or_default();
    let output: Output = serde_json::from_slice(&output).unwrap_or_default();
    let is_null = |field: &str| document.field(field).is_none_or(|value| &value[..] == b"null");
    if output.format.is_some() || !is_null("output_format") {
        return false;
    }
    let messages = document.field("messages").unwrap_or_default();
    if !holds_sources(&messages) {
        return true;
    }
    let messages = content::elements(&messages);
    let messages = messages.into_iter().filter_map(Message::of);
    let mut all_cite = true;
    // what an assistant said is the API's own, or ours
    let users = messages.filter(|message| message.role().is_some_and(|role| role == "user"));
    for content in users.filter_map(|message| message.content()) {
        for block in content::listed(content) {
            visit(block.get().as_bytes(), MAX_NESTED, &mut |block| all_cite &= block.is_cited());
        }
    }
    all_cite
}

/// One search where there is nothing.
pub fn holds_sources(text: &[u8]) -> bool {
    let holds = |part: &str| memmem::find(text, part.as_bytes()).is_some();
    holds("\"document\"") || holds("\"search_result\"")
}

fn source(block: &Block<'_>) -> String {
    block.source_address().unwrap_or_default().into_owned()
}

/// What of a search result of ours is for the model only (`web::search_for_upstream`).
fn behind_snippet(block: &Block<'_>) -> Option<String> {
    let content = block.content().map(content::listed).unwrap_or_default();
    Block::of(content.get(1)?)?.text().map(Cow::into_owned)
}

fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests;

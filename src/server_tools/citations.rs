//! `Sources`: the sources that an answer may cite, in the upstream's numbers and in the caller's.
//!
//! The API numbers `search_result` and `document` blocks through the whole request. If the gateway
//! searches or fetches, the caller receives other blocks than the upstream, so the two numbers
//! differ.
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

/// The forms in which the upstreams of a request receive the gateway's results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Forms {
    /// The form of search results.
    pub searches: Form,
    /// The form of fetched pages.
    pub pages: Form,
    /// Whether images are sent as blocks; otherwise as placeholders.
    pub images: bool,
}

impl Forms {
    /// Chooses the forms. A result is citable if the caller has a shape for citations and every
    /// target of the route understands the blocks. A request has citations everywhere or nowhere,
    /// and none together with an output format. The caller's own part of the request decides.
    pub(crate) fn on(targets: &[&Target], request: &MessagesRequest, tools: &[ServerTool]) -> Self {
        let lacks = |target: &Target, block: &str| target.accepts.lacks_block(block);
        let form = |is_wanted: fn(&Face) -> bool, block: &str, tool: &str| {
            let cites = |target: &Target| target.accepts.cites;
            // a target without the tool hardly knows the blocks that came with it
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

    /// Returns whether some results of the gateway are citable.
    pub(crate) fn cite(self) -> bool {
        self.searches == Form::Citable || self.pages == Form::Citable
    }
}

const SEARCH_RESULT: &str = "search_result";
const DOCUMENT: &str = "document";
const IMAGE: &str = "image";
/// The deepest nesting of a source in a block: a page in the result of a fetch. Each level is
/// parsed again.
const MAX_NESTED: usize = 4;

/// The sources in the order of the request. A source is found by number or by name without a scan.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The forms of the gateway's results.
    pub forms: Forms,
    /// The `tool_use_id`s of results in the request that the caller does not see.
    hidden: HashSet<String>,
    /// All search results that the upstream receives.
    results: Vec<SearchResult>,
    /// The position of each of the caller's search results among them, in the caller's order.
    own: Vec<usize>,
    /// The first position of each source.
    named: HashMap<String, Named>,
    /// The upstream's number of each document that the caller has.
    shown: Vec<Option<usize>>,
    /// The caller's number of each document that the upstream has.
    sent: Vec<Option<usize>>,
    /// Whether one side has a source that the other side lacks.
    differs: bool,
}

#[derive(Debug)]
struct SearchResult {
    source: String,
    origin: ResultOrigin,
}

#[derive(Debug)]
enum ResultOrigin {
    /// The caller sent the result. The value is the caller's number of it.
    Callers(usize),
    /// A search of the gateway found the result, and the caller sees it. The value is additional
    /// text after the snippet that is not part of the result.
    Found(Option<String>),
    /// The caller does not see the result.
    Unseen,
}

#[derive(Debug)]
struct Named {
    at: usize,
    /// The first position at which a search of the gateway found the source.
    found: Option<usize>,
}

/// The outcome of converting a citation for the other side.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cited {
    /// The citation means the same to both sides.
    Same,
    /// The citation is rewritten to this text.
    As(String),
    /// The other side has no such source.
    Nothing,
}

/// A citation of any kind.
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
    /// Creates an empty list of sources.
    pub(crate) fn new(forms: Forms) -> Self {
        Self { forms, ..Self::default() }
    }

    /// Creates an empty list for a request with hidden results, given by their `tool_use_id`.
    pub(crate) fn hiding(forms: Forms, hidden: HashSet<String>) -> Self {
        Self { forms, hidden, ..Self::default() }
    }

    /// Returns whether the request holds results that the caller has not seen.
    pub(crate) fn hides(&self) -> bool {
        !self.hidden.is_empty()
    }

    /// Returns whether a message may hold a hidden result. It costs a search only if there are
    /// hidden results.
    pub(crate) fn may_hide_in(&self, message: &[u8]) -> bool {
        self.hides() && memmem::find(message, b"tool_result").is_some()
    }

    /// Returns whether a block is a hidden result.
    pub(crate) fn hides_result(&self, block: &[u8]) -> bool {
        self.hides()
            && Block::read(block)
                .and_then(|block| block.tool_use_id())
                .is_some_and(|id| self.hidden.contains(&*id))
    }

    /// Reads the sources of a request origin history has no gateway calls.
    pub(crate) fn read(self, request: &MessagesRequest) -> Self {
        let mut sources = self;
        let messages = request.document().field("messages").unwrap_or_default();
        if holds_sources(&messages) {
            let messages = content::elements(&messages);
            messages.into_iter().for_each(|message| sources.message(message.get().as_bytes()));
        }
        sources
    }

    /// Counts the sources in a message. The upstream rejects messages of another form.
    pub(crate) fn message(&mut self, message: &[u8]) {
        let message = holds_sources(message).then(|| Message::read(message)).flatten();
        let content = message.filter(|message| message.role().is_some());
        let content = content.and_then(|message| message.content()).map(content::listed);
        let blocks = content.unwrap_or_default();
        blocks.into_iter().for_each(|block| self.block(block.get().as_bytes()));
    }

    /// Counts the sources in one block that is not a result of the gateway.
    pub(crate) fn block(&mut self, block: &[u8]) {
        if !holds_sources(block) {
            return;
        }
        let is_hidden = self.hides_result(block);
        visit(block, MAX_NESTED, &mut |block| match &*block.kind() {
            DOCUMENT => self.document(!is_hidden, true),
            _ if is_hidden => self.result(source(block), ResultOrigin::Unseen),
            _ => self.result(source(block), ResultOrigin::Callers(self.own.len())),
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

    fn result(&mut self, source: String, origin: ResultOrigin) {
        let at = self.results.len();
        let named = self.named.entry(source.clone()).or_insert(Named { at, found: None });
        match origin {
            ResultOrigin::Callers(_) => self.own.push(at),
            ResultOrigin::Found(_) => named.found = named.found.or(Some(at)),
            ResultOrigin::Unseen => {}
        }
        self.differs |= !matches!(origin, ResultOrigin::Callers(_));
        self.results.push(SearchResult { source, origin });
    }

    /// Counts the sources in a result of the gateway, by the `content` that the upstream receives.
    /// `face` is the caller's form of the tool; `None` if the call failed or has nothing to cite.
    pub(crate) fn ours(&mut self, face: Option<Face>, content: &str) {
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
                self.result(source(block), ResultOrigin::Found(after_snippet(block)));
            }
            _ => self.result(source(block), ResultOrigin::Unseen),
        };
        blocks.into_iter().for_each(|block| visit(block.get().as_bytes(), MAX_NESTED, &mut add));
        if is_shown {
            self.document(true, false);
        }
    }

    /// Returns whether answers can pass unchanged: both sides have the same sources, or none exist.
    pub(crate) fn are_the_same(&self) -> bool {
        !self.differs || (self.sent.is_empty() && self.results.is_empty())
    }

    /// Converts an upstream's citation for the caller.
    pub(crate) fn for_caller(&self, citation: &[u8]) -> Cited {
        let Some(cited) = read::<Citation<'_>>(citation) else { return Cited::Same };
        if let Some(index) = cited.document_index {
            return counted(&self.sent, citation, index);
        }
        let Some(index) = cited.search_result_index else { return Cited::Same };
        let named = cited.source.as_deref().unwrap_or_default();
        let there = self.results.get(index).filter(|result| result.source == named);
        // an upstream with other numbers still names the source
        let found = there.or_else(|| self.results.get(self.named.get(named)?.at));
        match found.map(|result| &result.origin) {
            Some(ResultOrigin::Found(extra)) => {
                Cited::As(search_citation(citation, &cited, extra.as_deref()))
            }
            Some(ResultOrigin::Unseen) => Cited::Nothing,
            None => Cited::Same,
            Some(ResultOrigin::Callers(own)) => {
                renumbered(citation, "search_result_index", index, *own)
            }
        }
    }

    /// Converts a citation that the caller sent back for the upstream.
    pub(crate) fn for_upstream(&self, citation: &[u8]) -> Cited {
        let Some(cited) = read::<Citation<'_>>(citation) else { return Cited::Same };
        if let Some(index) = cited.document_index {
            return counted(&self.shown, citation, index);
        }
        if let Some(index) = cited.search_result_index {
            return match self.own.get(index) {
                Some(at) => renumbered(citation, "search_result_index", index, *at),
                None => Cited::Same,
            };
        }
        match cited.encrypted_index.filter(|index| index.starts_with(web::MARK)) {
            Some(sealed) => self.found_again(&sealed),
            None => Cited::Same,
        }
    }

    /// Restores a citation of a source that the gateway's search found. Returns the upstream's
    /// original bytes as long as the result keeps its position.
    fn found_again(&self, sealed: &str) -> Cited {
        let Some(own) = web::unsealed(sealed) else { return Cited::Nothing };
        let Some(cited) = read::<Citation<'_>>(own.as_bytes()) else { return Cited::Nothing };
        let (Some(index), Some(named)) = (cited.search_result_index, cited.source.as_deref())
        else {
            return Cited::Nothing;
        };
        let is_it = |result: &SearchResult| {
            matches!(result.origin, ResultOrigin::Found(_)) && result.source == named
        };
        if self.results.get(index).is_some_and(is_it) {
            return Cited::As(own);
        }
        match self.named.get(named).and_then(|named| named.found) {
            Some(at) => match renumbered(own.as_bytes(), "search_result_index", index, at) {
                Cited::Same => Cited::As(own),
                moved => moved,
            },
            None => Cited::Nothing,
        }
    }
}

/// Converts a citation of a document from one side's number to the other's.
fn counted(numbers: &[Option<usize>], citation: &[u8], index: usize) -> Cited {
    match numbers.get(index) {
        None => Cited::Same,
        Some(None) => Cited::Nothing,
        Some(Some(number)) => renumbered(citation, "document_index", index, *number),
    }
}

/// Converts a list of citations with `way`. Returns `None` if no citation changes.
pub(crate) fn rewritten(list: &[u8], way: impl Fn(&[u8]) -> Cited) -> Option<String> {
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

/// Returns a citation in the API's shape for searches. If the upstream also cited the additional
/// text after the snippet, that text is cut off.
fn search_citation(citation: &[u8], cited: &Citation<'_>, extra: Option<&str>) -> String {
    let text = cited.cited_text.as_deref().unwrap_or_default();
    let snippet = extra.and_then(|extra| text.strip_suffix(extra)).map(str::trim_end);
    json!({
        "type": "web_search_result_location",
        "cited_text": snippet.unwrap_or(text),
        "url": cited.source.as_deref().unwrap_or_default(),
        "title": cited.title,
        "encrypted_index": web::sealed(&String::from_utf8_lossy(citation)),
    })
    .to_string()
}

fn renumbered(citation: &[u8], field: &str, from: usize, to: usize) -> Cited {
    if from == to {
        return Cited::Same;
    }
    let Some(mut citation) = read::<Map<String, Value>>(citation) else { return Cited::Same };
    citation.insert(field.to_owned(), to.into());
    Cited::As(Value::Object(citation).to_string())
}

/// Calls `found` for the documents and search results in a block. Skips pages that the gateway
/// fetched itself, and blocks that are nested deeper than the API allows.
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

/// Returns whether the caller's own part of the request allows citations: none of its sources has
/// them off, and no output format excludes them.
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
    // assistant messages hold blocks of the API or of the gateway
    let users = messages.filter(|message| message.role().is_some_and(|role| role == "user"));
    for content in users.filter_map(|message| message.content()) {
        for block in content::listed(content) {
            visit(block.get().as_bytes(), MAX_NESTED, &mut |block| all_cite &= block.is_cited());
        }
    }
    all_cite
}

/// Returns whether a text may hold sources. It costs only a search.
pub(crate) fn holds_sources(text: &[u8]) -> bool {
    let holds = |part: &str| memmem::find(text, part.as_bytes()).is_some();
    holds("\"document\"") || holds("\"search_result\"")
}

fn source(block: &Block<'_>) -> String {
    block.source_address().unwrap_or_default().into_owned()
}

/// Returns the part of a search result that is for the model only (`web::search_for_upstream`).
fn after_snippet(block: &Block<'_>) -> Option<String> {
    let content = block.content().map(content::listed).unwrap_or_default();
    Block::of(content.get(1)?)?.text().map(Cow::into_owned)
}

fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests;

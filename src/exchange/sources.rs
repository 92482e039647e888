//! `Sources`: what an answer may cite, as the upstream counts it and as the caller does.
//!
//! The API counts `search_result` and `document` blocks through the whole request. Where the gateway
//! searches or fetches, its caller sees other blocks than the upstream, and so counts differently.
use std::borrow::Cow;

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::exchange::face::{Face, OURS};
use crate::exchange::route::{Choice, Route};
use crate::exchange::tools::ServerTool;
use crate::exchange::web::{self, Form};
use crate::wire::MessagesRequest;

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
    pub fn on(route: &Route<'_>, request: &MessagesRequest, tools: &[ServerTool]) -> Self {
        let lacks = |choice: &Choice<'_>, block: &str| choice.target.unsupported.has_block(block);
        let form = |is_wanted: fn(&Face) -> bool, block: &str, tool: &str| {
            let cites = |choice: &Choice<'_>| choice.target.provider.accepts().cites;
            // who lacks the tool hardly knows the blocks that came with it
            let has_tool = |choice: &Choice<'_>| !choice.target.unsupported.has_tool(tool);
            let understands = |choice| cites(choice) && has_tool(choice) && !lacks(choice, block);
            let is_citable = tools.iter().any(|tool| is_wanted(&tool.face))
                && route.choices.iter().all(understands);
            if is_citable { Form::Citable } else { Form::Text }
        };
        let forms = Self {
            searches: form(|face| *face == Face::Search, SEARCH_RESULT, "web_search_20250305"),
            pages: form(
                |face| *face == Face::Fetch { is_cited: true },
                DOCUMENT,
                "web_fetch_20250910",
            ),
            images: !route.choices.iter().any(|choice| lacks(choice, IMAGE)),
        };
        let cites = forms.searches == Form::Citable || forms.pages == Form::Citable;
        match cites && !may_cite(request) {
            true => Self { images: forms.images, ..Self::default() },
            false => forms,
        }
    }
}

const SEARCH_RESULT: &str = "search_result";
const DOCUMENT: &str = "document";
const IMAGE: &str = "image";

/// In the order of the request.
#[derive(Debug, Default)]
pub struct Sources {
    /// How results of ours are sent.
    pub forms: Forms,
    /// What the upstream has of search results.
    results: Vec<SearchResult>,
    /// What either side has of documents.
    documents: Vec<Document>,
}

#[derive(Debug)]
struct SearchResult {
    source: String,
    whose: Whose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// The caller sent it.
    Callers,
    /// A search found it that the caller sees.
    Found,
    /// The caller does not see it.
    Unseen,
}

#[derive(Debug)]
struct Document {
    has_caller: bool,
    has_upstream: bool,
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

/// A content block, as far as it is a source or holds some.
#[derive(Deserialize)]
struct Block<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    citations: Option<Switch>,
    #[serde(borrow)]
    tool_use_id: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Switch {
    #[serde(default)]
    enabled: bool,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: &'a RawValue,
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

    /// Those of a request whose history has no calls of ours.
    pub fn read(forms: Forms, request: &MessagesRequest) -> Self {
        let mut sources = Self::new(forms);
        let messages = request.document().field("messages").unwrap_or_default();
        if holds_sources(&messages) {
            let messages: Vec<&RawValue> = serde_json::from_slice(&messages).unwrap_or_default();
            messages.into_iter().for_each(|message| sources.message(message.get().as_bytes()));
        }
        sources
    }

    /// Counts what stands in a message. What has another form is for the upstream to refuse.
    pub fn message(&mut self, message: &[u8]) {
        if let Some(message) =
            holds_sources(message).then(|| read::<Message<'_>>(message)).flatten()
        {
            listed(message.content)
                .into_iter()
                .for_each(|block| self.block(block.get().as_bytes()));
        }
    }

    /// The same for one block that is none of ours.
    pub fn block(&mut self, block: &[u8]) {
        if !holds_sources(block) {
            return;
        }
        visit(block, &mut |block| match &*block.kind {
            DOCUMENT => self.documents.push(Document { has_caller: true, has_upstream: true }),
            _ => self.results.push(SearchResult { source: source(block), whose: Whose::Callers }),
        });
    }

    /// Counts a result of ours, by the `content` that the upstream gets. `face` is how the caller sees
    /// it; none if it failed or shows nothing that could be cited.
    pub fn ours(&mut self, face: Option<Face>, content: &str) {
        let mut is_shown = matches!(face, Some(Face::Fetch { .. }));
        let whose = if face == Some(Face::Search) { Whose::Found } else { Whose::Unseen };
        let blocks: Vec<&RawValue> = match holds_sources(content.as_bytes()) {
            true => serde_json::from_str(content).unwrap_or_default(),
            false => Vec::new(),
        };
        let mut add = |block: &Block<'_>| match &*block.kind {
            DOCUMENT => {
                let has_caller = std::mem::take(&mut is_shown);
                self.documents.push(Document { has_caller, has_upstream: true });
            }
            _ => self.results.push(SearchResult { source: source(block), whose }),
        };
        blocks.into_iter().for_each(|block| visit(block.get().as_bytes(), &mut add));
        if is_shown {
            self.documents.push(Document { has_caller: true, has_upstream: false });
        }
    }

    /// Both sides see the same: nothing has to be rewritten.
    pub fn are_the_same(&self) -> bool {
        self.results.iter().all(|result| result.whose == Whose::Callers)
            && self.documents.iter().all(|document| document.has_caller && document.has_upstream)
    }

    /// What the caller gets to see of an upstream's citation.
    pub fn for_caller(&self, citation: &[u8]) -> Cited {
        let Some(told) = read::<Citation<'_>>(citation) else { return Cited::Same };
        if let Some(index) = told.document_index {
            return self.document(citation, index, |d| d.has_upstream, |d| d.has_caller);
        }
        let Some(index) = told.search_result_index else { return Cited::Same };
        let named = told.source.as_deref().unwrap_or_default();
        let is_it = |result: &&SearchResult| result.source == named;
        // an upstream that counts otherwise still names what it cites
        let found = self.results.get(index).filter(is_it);
        match found.or_else(|| self.results.iter().find(is_it)).map(|result| result.whose) {
            Some(Whose::Found) => Cited::As(shown(citation, &told)),
            Some(Whose::Unseen) => Cited::Nothing,
            None => Cited::Same,
            Some(Whose::Callers) => {
                let before = self.results.iter().take(index);
                let own = before.filter(|result| result.whose == Whose::Callers).count();
                renumbered(citation, ("search_result_index", index), own)
            }
        }
    }

    /// What an upstream takes of a citation that the caller sends back.
    pub fn for_upstream(&self, citation: &[u8]) -> Cited {
        let Some(told) = read::<Citation<'_>>(citation) else { return Cited::Same };
        if let Some(index) = told.document_index {
            return self.document(citation, index, |d| d.has_caller, |d| d.has_upstream);
        }
        if let Some(index) = told.search_result_index {
            let mut own =
                self.results.iter().enumerate().filter(|(_, r)| r.whose == Whose::Callers);
            return match own.nth(index) {
                Some((at, _)) => renumbered(citation, ("search_result_index", index), at),
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
        let is_it = |result: &SearchResult| result.whose == Whose::Found && result.source == named;
        if self.results.get(index).is_some_and(is_it) {
            return Cited::As(own);
        }
        match self.results.iter().position(is_it) {
            Some(at) => match renumbered(own.as_bytes(), ("search_result_index", index), at) {
                Cited::Same => Cited::As(own),
                moved => moved,
            },
            None => Cited::Nothing,
        }
    }

    /// A document by its number on one side, as the other side counts it.
    fn document(
        &self,
        citation: &[u8],
        index: usize,
        here: fn(&Document) -> bool,
        there: fn(&Document) -> bool,
    ) -> Cited {
        let mut known = self.documents.iter().enumerate().filter(|(_, document)| here(document));
        match known.nth(index) {
            None => Cited::Same,
            Some((_, document)) if !there(document) => Cited::Nothing,
            Some((at, _)) => {
                let number = self.documents.iter().take(at).filter(|d| there(d)).count();
                renumbered(citation, ("document_index", index), number)
            }
        }
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

/// A citation of ours in the API's shape for searches.
fn shown(citation: &[u8], told: &Citation<'_>) -> String {
    json!({
        "type": "web_search_result_location",
        "cited_text": told.cited_text.as_deref().unwrap_or_default(),
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
/// fetched itself.
fn visit(block: &[u8], found: &mut impl FnMut(&Block<'_>)) {
    let Some(block) = read::<Block<'_>>(block) else { return };
    match &*block.kind {
        DOCUMENT | SEARCH_RESULT => found(&block),
        "tool_result" => {
            let within = block.content.map(listed).unwrap_or_default();
            within.into_iter().for_each(|block| visit(block.get().as_bytes(), found));
        }
        "web_fetch_tool_result" => {
            let is_ours = block.tool_use_id.is_some_and(|id| id.starts_with(OURS));
            if let Some(content) = block.content.filter(|_| !is_ours) {
                visit(content.get().as_bytes(), found);
            }
        }
        "web_fetch_result" => {
            if let Some(content) = block.content {
                visit(content.get().as_bytes(), found);
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
    let messages: Vec<&RawValue> = serde_json::from_slice(&messages).unwrap_or_default();
    let messages = messages.iter().filter_map(|m| read::<Message<'_>>(m.get().as_bytes()));
    let mut all_cite = true;
    // what an assistant said is the API's own, or ours
    for message in messages.filter(|message| message.role == "user") {
        for block in listed(message.content) {
            visit(block.get().as_bytes(), &mut |block| {
                all_cite &= block.citations.as_ref().is_some_and(|citations| citations.enabled);
            });
        }
    }
    all_cite
}

/// One search where there is nothing.
fn holds_sources(text: &[u8]) -> bool {
    let holds = |part: &str| memmem::find(text, part.as_bytes()).is_some();
    holds("\"document\"") || holds("\"search_result\"")
}

fn source(block: &Block<'_>) -> String {
    block.source.and_then(|source| serde_json::from_str(source.get()).ok()).unwrap_or_default()
}

/// The blocks of a content; none in one that is a string.
fn listed(content: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(content.get()).unwrap_or_default()
}

fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    serde_json::from_slice(json).ok()
}

//! Joins several upstream turns into one stream: pure, no I/O, no clock.
//!
//! Its guarantees, which tests check: one `message_start`; block indexes without gaps; one
//! `message_delta` with the usage of all turns; one `message_stop`; unchanged parts keep the
//! upstream's bytes.
use memchr::memmem;
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};
use crate::policy::ToolOutput;
use crate::server_tools::citations::{self, Cited, Sources};
use crate::server_tools::face;
use crate::server_tools::hidden::{HiddenBlock, Shape};
use crate::server_tools::reported::Reported;
use crate::server_tools::tool::{Face, ServerTool, ServerToolCall};
use crate::wire::compose::Composer;
use crate::wire::message::{self, Fold};
use crate::wire::required;
use crate::wire::{Document, Event, EventKind, Kind, Step, scan, usage};

/// The counters that clients know in `usage.server_tool_use`.
const COUNTERS: [&str; 2] = ["web_search_requests", "web_fetch_requests"];

/// Rewrites the events of one turn after another.
pub(crate) struct Splice<'a> {
    tools: &'a [ServerTool],
    /// The sources that the current turn may cite.
    sources: Sources,
    /// The current turn as the upstream sends it. The next request is made of it.
    turn: Fold,
    turns: u32,
    /// The message as the caller has received it so far.
    stream: Composer,
    /// The handling of the open block.
    open: Open,
    /// The usage of the earlier turns.
    total: Map<String, Value>,
    /// The members that earlier turns reported at their ends.
    reported: Reported,
    /// The buffered end of this turn: its `message_delta` and all later events.
    ending: Vec<Event>,
    /// The number of runs of each server tool, by the name of its counter in `usage`.
    calls: Map<String, Value>,
}

/// The handling of the events of the open block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    /// The events pass with the same index.
    Same,
    /// The events pass with this index.
    Moved(u64),
    /// The caller does not receive the events.
    Hidden,
}

impl<'a> Splice<'a> {
    /// Creates a splice for a request that may use these tools.
    #[cfg(test)]
    pub(crate) fn new(tools: &'a [ServerTool]) -> Self {
        Self::with_sources(tools, Sources::default())
    }

    /// Creates a splice for a request with sources of its own.
    pub(crate) fn with_sources(tools: &'a [ServerTool], sources: Sources) -> Self {
        Self {
            tools,
            sources,
            turn: Fold::default(),
            turns: 0,
            stream: Composer::new(),
            open: Open::Same,
            total: Map::new(),
            reported: Reported::default(),
            ending: Vec::new(),
            calls: Map::new(),
        }
    }

    /// Takes an event of the upstream and returns the event for the caller, if any.
    ///
    /// Fails with an `api_error` if an event cannot be read or is out of order.
    pub(crate) fn push(&mut self, event: Event) -> Result<Option<Event>> {
        if event.kind != EventKind::Error {
            self.turn.push(&event)?;
        }
        match event.kind {
            EventKind::MessageStart if self.turns > 0 => Ok(None),
            EventKind::MessageStart => {
                self.stream.note(event.kind)?;
                Ok(Some(event))
            }
            EventKind::ContentBlockStart => self.block_start(event),
            EventKind::ContentBlockDelta => match self.with_citation(event)? {
                Some(event) => self.within_block(event),
                None => Ok(None),
            },
            EventKind::ContentBlockStop => {
                let event = self.within_block(event)?;
                self.open = Open::Same;
                Ok(event)
            }
            EventKind::Error => Ok(Some(event)),
            EventKind::MessageDelta | EventKind::MessageStop => {
                self.ending.push(event);
                Ok(None)
            }
            EventKind::Ping | EventKind::Other if !self.ending.is_empty() => {
                self.ending.push(event);
                Ok(None)
            }
            EventKind::Ping => Ok(Some(event)),
            EventKind::Other => self.unknown(event),
        }
    }

    /// Returns whether the turn's message is complete.
    pub(crate) fn is_turn_complete(&self) -> bool {
        self.turn.is_complete()
    }

    /// Returns the gateway's calls at the end of the finished turn; none if the turn ends in
    /// another way.
    pub(crate) fn calls(&self) -> Vec<ServerToolCall> {
        if self.turn.stop_reason() != "tool_use" {
            return Vec::new();
        }
        let blocks = self.turn.blocks.iter().filter(|block| block.kind() == "tool_use");
        blocks
            .filter_map(|block| {
                let tool = self.find(&block.string("name"))?;
                Some(ServerToolCall { id: block.string("id"), tool, input: block.input() })
            })
            .collect()
    }

    /// Returns the first call of the finished turn that the caller has to answer.
    pub(crate) fn callers_call(&self) -> Option<String> {
        let mut blocks = self.turn.blocks.iter().filter(|block| block.kind() == "tool_use");
        let first = blocks.find(|block| self.find(&block.string("name")).is_none());
        first.map(|block| block.string("id"))
    }

    /// Returns the id, in the caller's form, of a call that the caller sees in the finished turn.
    /// Prefers the first call that the caller has to answer, then the first call of the gateway.
    pub(crate) fn seen_call(&self) -> Option<String> {
        let ours = || {
            let calls = self.calls().into_iter().map(|call| (self.tools[call.tool].face, call.id));
            calls.filter(|(face, _)| face.is_shown()).map(|(face, id)| face.id(&id)).next()
        };
        self.callers_call().or_else(ours)
    }

    /// Returns the finished turn, with the results of its calls, for a caller that does not see all
    /// of it. Gateway calls that were not run are left out.
    pub(crate) fn noted(
        &self,
        calls: &[ServerToolCall],
        results: &[bytes::Bytes],
    ) -> Result<Vec<HiddenBlock>> {
        let mut noted = Vec::with_capacity(self.turn.blocks.len() + calls.len());
        for block in &self.turn.blocks {
            let (kind, mut id) = (block.kind(), block.string("id"));
            let tool = if kind == "tool_use" { self.find(&block.string("name")) } else { None };
            let kind = match tool.map(|tool| self.tools[tool].face) {
                Some(Face::Hidden) if calls.is_empty() => continue,
                Some(Face::Hidden) => {
                    noted.push(HiddenBlock::Call(self.sent(block)?));
                    continue;
                }
                Some(face) => {
                    id = face.id(&id);
                    face.call_kind().to_owned()
                }
                None => kind,
            };
            let is_empty = kind == "text" && block.is_empty_text();
            noted.push(HiddenBlock::Shown(Shape { kind, id, is_empty }));
        }
        let results =
            calls.iter().zip(results).map(|(call, result)| match self.tools[call.tool].face {
                Face::Hidden => HiddenBlock::Result(result.clone()),
                face => HiddenBlock::Shown(Shape {
                    kind: face.result_kind().to_owned(),
                    ..Shape::default()
                }),
            });
        noted.extend(results);
        Ok(noted)
    }

    /// Returns the assistant's blocks of the finished turn, as the next request repeats them.
    pub(crate) fn blocks(&self) -> Result<Vec<bytes::Bytes>> {
        let blocks = self.turn.blocks.iter();
        // the API rejects an empty text block, even one that it made itself
        let blocks = blocks.filter(|block| !(block.kind() == "text" && block.is_empty_text()));
        blocks.map(|block| self.sent(block)).collect()
    }

    /// Returns a block as the next request repeats it. A gateway call loses its `caller`, which
    /// only says that the model made the call. The caller's block of the call has no place for that
    /// member, and the same history must give the same bytes for an upstream's prompt cache.
    fn sent(&self, block: &message::FoldedBlock) -> Result<bytes::Bytes> {
        let json = block.json()?;
        if block.kind() != "tool_use" || self.find(&block.string("name")).is_none() {
            return Ok(json);
        }
        let mut call = Document::parse(json)?;
        let caller = Step::Key("caller");
        let kind = call.get(&[caller, Step::Key("type")])?.unwrap_or_default();
        if scan::is_string(&kind, "direct") {
            call.remove(&[caller])?;
        }
        Ok(call.to_bytes())
    }

    /// Counts a call that was run, for `usage`. A hidden call is counted only if the API itself has
    /// its counter.
    pub(crate) fn count(&mut self, call: &ServerToolCall) {
        let tool = &self.tools[call.tool];
        let counter = format!("{}_requests", tool.name);
        if !tool.face.is_shown() && !COUNTERS.contains(&counter.as_str()) {
            return;
        }
        let count = self.calls.get(&counter).and_then(Value::as_u64).unwrap_or_default();
        self.calls.insert(counter, (count + 1).into());
    }

    /// Returns the events that send the result of a call to the caller; none for a hidden tool.
    pub(crate) fn result(
        &mut self,
        call: &ServerToolCall,
        output: &ToolOutput,
    ) -> Result<Vec<Event>> {
        let tool = &self.tools[call.tool];
        if !tool.face.is_shown() {
            return Ok(Vec::new());
        }
        self.stream.block(&face::result_block(tool, call, output)?.to_bytes());
        self.stream.close();
        self.stream.take()
    }

    /// Notes the result that the upstream receives for a call: later turns may cite it.
    pub(crate) fn note_result(
        &mut self,
        call: &ServerToolCall,
        output: &ToolOutput,
        content: &str,
    ) {
        let face = (!output.is_error).then_some(self.tools[call.tool].face);
        self.sources.ours(face, content);
    }

    /// Ends this turn and begins the next.
    pub(crate) fn next_turn(&mut self) -> Result<()> {
        if let Some(container) = self.container() {
            self.reported.container(container);
        }
        let ending = std::mem::take(&mut self.ending);
        self.reported.add(&whole_delta(&ending)?);
        let turn = std::mem::take(&mut self.turn);
        usage::add(&mut self.total, turn.usage());
        self.turns += 1;
        Ok(())
    }

    /// Returns the container of the turn, which lives on one upstream account.
    pub(crate) fn container(&self) -> Option<Value> {
        let container = self.turn.field("container")?;
        let container = serde_json::from_slice::<Value>(&container).ok()?;
        (!container.is_null()).then_some(container)
    }

    /// Returns the last events. `stop_reason` replaces the upstream's if the gateway ends the turn.
    pub(crate) fn finish(&mut self, stop_reason: Option<&str>) -> Result<Vec<Event>> {
        let ending = std::mem::take(&mut self.ending);
        if self.turns == 0 && self.calls.is_empty() && stop_reason.is_none() {
            return Ok(ending);
        }
        let mut data = whole_delta(&ending)?;
        let mut total = std::mem::take(&mut self.total);
        usage::add(&mut total, self.turn.usage());
        count_calls(&mut total, &self.calls);
        // these fields were in `message_start`, and `message_delta` has no place for them
        total
            .retain(|key, value| !value.is_string() && (self.turns > 0 || key != "cache_creation"));
        required::complete_delta(&mut total);
        data.set_value(&[Step::Key("usage")], &total)?;
        self.complete(&mut data)?;
        std::mem::take(&mut self.reported).complete(&mut data)?;
        if let Some(reason) = stop_reason {
            data.set_value(&[Step::Key("delta"), Step::Key("stop_reason")], &reason)?;
        }
        if self.stream.is_inside() {
            // the upstream has left its last block open
            self.stream.close();
        }
        self.stream.end(&data.to_bytes());
        let rest = ending.into_iter().filter(|event| event.kind != EventKind::MessageDelta);
        rest.for_each(|event| self.stream.pass(event));
        self.stream.take()
    }

    /// Adds the required members of `delta`. Values that the upstream sent before its end are kept.
    fn complete(&self, data: &mut Document) -> Result<()> {
        let delta = Step::Key("delta");
        if data.kind(&[delta])? != Some(Kind::Object) {
            return Ok(());
        }
        for field in required::DELTA {
            let path = [delta, Step::Key(field)];
            if data.kind(&path)?.is_none() {
                data.set(
                    &path,
                    self.turn.field(field).unwrap_or(bytes::Bytes::from_static(b"null")),
                )?;
            }
        }
        Ok(())
    }

    fn find(&self, upstream_name: &str) -> Option<usize> {
        self.tools.iter().position(|tool| tool.upstream_name == upstream_name)
    }

    fn block_start(&mut self, event: Event) -> Result<Option<Event>> {
        let Some(block) = self.turn.blocks.last() else { return Ok(Some(event)) };
        let upstream_index = self.turn.blocks.len() as u64 - 1;
        self.open = match self.stream.index() {
            index if index == upstream_index => Open::Same,
            index => Open::Moved(index),
        };
        let tool = match block.kind().as_str() {
            "tool_use" => self.find(&block.string("name")),
            _ => None,
        };
        let Some(tool) = tool.map(|tool| &self.tools[tool]) else {
            let event = self.with_citations(event)?;
            return self.within_block(event);
        };
        if !tool.face.is_shown() {
            self.open = Open::Hidden;
            return Ok(None);
        }
        let mut data = message::data_of(&event)?;
        face::show_call(tool, &mut data, &block.string("id"))?;
        self.within_block(Event::new(EventKind::ContentBlockStart, &data.to_bytes()))
    }

    /// Returns the event for the caller, with its citation rewritten. Returns `None` if the caller
    /// has nothing to cite.
    fn with_citation(&self, event: Event) -> Result<Option<Event>> {
        let may_cite = memmem::find(event.frame(), b"citations_delta").is_some();
        if !may_cite || self.sources.are_the_same() {
            return Ok(Some(event));
        }
        let mut data = message::data_of(&event)?;
        let at = [Step::Key("delta"), Step::Key("citation")];
        let Some(citation) = data.get(&at)? else { return Ok(Some(event)) };
        match self.sources.for_caller(&citation) {
            Cited::Same => Ok(Some(event)),
            Cited::Nothing => Ok(None),
            Cited::As(citation) => {
                data.set(&at, citation)?;
                Ok(Some(Event::new(event.kind, &data.to_bytes())))
            }
        }
    }

    /// Returns the start of a block for the caller, with its list of citations rewritten.
    fn with_citations(&self, event: Event) -> Result<Event> {
        let may_cite = memmem::find(event.frame(), b"_location\"").is_some();
        if !may_cite || self.sources.are_the_same() {
            return Ok(event);
        }
        let mut data = message::data_of(&event)?;
        let at = [Step::Key("content_block"), Step::Key("citations")];
        let list = data.get(&at)?.unwrap_or_default();
        match citations::rewritten(&list, |citation| self.sources.for_caller(citation)) {
            Some(list) => {
                data.set(&at, list)?;
                Ok(Event::new(event.kind, &data.to_bytes()))
            }
            None => Ok(event),
        }
    }

    fn within_block(&mut self, event: Event) -> Result<Option<Event>> {
        if self.open == Open::Hidden {
            return Ok(None);
        }
        self.stream.note(event.kind)?;
        match self.open {
            Open::Same | Open::Hidden => Ok(Some(event)),
            Open::Moved(index) => {
                let mut data = message::data_of(&event)?;
                data.set_value(&[Step::Key("index")], &index)?;
                Ok(Some(Event::new(event.kind, &data.to_bytes())))
            }
        }
    }

    /// Handles an event of an unknown type, or a comment. An event with an index belongs to the
    /// open block.
    fn unknown(&self, event: Event) -> Result<Option<Event>> {
        if self.open == Open::Same {
            return Ok(Some(event));
        }
        let Ok(mut data) = message::data_of(&event) else { return Ok(Some(event)) };
        if !data.has("index") {
            return Ok(Some(event));
        }
        let Open::Moved(index) = self.open else { return Ok(None) };
        data.set_value(&[Step::Key("index")], &index)?;
        // the event's name comes from its type
        let frame = [b"data: ", &data.to_bytes()[..], b"\n\n"].concat();
        Ok(Some(Event::from_frame(frame.into())))
    }
}

/// Returns the `message_delta` of a turn. An upstream may send several: members missing in a later
/// one are taken from an earlier one.
fn whole_delta(ending: &[Event]) -> Result<Document> {
    let mut deltas = ending.iter().rev().filter(|event| event.kind == EventKind::MessageDelta);
    let last = deltas.next().ok_or_else(|| {
        Error::new(ErrorKind::BadUpstream, "the upstream's stream ended without `message_delta`")
    })?;
    let mut whole = message::data_of(last)?;
    for event in deltas {
        let mut earlier = message::data_of(event)?;
        adopt(&mut whole, &mut earlier, &[])?;
        adopt(&mut whole, &mut earlier, &[Step::Key("delta")])?;
    }
    Ok(whole)
}

/// Copies the members of an object that are missing or `null` in `whole`.
fn adopt(whole: &mut Document, earlier: &mut Document, at: &[Step<'_>]) -> Result<()> {
    for key in earlier.keys(at)?.unwrap_or_default() {
        let path = [at, &[Step::Key(&key)]].concat();
        if whole.kind(&path)?.is_none_or(|kind| kind == Kind::Null)
            && let Some(value) = earlier.get(&path)?
        {
            whole.set(&path, value)?;
        }
    }
    Ok(())
}

/// Writes `usage.server_tool_use`, including the two counters that clients require.
fn count_calls(usage: &mut Map<String, Value>, calls: &Map<String, Value>) {
    if calls.is_empty() {
        return;
    }
    let mut counts = match usage.remove("server_tool_use") {
        Some(Value::Object(counts)) => counts,
        _ => Map::new(),
    };
    for key in COUNTERS {
        counts.entry(key).or_insert_with(|| 0.into());
    }
    usage::add(&mut counts, calls);
    usage.insert("server_tool_use".to_owned(), Value::Object(counts));
}

#[cfg(test)]
mod tests;

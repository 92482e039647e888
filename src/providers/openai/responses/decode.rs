//! The parser of Responses: answers and events of a stream, as steps. Indexes and ids of items are optional.
mod ends;
mod known;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use ends::Ending;
use known::{Items, Kind, Place, Source};

use super::search;
use super::thoughts::{Payload, SEPARATOR};
use crate::error::Result;
use crate::providers::openai::members::{arguments, event_error, failure, is_filled, string};
use crate::providers::translate::decode::{Parser, unreadable};
use crate::providers::translate::ops::Op;
use crate::providers::translate::sse::SseEvent;

/// The parser of one answer.
#[derive(Default)]
pub(crate) struct Responses {
    items: Items,
    /// The payload of the last reasoning. It waits for the phase of the message after it.
    payload: Option<Payload>,
    /// The item and the part of the last text.
    last_text: Option<(usize, i64)>,
    refusal: Option<String>,
    searches: u64,
}

/// An event of a stream.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    output_index: Option<&'a RawValue>,
    #[serde(borrow)]
    item_id: Option<&'a RawValue>,
    #[serde(borrow)]
    content_index: Option<&'a RawValue>,
    #[serde(borrow)]
    summary_index: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
    #[serde(borrow)]
    part: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// An item as it is sent.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Item<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    call_id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    phase: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    summary: Option<&'a RawValue>,
    #[serde(borrow)]
    encrypted_content: Option<&'a RawValue>,
}

/// A whole answer.
#[derive(Deserialize)]
struct Whole<'a> {
    #[serde(borrow)]
    output: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// The extent of a text in an event.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// More of it.
    Delta,
    /// All of it: servers that sent no delta send it only so.
    Whole,
}

fn text(raw: Option<&RawValue>) -> String {
    raw.and_then(string).unwrap_or_default().into_owned()
}

fn number(raw: Option<&RawValue>) -> Option<i64> {
    raw.and_then(|raw| raw.get().parse().ok())
}

/// Returns a value of any shape; the default for one of another shape.
fn read<'a, T: Deserialize<'a> + Default>(raw: Option<&'a RawValue>) -> T {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

impl Responses {
    fn take(&mut self, kind: &str, event: &Event<'_>) -> Vec<Op> {
        let id = event.item_id.and_then(string).unwrap_or_default();
        let part = number(event.summary_index).or_else(|| number(event.content_index));
        let place = Place { index: number(event.output_index), id: &id, part };
        let (delta, whole) = (Extent::Delta, Extent::Whole);
        match kind {
            "response.output_item.added" => self.added(place.index, event.item),
            "response.output_item.done" => self.done(place.index, event.item),
            "response.content_part.added" => {
                let part: Value = read(event.part);
                let is_raw = part["type"] == "reasoning_text";
                self.part_begins(place, if is_raw { Kind::Reasoning } else { Kind::Message })
            }
            "response.reasoning_summary_part.added" => self.part_begins(place, Kind::Reasoning),
            "response.output_text.delta" => self.say(place, Source::Text, delta, text(event.delta)),
            "response.output_text.done" => self.say(place, Source::Text, whole, text(event.text)),
            "response.content_part.done" => self.part(place, &read(event.part)),
            "response.refusal.delta" => self.say(place, Source::Refusal, delta, text(event.delta)),
            "response.refusal.done" => self.say(place, Source::Refusal, whole, text(event.refusal)),
            "response.reasoning_summary_text.delta" => {
                self.think(place, Source::Summary, delta, text(event.delta))
            }
            "response.reasoning_summary_text.done" => {
                self.think(place, Source::Summary, whole, text(event.text))
            }
            "response.reasoning_text.delta" => {
                self.think(place, Source::Content, delta, text(event.delta))
            }
            "response.reasoning_text.done" => {
                self.think(place, Source::Content, whole, text(event.text))
            }
            "response.function_call_arguments.delta" => self.args(place, delta, text(event.delta)),
            "response.function_call_arguments.done" => self.args_done(place, event),
            "response.completed"
            | "response.incomplete"
            | "response.failed"
            | "response.cancelled" => self.end(&kind["response.".len()..], event.response),
            _ => event.error.filter(|raw| is_filled(raw)).map(failure).into_iter().collect(),
        }
    }

    /// Takes the beginning of an item.
    fn added(&mut self, index: Option<i64>, raw: Option<&RawValue>) -> Vec<Op> {
        let item: Item<'_> = read(raw);
        let (kind, id) = (Kind::of(&text(item.kind)), text(item.id));
        let Some(at) = self.items.add(Place { index, id: &id, part: None }, kind) else {
            return Vec::new();
        };
        let phase = item.phase.and_then(string).filter(|_| kind == Kind::Message);
        let mut ops = self.release(phase.map(Into::into));
        if kind == Kind::Call {
            ops.push(named(at, &item));
        }
        ops
    }

    /// Takes a whole item: the parts of it that did not come before.
    fn done(&mut self, index: Option<i64>, raw: Option<&RawValue>) -> Vec<Op> {
        let item: Item<'_> = read(raw);
        let (kind, id) = (Kind::of(&text(item.kind)), text(item.id));
        let place = Place { index, id: &id, part: None };
        let at = self.items.at(place, kind);
        if self.items.get(at).is_done {
            return Vec::new();
        }
        let place = Place { index: None, id: "", ..place };
        let ops = match kind {
            Kind::Message => self.message(place, at, &item),
            Kind::Reasoning => self.reasoning(place, at, &item),
            Kind::Call => self.call(at, &item),
            Kind::Search => self.search(&read(raw)),
            Kind::Other => Vec::new(),
        };
        self.items.get(at).is_done = true;
        ops
    }

    fn message(&mut self, place: Place<'_>, at: usize, item: &Item<'_>) -> Vec<Op> {
        let known = self.items.get(at).filled.len();
        let parts: Vec<&RawValue> = read(item.content);
        let mut ops = Vec::new();
        for (n, part) in (0..).zip(parts).skip(known) {
            ops.extend(self.part(Place { part: Some(n), ..place }, &read(Some(part))));
        }
        ops
    }

    fn reasoning(&mut self, place: Place<'_>, at: usize, item: &Item<'_>) -> Vec<Op> {
        let mut ops = Vec::new();
        for (source, list) in [(Source::Summary, item.summary), (Source::Content, item.content)] {
            let known = self.items.get(at).lengths.len();
            let parts: Vec<Value> = read(list);
            for (n, part) in (0..).zip(&parts).skip(known) {
                let text = part["text"].as_str().unwrap_or_default().to_owned();
                let place = Place { part: Some(n), ..place };
                ops.extend(self.think(place, source, Extent::Whole, text));
            }
        }
        let known = self.items.get(at);
        let is_summary = known.source != Some(Source::Content);
        let n = known.lengths.iter().filter(|_| is_summary).map(|(_, length)| *length).collect();
        let is_empty = known.lengths.is_empty();
        let e = text(item.encrypted_content);
        if !(is_empty && e.is_empty()) {
            ops.extend(self.release(None));
            self.payload = Some(Payload { id: text(item.id), e, n, phase: None });
        }
        ops
    }

    fn call(&mut self, at: usize, item: &Item<'_>) -> Vec<Op> {
        let mut ops = self.release(None);
        ops.push(named(at, item));
        if self.items.get(at).filled.is_empty() {
            // a call without arguments has an input all the same
            let json = Some(arguments(item.arguments)).filter(|json| !json.is_empty());
            let json = json.unwrap_or_else(|| "{}".to_owned());
            ops.push(Op::Args { key: at as u64, json });
        }
        ops
    }

    fn search(&mut self, item: &Value) -> Vec<Op> {
        let blocks = search::blocks(item);
        self.searches += u64::from(!blocks.is_empty());
        let mut ops = self.release(None);
        ops.extend(blocks);
        ops
    }

    fn part_begins(&mut self, place: Place<'_>, kind: Kind) -> Vec<Op> {
        if place.part.is_none() {
            let at = self.items.at(place, kind);
            self.items.get(at).begun += 1;
        }
        Vec::new()
    }

    /// Takes a whole part of a message.
    fn part(&mut self, place: Place<'_>, part: &Value) -> Vec<Op> {
        let text = |key: &str| part[key].as_str().unwrap_or_default().to_owned();
        match part["type"].as_str() {
            Some("output_text") => self.say(place, Source::Text, Extent::Whole, text("text")),
            Some("refusal") => self.say(place, Source::Refusal, Extent::Whole, text("refusal")),
            _ => Vec::new(),
        }
    }

    /// Takes text of a message. Each part becomes a block of its own.
    fn say(&mut self, place: Place<'_>, source: Source, extent: Extent, text: String) -> Vec<Op> {
        if text.is_empty() {
            return Vec::new();
        }
        let at = self.items.at(place, Kind::Message);
        let known = self.items.get(at);
        let part = known.part(place);
        let is_first = !known.filled.contains(&part);
        if known.is_done || (extent == Extent::Whole && !is_first) {
            return Vec::new();
        }
        known.filled.insert(part);
        let mut ops = self.release(None);
        if self.last_text.replace((at, part)).is_some_and(|last| last != (at, part)) {
            ops.push(Op::TextEnd);
        }
        if source == Source::Refusal {
            self.refusal.get_or_insert_default().push_str(&text);
        }
        ops.push(Op::Text(text));
        ops
    }

    /// Takes text of reasoning. A blank line separates its parts.
    fn think(&mut self, place: Place<'_>, source: Source, extent: Extent, text: String) -> Vec<Op> {
        if text.is_empty() {
            return Vec::new();
        }
        let at = self.items.at(place, Kind::Reasoning);
        let known = self.items.get(at);
        let part = known.part(place);
        let has_part = known.lengths.iter().any(|(known, _)| *known == part);
        let is_other = known.source.is_some_and(|known| known != source);
        if known.is_done || is_other || (extent == Extent::Whole && has_part) {
            return Vec::new();
        }
        known.source = Some(source);
        let mut shown = text;
        match known.lengths.last_mut() {
            Some((last, length)) if *last == part => *length += shown.len(),
            before => {
                let is_later = before.is_some();
                known.lengths.push((part, shown.len()));
                if is_later {
                    shown.insert_str(0, SEPARATOR);
                }
            }
        }
        let mut ops = self.release(None);
        ops.push(Op::Thinking(shown));
        ops
    }

    fn args(&mut self, place: Place<'_>, extent: Extent, json: String) -> Vec<Op> {
        if json.is_empty() {
            return Vec::new();
        }
        let at = self.items.at(place, Kind::Call);
        let known = self.items.get(at);
        if known.is_done || (extent == Extent::Whole && !known.filled.is_empty()) {
            return Vec::new();
        }
        known.filled.insert(0);
        let mut ops = self.release(None);
        ops.push(Op::Args { key: at as u64, json });
        ops
    }

    fn args_done(&mut self, place: Place<'_>, event: &Event<'_>) -> Vec<Op> {
        let mut ops = Vec::new();
        if let Some(name) = event.name.and_then(string) {
            let at = self.items.at(place, Kind::Call);
            ops.push(Op::Call { key: at as u64, id: None, name: Some(name.into_owned()) });
        }
        ops.extend(self.args(place, Extent::Whole, arguments(event.arguments)));
        ops
    }

    /// Ends the reasoning before this step. `phase` is the one of the message after it.
    fn release(&mut self, phase: Option<String>) -> Vec<Op> {
        let payload = self.payload.take().map(|payload| Payload { phase, ..payload });
        payload.map(|payload| Op::Signature(payload.json())).into_iter().collect()
    }

    /// Ends the answer. A server that sent no items before sends all of them here.
    fn end(&mut self, status: &str, response: Option<&RawValue>) -> Vec<Op> {
        let mut ops = Vec::new();
        if self.items.is_empty() {
            let whole: Option<Whole<'_>> = read(response);
            ops.extend(self.output(whole.and_then(|whole| whole.output).unwrap_or_default()));
        }
        ops.extend(self.release(None));
        let ending: Ending<'_> = read(response);
        ops.extend(ending.steps(self.refusal.take(), self.searches, status));
        ops
    }

    fn output(&mut self, items: Vec<&RawValue>) -> Vec<Op> {
        let mut ops = Vec::new();
        for (n, item) in (0..).zip(items) {
            ops.extend(self.added(Some(n), Some(item)));
            ops.extend(self.done(Some(n), Some(item)));
        }
        ops
    }
}

fn named(at: usize, item: &Item<'_>) -> Op {
    let (id, name) = (item.call_id.and_then(string), item.name.and_then(string));
    let owned = |text: Option<std::borrow::Cow<'_, str>>| text.map(Into::into);
    Op::Call { key: at as u64, id: owned(id), name: owned(name) }
}

impl Parser for Responses {
    fn event(&mut self, event: &SseEvent) -> Result<Vec<Op>> {
        let data = event.data.trim_ascii();
        if data == b"[DONE]" {
            let mut ops = self.release(None);
            ops.push(Op::Done);
            return Ok(ops);
        }
        if event.name == "error" {
            return Ok(ends::failed(&event_error(data)));
        }
        let read = serde_json::from_slice::<Event<'_>>(data).map_err(|e| {
            unreadable("the upstream sent an event that is none of Responses").with_source(e)
        })?;
        let kind = read.kind.and_then(string).filter(|kind| !kind.is_empty());
        let kind = kind.as_deref().unwrap_or(&event.name);
        match kind {
            "error" => Ok(ends::failed(&event_error(data))),
            _ => Ok(self.take(kind, &read)),
        }
    }

    fn whole(&mut self, body: &[u8]) -> Result<Vec<Op>> {
        let answer: &RawValue = serde_json::from_slice(body)
            .map_err(|e| unreadable("the upstream's answer is none of Responses").with_source(e))?;
        let whole: Option<Whole<'_>> = read(Some(answer));
        let is_answer = whole.is_some_and(|whole| {
            let has_error = whole.error.is_some_and(is_filled);
            whole.output.is_some() || whole.status.is_some() || has_error
        });
        match is_answer {
            true => Ok(self.end("completed", Some(answer))),
            false => Err(unreadable("the upstream's answer has no `output`")),
        }
    }
}

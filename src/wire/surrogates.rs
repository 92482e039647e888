//! `Joined`: a stream in which every delta holds whole characters. Some upstreams cut a surrogate pair in
//! two, `\ud83d` and `\ude00`, and the halves are no characters for readers of single deltas.
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::Result;
use crate::wire::{Event, EventKind, EventStream};

/// The length of an escape such as `\ud83d`.
const ESCAPE: usize = 6;

/// Joins the halves of characters. Events without such a half pass unchanged.
pub(crate) struct Joined {
    events: EventStream,
    joiner: Joiner,
    ready: VecDeque<Event>,
}

impl Joined {
    /// Wraps a stream.
    pub(crate) fn new(events: EventStream) -> Self {
        Self { events, joiner: Joiner::default(), ready: VecDeque::new() }
    }
}

impl Stream for Joined {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Event>>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            match ready!(self.events.as_mut().poll_next(cx)) {
                Some(Ok(event)) => self.ready = self.joiner.push(event),
                end => return Poll::Ready(end),
            }
        }
    }
}

/// The halves that wait for the next delta of their block.
#[derive(Default)]
struct Joiner {
    held: Vec<Held>,
}

/// The first half of a character, at the end of a delta.
struct Held {
    index: u64,
    member: &'static str,
    half: [u8; ESCAPE],
}

/// The parts of an event that may hold text.
#[derive(Deserialize)]
struct Shape<'a> {
    index: u64,
    #[serde(borrow, alias = "content_block")]
    delta: Texts<'a>,
}

#[derive(Deserialize)]
struct Texts<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    partial_json: Option<&'a RawValue>,
}

impl<'a> Texts<'a> {
    fn member(&self) -> Option<(&'static str, &'a [u8])> {
        let members =
            [("text", self.text), ("thinking", self.thinking), ("partial_json", self.partial_json)];
        let found = members.into_iter().find_map(|(name, raw)| Some((name, raw?)));
        let (name, raw) = found?;
        Some((name, raw.get().as_bytes().strip_prefix(b"\"")?.strip_suffix(b"\"")?))
    }
}

impl Joiner {
    /// Returns the events for the reader in place of one event of the upstream.
    fn push(&mut self, event: Event) -> VecDeque<Event> {
        let data = event.data_bytes();
        match event.kind {
            EventKind::ContentBlockStart | EventKind::ContentBlockDelta
                if !self.held.is_empty() || may_have_half(&data) =>
            {
                self.text(event, &data)
            }
            EventKind::ContentBlockStop
            | EventKind::MessageDelta
            | EventKind::MessageStop
            | EventKind::Error => {
                let alone = self.held.drain(..).map(|held| held.alone());
                alone.chain([event]).collect()
            }
            _ => [event].into(),
        }
    }

    fn text(&mut self, event: Event, data: &Bytes) -> VecDeque<Event> {
        let shape = serde_json::from_slice::<Shape<'_>>(data).ok();
        let member = shape.and_then(|shape| Some((shape.index, shape.delta.member()?)));
        let Some((index, (member, inner))) = member else { return [event].into() };
        let waits = |held: &Held| held.index == index && held.member == member;
        let before = self.held.iter().position(waits).map(|at| self.held.remove(at));
        let mut text = before.iter().flat_map(|held| held.half).collect::<Vec<u8>>();
        text.extend_from_slice(inner);
        let at = text.len() - last_half(&text);
        let half = text.split_off(at);
        if let Ok(half) = half.try_into() {
            self.held.push(Held { index, member, half });
        }
        if text == inner {
            return [event].into();
        }
        if text.is_empty() && event.kind == EventKind::ContentBlockDelta {
            return VecDeque::new();
        }
        let at = inner.as_ptr() as usize - data.as_ptr() as usize;
        let whole = [&data[..at], &text, &data[at + inner.len()..]].concat();
        [Event::new(event.kind, &whole)].into()
    }
}

impl Held {
    /// Returns a delta with the half: the other one never came.
    fn alone(self) -> Event {
        let Self { index, member, half } = self;
        let half = String::from_utf8_lossy(&half);
        let kind = match member {
            "partial_json" => "input_json_delta",
            "thinking" => "thinking_delta",
            _ => "text_delta",
        };
        let data = format!(
            r#"{{"type":"content_block_delta","index":{index},"delta":{{"type":"{kind}","{member}":"{half}"}}}}"#
        );
        Event::new(EventKind::ContentBlockDelta, data.as_bytes())
    }
}

fn may_have_half(data: &[u8]) -> bool {
    memmem::find(data, br"\ud").is_some() || memmem::find(data, br"\uD").is_some()
}

/// Returns the length of the first half of a character at the end of a JSON string's inside; 0 if the text
/// ends otherwise.
fn last_half(inner: &[u8]) -> usize {
    let mut rest = inner;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        rest = &rest[at..];
        let length = match (half(rest), rest.get(ESCAPE..).and_then(half)) {
            (Some(Half::First), None) if rest.len() == ESCAPE => return ESCAPE,
            (Some(Half::First), Some(Half::Second)) => 2 * ESCAPE,
            (Some(_), _) => ESCAPE,
            (None, _) => 2.min(rest.len()),
        };
        rest = &rest[length..];
    }
    0
}

enum Half {
    First,
    Second,
}

/// Returns which half of a surrogate pair a text begins with.
fn half(text: &[u8]) -> Option<Half> {
    let digits = text.strip_prefix(br"\u")?.get(..4)?;
    match u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()? {
        0xd800..0xdc00 => Some(Half::First),
        0xdc00..0xe000 => Some(Half::Second),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(member: &str, inner: &str) -> Event {
        let data = format!(
            r#"{{"type":"content_block_delta","index":0,"delta":{{"{member}":"{inner}"}}}}"#
        );
        Event::new(EventKind::ContentBlockDelta, data.as_bytes())
    }

    fn stop() -> Event {
        Event::new(EventKind::ContentBlockStop, br#"{"type":"content_block_stop","index":0}"#)
    }

    /// Returns the insides of the texts that a reader of the deltas gets.
    fn texts(events: &[Event]) -> Vec<String> {
        let mut joiner = Joiner::default();
        let out = events.iter().cloned().flat_map(|event| joiner.push(event));
        let inner = |event: Event| {
            let data = String::from_utf8(event.data().into_owned()).unwrap();
            let inner = data.strip_suffix("\"}}").and_then(|data| data.rsplit_once('"'));
            inner.map_or("stop".to_owned(), |(_, inner)| inner.to_owned())
        };
        out.map(inner).collect()
    }

    #[test]
    fn the_halves_of_a_character_are_joined_in_the_second_delta() {
        for member in ["text", "partial_json"] {
            let events = [delta(member, r"a\ud83d"), delta(member, r"\uDE00b"), stop()];
            assert_eq!(texts(&events), ["a", r"\ud83d\uDE00b", "stop"], "{member}");
        }
    }

    #[test]
    fn a_delta_of_one_half_only_waits_for_the_other_half() {
        let events = [delta("text", r"\ud83d"), delta("text", r"\ude00"), stop()];
        assert_eq!(texts(&events), [r"\ud83d\ude00", "stop"]);
    }

    #[test]
    fn a_half_without_its_other_half_stays_as_it_is() {
        let alone = [delta("text", r"a\ud83d"), stop()];
        assert_eq!(texts(&alone), ["a", r"\ud83d", "stop"]);
        let apart = [delta("text", r"\ude00 \ud83dx"), stop()];
        assert_eq!(texts(&apart), [r"\ude00 \ud83dx", "stop"]);
        let followed = [delta("text", r"a\ud83d"), delta("text", "x"), stop()];
        assert_eq!(texts(&followed), ["a", r"\ud83dx", "stop"]);
    }

    #[test]
    fn whole_characters_and_escaped_backslashes_pass_as_the_same_bytes() {
        for inner in [r"\ud83d\ude00", r"\\ud83d", r"a\\\\ud83d", r"\u00e9\n", "plain"] {
            let event = delta("text", inner);
            let mut joiner = Joiner::default();
            assert_eq!(joiner.push(event.clone()), [event], "{inner}");
        }
    }
}

//! The parts that the tests of all parsers share: answers in pieces of any size, the message that a stream
//! describes, and numbers for generated answers.
use bytes::Bytes;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::providers::timed::Decoder;
use crate::providers::translate::decode::{Parser, Translated};
use crate::providers::translate::envelope::Seal;
use crate::providers::translate::machine::Frame;
use crate::providers::translate::names::Names;
use crate::wire::message::Fold;
use crate::wire::{Event, EventKind};

/// Returns the frame of an answer to the alias `alias` from the model `m`.
pub(crate) fn frame(backend: &'static str) -> Frame {
    Frame {
        asked_model: "alias".to_owned(),
        model: "m".to_owned(),
        estimate: 7,
        names: Names::default(),
        stops: Vec::new(),
        seal: Seal::new("up", backend, "key"),
        shows_thinking: true,
    }
}

/// Returns the events of a stream. `text` is the body, sent in pieces of `size` bytes.
pub(crate) fn events_of(
    parser: impl Parser,
    text: &str,
    size: usize,
    frame: Frame,
) -> Result<Vec<Event>, Error> {
    let mut decoder = Translated::new(parser, frame);
    let mut events = Vec::new();
    for piece in text.as_bytes().chunks(size) {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.next_event()? {
            events.push(event);
        }
    }
    while !events.last().is_some_and(|event| event.kind == EventKind::MessageStop) {
        match decoder.finish()? {
            Some(event) => events.push(event),
            None => break,
        }
    }
    Ok(events)
}

/// Returns the message that the events of a stream describe, without its id. Checks the grammar.
pub(crate) fn fold(events: &[Event]) -> Value {
    let mut fold = Fold::default();
    let (mut open, mut next) = (false, 0);
    for event in events {
        let data: Value = serde_json::from_slice(&event.data()).unwrap();
        match event.kind {
            EventKind::ContentBlockStart => {
                assert!(!open && data["index"] == next, "a block begins out of order");
                open = true;
            }
            EventKind::ContentBlockDelta => assert!(open && data["index"] == next),
            EventKind::ContentBlockStop => {
                assert!(open && data["index"] == next);
                (open, next) = (false, next + 1);
            }
            _ => {}
        }
        fold.push(event).unwrap();
    }
    message(&fold.finish().unwrap())
}

/// Returns a message without its id.
pub(crate) fn message(json: &[u8]) -> Value {
    let mut message: Value = serde_json::from_slice(json).unwrap();
    assert!(message["id"].as_str().unwrap().starts_with("msg_"));
    message.as_object_mut().unwrap().remove("id");
    message
}

/// A small generator of numbers, the same in every run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }

    pub(crate) fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

/// Checks that a generated stream is valid or ended in an error of the upstream. Returns whether it is valid.
pub(crate) fn is_valid(text: &str, outcome: Result<Vec<Event>, Error>) -> bool {
    match outcome {
        Ok(events) => {
            assert_eq!(events.first().unwrap().kind, EventKind::MessageStart, "{text}");
            assert_eq!(events.last().unwrap().kind, EventKind::MessageStop, "{text}");
            fold(&events);
            true
        }
        Err(error) => {
            assert!(!error.message.contains("the gateway wrote"), "{}: {text}", error.message);
            false
        }
    }
}

//! Decoders of translated answers: a dialect's parser, and the machine that writes the Messages stream.
use std::collections::VecDeque;

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::providers::timed::Decoder;
use crate::providers::translate::machine::{Frame, Machine};
use crate::providers::translate::ops::Op;
use crate::providers::translate::sse::{SseEvent, SseReader};
use crate::wire::Event;

/// Reads the answers of one dialect. It keeps no grammar: the machine does.
pub(crate) trait Parser: Unpin + Send + 'static {
    /// Returns the steps in one event of a stream.
    ///
    /// Fails if the event cannot be read.
    fn event(&mut self, event: &SseEvent) -> Result<Vec<Op>>;

    /// Returns the steps of a whole answer.
    ///
    /// Fails if the answer is none of this dialect.
    fn whole(&mut self, body: &[u8]) -> Result<Vec<Op>>;
}

/// The decoder of a translated stream.
pub(crate) struct Translated<P> {
    reader: SseReader,
    parser: P,
    machine: Machine,
    ready: VecDeque<Event>,
}

impl<P: Parser> Translated<P> {
    /// Makes the decoder of one answer.
    pub(crate) fn new(parser: P, frame: Frame) -> Self {
        let (reader, ready) = (SseReader::default(), VecDeque::new());
        Self { reader, parser, machine: Machine::new(frame), ready }
    }

    fn take(&mut self, event: &SseEvent) -> Result<()> {
        let ops = self.parser.event(event)?;
        self.ready.extend(self.machine.push(ops)?);
        Ok(())
    }
}

impl<P: Parser> Decoder for Translated<P> {
    const CONTENT_TYPE: &'static str = "text/event-stream";

    fn push(&mut self, data: Bytes) {
        self.reader.push(&data);
    }

    fn next_event(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if self.machine.has_ended() {
                return Ok(None);
            }
            match self.reader.next_event()? {
                None => return Ok(None),
                Some(event) => self.take(&event)?,
            }
        }
    }

    fn finish(&mut self) -> Result<Option<Event>> {
        if self.ready.is_empty() && !self.machine.has_ended() {
            if let Some(event) = self.reader.finish() {
                self.take(&event)?;
            }
            self.ready.extend(self.machine.end()?);
        }
        Ok(self.ready.pop_front())
    }

    const BEGINS_EARLY: bool = true;

    fn silence(&mut self) -> Result<()> {
        self.ready.extend(self.machine.begin_early()?);
        Ok(())
    }
}

/// Returns the message of a whole answer, as JSON.
pub(crate) fn message(parser: &mut impl Parser, body: &[u8], frame: Frame) -> Result<Bytes> {
    Ok(Machine::whole(frame, parser.whole(body)?)?.into())
}

/// Returns the events of a whole answer, for a server that did not stream although it had to.
pub(crate) fn events(parser: &mut impl Parser, body: &[u8], frame: Frame) -> Result<Vec<Event>> {
    let mut machine = Machine::new(frame);
    let mut events = machine.push(parser.whole(body)?)?;
    events.extend(machine.end()?);
    Ok(events)
}

/// Returns the message of a whole stream, for a server that streamed although it must not.
pub(crate) fn folded(parser: &mut impl Parser, body: &[u8], frame: Frame) -> Result<Bytes> {
    let mut reader = SseReader::default();
    reader.push(body);
    let mut ops = Vec::new();
    while let Some(event) = reader.next_event()? {
        ops.extend(parser.event(&event)?);
    }
    if let Some(event) = reader.finish() {
        ops.extend(parser.event(&event)?);
    }
    Ok(Machine::whole(frame, ops)?.into())
}

/// Returns the error of an answer that cannot be read.
pub(crate) fn unreadable(message: &str) -> Error {
    Error::new(ErrorKind::BadUpstream, message)
}

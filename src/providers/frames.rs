//! The decoder for an upstream that streams the Messages API itself: it cuts the SSE frames and
//! passes them on unchanged.
use bytes::{Bytes, BytesMut};

use crate::error::Result;
use crate::providers::timed::Decoder;
use crate::wire::sse::Cutter;
use crate::wire::{Event, EventKind};

/// Cuts frames. A frame is an event.
#[derive(Default)]
pub(super) struct Frames(Cutter);

impl Decoder for Frames {
    const CONTENT_TYPE: &'static str = "text/event-stream";

    fn push(&mut self, data: Bytes) {
        self.0.push(data);
    }

    fn next_event(&mut self) -> Result<Option<Event>> {
        Ok(self.0.next_frame()?.map(Event::from_frame))
    }

    /// Returns the last event of servers that leave out the last blank line.
    fn finish(&mut self) -> Result<Option<Event>> {
        Ok(last_event(&std::mem::take(&mut self.0).finish()))
    }
}

/// Returns the event of a last frame without its blank line, if its data is complete.
fn last_event(rest: &Bytes) -> Option<Event> {
    let mut frame = BytesMut::from(&rest[..]);
    frame.extend_from_slice(if rest.ends_with(b"\n") { b"\n" } else { b"\n\n" });
    let event = Event::from_frame(frame.freeze());
    let is_last = matches!(event.kind, EventKind::MessageStop | EventKind::Error);
    let is_whole = serde_json::from_slice::<serde::de::IgnoredAny>(&event.data()).is_ok();
    (is_last && is_whole).then_some(event)
}

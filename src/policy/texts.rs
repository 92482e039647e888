//! `Texts`: the text of one stream that one stage buffers for its `on_text`.
use std::borrow::Cow;
use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::policy::ahead::{self, Checked};
use crate::policy::blocks::{self, unreadable};
use crate::policy::script::Decision;
use crate::policy::stage::{Settled, Stage};
use crate::policy::window::{Window, Windows};
use crate::policy::{Hook, Outcome, Passage, Verdict};
use crate::wire::compose;
use crate::wire::message;
use crate::wire::{Document, Event, EventKind, Kind, Step};

/// The text of a stream on its way through one stage.
pub(super) struct Texts {
    /// The index of the stage in the pipeline.
    stage: usize,
    windows: Windows,
    /// The index of the content block whose text is buffered.
    index: u64,
    /// Other deltas of the block, each with the bytes of buffered text before it.
    others: VecDeque<(usize, Event)>,
}

/// The text that may be sent.
struct Released {
    text: String,
    /// It is all of the text that has just arrived, and nothing more.
    is_as_arrived: bool,
}

impl Texts {
    /// Returns the buffer of stage `n`.
    pub(super) fn new(n: usize, stage: &Stage) -> Self {
        let windows = Windows::new(stage.windows());
        Self { stage: n, windows, index: 0, others: VecDeque::new() }
    }

    /// Returns whether text is buffered.
    pub(super) fn is_holding(&self) -> bool {
        self.windows.is_holding()
    }

    /// Returns the events that the stage makes of one event.
    pub(super) fn push(&mut self, passage: &Passage, event: Event) -> Result<Vec<Event>> {
        match event.kind {
            // an event that belongs to no block may overtake the text
            EventKind::Ping | EventKind::Other => Ok(vec![event]),
            EventKind::MessageStart => self.message(passage, event).map(|event| vec![event]),
            EventKind::ContentBlockStart => self.block(passage, event),
            EventKind::ContentBlockDelta => self.delta(passage, event),
            _ => self.after_flush(passage, event),
        }
    }

    /// Releases all buffered text.
    pub(super) fn flush(&mut self, passage: &Passage) -> Result<Vec<Event>> {
        let all = self.windows.held().len();
        let window = Window { release: all, seen: all, is_full: true };
        let released = if all > 0 { self.show(passage, window, "")? } else { None };
        Ok(self.sent(released))
    }

    fn after_flush(&mut self, passage: &Passage, event: Event) -> Result<Vec<Event>> {
        let mut events = self.flush(passage)?;
        events.push(event);
        Ok(events)
    }

    fn delta(&mut self, passage: &Passage, event: Event) -> Result<Vec<Event>> {
        let (index, text) = match Delta::of(&event) {
            Delta::Text(index, text) => (index, text),
            Delta::Unreadable => return Err(self.refusal(passage)),
            Delta::Other(index) if self.is_holding() && index == Some(self.index) => {
                self.others.push_back((self.windows.held().len(), event));
                return Ok(Vec::new());
            }
            Delta::Other(_) => return self.after_flush(passage, event),
        };
        let mut events = if index == self.index { Vec::new() } else { self.flush(passage)? };
        self.index = index;
        match self.add(passage, &text)? {
            Some(released) if released.is_as_arrived => events.push(event),
            released => events.extend(self.sent(released)),
        }
        Ok(events)
    }

    /// Passes the text with which a block starts through the windows, like that of a delta.
    fn block(&mut self, passage: &Passage, event: Event) -> Result<Vec<Event>> {
        let mut events = self.flush(passage)?;
        let started = message::data_of(&event).and_then(|mut data| {
            let index: Option<u64> = number(&data, "index");
            let text = blocks::text_at(&mut data, vec![Step::Key("content_block")])?;
            Ok((data, index.unwrap_or_default(), text))
        });
        let (mut data, index, text) = started.map_err(|_| self.refusal(passage))?;
        let Some((place, text)) = text else {
            events.push(event);
            return Ok(events);
        };
        self.index = index;
        let released = self.add(passage, &text)?;
        if released.as_ref().is_some_and(|released| released.is_as_arrived) {
            events.push(event);
            return Ok(events);
        }
        data.set_value(&place, &"")?;
        events.push(Event::new(EventKind::ContentBlockStart, &data.to_bytes()));
        events.extend(self.sent(released));
        Ok(events)
    }

    /// Passes the texts that a message starts with: whole blocks, which most messages do not have there.
    fn message(&self, passage: &Passage, event: Event) -> Result<Event> {
        const PLACE: [Step<'_>; 1] = [Step::Key("message")];
        const CONTENT: [Step<'_>; 2] = [Step::Key("message"), Step::Key("content")];
        let stage = self.stage(passage);
        let Some((script, call)) = stage.script(passage.facts()) else { return Ok(event) };
        // without content there is nothing to run the hook for
        let is_bare = message::data_of(&event).is_ok_and(|mut data| {
            let blocks = data.len(&CONTENT).ok().flatten();
            let kind = data.kind(&CONTENT).ok().flatten();
            kind.is_none_or(|kind| kind == Kind::Array) && blocks.is_none_or(|blocks| blocks == 0)
        });
        if is_bare {
            return Ok(event);
        }
        let work = || blocks::edit(script, &call, message::data_of(&event)?, &PLACE);
        let settled = stage.guard_now(Hook::Text, passage.facts(), stage.spare(|| ()), work)?;
        let Settled::Done((data, Outcome { verdict, wishes, .. }), _) = settled else {
            return Ok(event);
        };
        passage.keep(wishes);
        if let Verdict::Deny(error) = verdict {
            stage.note_denial(Hook::Text, &passage.ctx);
            return Err(*error);
        }
        if !data.is_edited() {
            return Ok(event);
        }
        stage.note_edit(Hook::Text, &passage.ctx);
        let changed = Event::new(EventKind::MessageStart, &data.to_bytes());
        stage.note_piece(Hook::Text, &passage.ctx, || {
            [&event, &changed].map(|event| String::from_utf8_lossy(&event.data()).into_owned())
        });
        Ok(changed)
    }

    /// Adds text, and releases the window that is ready.
    fn add(&mut self, passage: &Passage, text: &str) -> Result<Option<Released>> {
        self.windows.push(text);
        match self.windows.ready() {
            Some(window) => self.show(passage, window, text),
            // an empty text needs no window
            None if text.is_empty() && !self.is_holding() => {
                Ok(Some(Released { text: String::new(), is_as_arrived: true }))
            }
            None => Ok(None),
        }
    }

    /// Runs `on_text` over a window. `arrived` is the text that has just arrived.
    fn show(
        &mut self,
        passage: &Passage,
        window: Window,
        arrived: &str,
    ) -> Result<Option<Released>> {
        let stage = self.stage(passage);
        let Some((script, call)) = stage.script(passage.facts()) else {
            return Ok(Some(self.release(window.release, None, arrived)));
        };
        let work = || ahead::show(script, &call, self.windows.held(), window);
        let spare = stage.spare(|| ());
        let (bytes, changed, decision) =
            match stage.guard_now(Hook::Text, passage.facts(), spare, work)? {
                Settled::Done(Checked::Held, _) => {
                    self.windows.hold(window);
                    return Ok(None);
                }
                Settled::Done(Checked::Released { bytes, changed, decision, wishes }, _) => {
                    passage.keep(wishes);
                    (bytes, changed, decision)
                }
                Settled::Skipped(()) => (window.release, None, Decision::Continue),
            };
        if let Some(changed) = &changed {
            stage.note_edit(Hook::Text, &passage.ctx);
            let held = self.windows.held();
            stage.note_piece(Hook::Text, &passage.ctx, || {
                [held[..bytes].to_owned(), changed.clone()]
            });
        }
        if let Decision::Deny(error) = decision {
            stage.note_denial(Hook::Text, &passage.ctx);
            return Err(*error);
        }
        Ok(Some(self.release(bytes, changed, arrived)))
    }

    fn release(&mut self, bytes: usize, changed: Option<String>, arrived: &str) -> Released {
        let window = self.windows.take(bytes);
        let is_as_arrived = changed.is_none() && window == arrived;
        let text = changed.unwrap_or(window);
        for (before, _) in &mut self.others {
            *before = before.saturating_sub(bytes);
        }
        Released { text, is_as_arrived }
    }

    /// Returns the delta of a released text, and the other deltas that waited for it.
    fn sent(&mut self, released: Option<Released>) -> Vec<Event> {
        let mut events = Vec::new();
        let text = released.map(|released| released.text).filter(|text| !text.is_empty());
        events.extend(text.map(|text| compose::text_delta(self.index, &text)));
        while let Some((_, event)) = self.others.pop_front_if(|(before, _)| *before == 0) {
            events.push(event);
        }
        events
    }

    /// Returns the error of a text that the stage cannot be given: the upstream's fault, so that even a stage
    /// that may be skipped does not let it pass.
    fn refusal(&self, passage: &Passage) -> Error {
        let stage = self.stage(passage);
        let broken = || Err::<(), _>(unreadable());
        let refused = stage.guard_now(Hook::Text, passage.facts(), stage.spare(|| ()), broken);
        refused.err().unwrap_or_else(unreadable)
    }

    fn stage<'a>(&self, passage: &'a Passage) -> &'a Stage {
        &passage.pipeline.stages[self.stage]
    }
}

/// A `content_block_delta`, as far as text is concerned.
enum Delta {
    /// The index of the block and its text.
    Text(u64, String),
    /// A delta of another type, with the index of the block.
    Other(Option<u64>),
    /// A text that cannot be read, or a delta that may be one.
    Unreadable,
}

impl Delta {
    fn of(event: &Event) -> Self {
        #[derive(Deserialize)]
        struct Inner<'a> {
            #[serde(borrow, rename = "type")]
            kind: Cow<'a, str>,
            #[serde(borrow)]
            text: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Data<'a> {
            index: u64,
            #[serde(borrow)]
            delta: Inner<'a>,
        }
        let data = event.data();
        let Ok(Data { index, delta }) = serde_json::from_slice::<Data<'_>>(&data) else {
            return Self::of_other_type(event);
        };
        if delta.kind != "text_delta" {
            return Self::Other(Some(index));
        }
        let text = delta.text.and_then(|text| serde_json::from_str(text.get()).ok());
        text.map_or(Self::Unreadable, |text| Self::Text(index, text))
    }
}

impl Delta {
    /// Returns the delta of an event without the usual members.
    fn of_other_type(event: &Event) -> Self {
        const KIND: [Step<'_>; 2] = [Step::Key("delta"), Step::Key("type")];
        let kind = message::data_of(event).and_then(|mut data| data.get(&KIND));
        let kind = kind.ok().flatten().unwrap_or_default();
        match serde_json::from_slice::<String>(&kind) {
            Ok(kind) if kind != "text_delta" => Self::Other(None),
            _ => Self::Unreadable,
        }
    }
}

fn number(document: &Document, field: &str) -> Option<u64> {
    serde_json::from_slice(&document.field(field)?).ok()
}

//! `Filter`: one stage over the events of one stream. It edits or drops events and buffers text.
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::policy::script::{Decision, Done};
use crate::policy::stage::{Settled, Stage};
use crate::policy::window::Windows;
use crate::policy::{Hook, Passage};
use crate::wire::{Document, Event, EventKind, Step};
use crate::wire::{compose, message};

/// The longest time that text is buffered before whole words are released. The last word is released
/// after the same time again.
const PATIENCE: Duration = Duration::from_millis(500);

/// One stage over the events of one stream.
pub(super) struct Filter {
    /// The index of the stage in the pipeline.
    stage: usize,
    has_event: bool,
    /// `on_event` failed and is skipped for the rest of the stream. Events that it dropped stay dropped.
    is_broken: bool,
    text: Option<Text>,
    /// The index of the content block that the stage dropped, until the block ends.
    dropped: Option<u64>,
    /// The number of blocks that the stage dropped. Later blocks get lower indexes.
    removed: u64,
}

/// The text that is buffered for `on_text`.
#[derive(Default)]
struct Text {
    windows: Windows,
    index: u64,
    since: Option<Instant>,
}

/// The result of `on_event` for one event.
enum EventEdit {
    Kept(Event),
    Dropped,
    Denied(Box<Error>),
}

impl Filter {
    /// Returns the filter of stage `n` if the stage has `on_event` or `on_text`.
    pub(super) fn new(n: usize, stage: &Stage, passage: &Passage) -> Option<Self> {
        let has_event = stage.is_for(Hook::Event, &passage.ctx);
        let text = stage.is_for(Hook::Text, &passage.ctx).then(Text::default);
        (has_event || text.is_some()).then_some(Self {
            stage: n,
            has_event,
            is_broken: false,
            text,
            dropped: None,
            removed: 0,
        })
    }

    /// Returns the time at which buffered text must be released.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.text.as_ref()?.since.map(|since| since + PATIENCE)
    }

    /// Returns the events that the stage makes of one event.
    pub(super) fn push(&mut self, passage: &Passage, event: Event) -> Result<Vec<Event>> {
        let event = match self.has_event {
            true => self.on_event(passage, event)?,
            false => Some(event),
        };
        let Some(event) = event else { return Ok(Vec::new()) };
        if self.text.is_none() {
            return Ok(vec![event]);
        }
        self.texts(passage, event)
    }

    fn on_event(&mut self, passage: &Passage, event: Event) -> Result<Option<Event>> {
        // a comment, or an unknown event that is no JSON object
        let Ok(document) = Document::parse(event.data_bytes()) else { return Ok(Some(event)) };
        let index = number(&document, "index");
        if index.is_some() && index == self.dropped {
            if event.kind == EventKind::ContentBlockStop {
                self.dropped = None;
            }
            return Ok(None);
        }
        if self.is_broken {
            return self.moved(event, index).map(Some);
        }
        let stage = &passage.pipeline.stages[self.stage];
        let Some((script, call)) = stage.script(passage.facts()) else {
            return Ok(Some(event));
        };
        let before = event.clone();
        let work = || {
            let done = script.run(Hook::Event, &call, document)?;
            let wishes = done.asked.wishes.clone();
            let edit = checked_edit(before, done).map_err(|message| {
                Error::new(ErrorKind::Api, format!("stage `{}` {message}", stage.name()))
            })?;
            passage.keep(wishes);
            Ok(edit)
        };
        let spare = stage.spare(|| ());
        let event = match stage.guard_now(Hook::Event, passage.facts(), spare, work)? {
            Settled::Done(EventEdit::Kept(kept), _) => {
                if kept.frame() != event.frame() {
                    stage.note_edit(Hook::Event, &passage.ctx);
                }
                kept
            }
            Settled::Done(EventEdit::Denied(error), _) => {
                stage.note_denial(Hook::Event, &passage.ctx);
                return Err(*error);
            }
            Settled::Done(EventEdit::Dropped, _) => {
                stage.note_edit(Hook::Event, &passage.ctx);
                if event.kind == EventKind::ContentBlockStart {
                    self.dropped = index;
                    self.removed += 1;
                }
                return Ok(None);
            }
            Settled::Skipped(()) => {
                self.is_broken = true;
                event
            }
        };
        self.moved(event, index).map(Some)
    }

    /// Renumbers the event's block: block indexes must have no gaps.
    fn moved(&self, event: Event, index: Option<u64>) -> Result<Event> {
        let (Some(index), true) = (index, self.removed > 0) else { return Ok(event) };
        let mut data = message::data_of(&event)?;
        data.set_value(&[Step::Key("index")], &index.saturating_sub(self.removed))?;
        Ok(remade(event.kind, &data))
    }

    fn texts(&mut self, passage: &Passage, event: Event) -> Result<Vec<Event>> {
        let Some((index, piece)) = text_delta(&event) else {
            if event.kind == EventKind::ContentBlockDelta
                && delta_type(&event).is_none_or(|kind| kind == "text_delta")
            {
                let stage = &passage.pipeline.stages[self.stage];
                let broken = || Err::<(), _>(unreadable());
                stage.guard_now(Hook::Text, passage.facts(), stage.spare(|| ()), broken)?;
            }
            // an event that belongs to no block may overtake the text
            if matches!(event.kind, EventKind::Ping | EventKind::Other) {
                return Ok(vec![event]);
            }
            let mut events = self.flush(passage)?;
            events.push(event);
            return Ok(events);
        };
        let Some(text) = &mut self.text else { return Ok(vec![event]) };
        text.index = index;
        let window = text.windows.push(&piece);
        text.since = match (&window, text.since) {
            _ if !text.windows.is_holding() => None,
            (None, Some(since)) => Some(since),
            _ => Some(Instant::now()),
        };
        let Some(window) = window else { return Ok(Vec::new()) };
        match self.changed(passage, &window)? {
            // nothing was buffered or changed: send the original bytes
            None if window == piece => Ok(vec![event]),
            changed => Ok(self.say(&changed.unwrap_or(window))),
        }
    }

    /// Releases the text that has waited long enough.
    pub(super) fn late(&mut self, passage: &Passage) -> Result<Vec<Event>> {
        let Some(text) = &mut self.text else { return Ok(Vec::new()) };
        let window = text.windows.late();
        text.since = text.windows.is_holding().then(Instant::now);
        self.hand_on(passage, window)
    }

    /// Releases all buffered text.
    pub(super) fn flush(&mut self, passage: &Passage) -> Result<Vec<Event>> {
        let Some(text) = &mut self.text else { return Ok(Vec::new()) };
        let window = text.windows.rest();
        text.since = None;
        self.hand_on(passage, window)
    }

    fn hand_on(&mut self, passage: &Passage, window: Option<String>) -> Result<Vec<Event>> {
        let Some(window) = window else { return Ok(Vec::new()) };
        let changed = self.changed(passage, &window)?;
        Ok(self.say(&changed.unwrap_or(window)))
    }

    /// Returns the replacement that `on_text` gives for the text.
    fn changed(&mut self, passage: &Passage, window: &str) -> Result<Option<String>> {
        let stage = &passage.pipeline.stages[self.stage];
        let Some((script, call)) = stage.script(passage.facts()) else {
            return Ok(None);
        };
        let spare = stage.spare(|| ());
        let work = || script.on_text(&call, window);
        match stage.guard_now(Hook::Text, passage.facts(), spare, work)? {
            Settled::Done((changed, decision, asked), _) => {
                passage.keep(asked.wishes);
                if changed.is_some() {
                    stage.note_edit(Hook::Text, &passage.ctx);
                }
                match decision {
                    Decision::Deny(error) => {
                        stage.note_denial(Hook::Text, &passage.ctx);
                        Err(*error)
                    }
                    _ => Ok(changed),
                }
            }
            Settled::Skipped(()) => Ok(None),
        }
    }

    fn say(&self, text: &str) -> Vec<Event> {
        if text.is_empty() {
            return Vec::new();
        }
        let index = self.text.as_ref().map_or(0, |text| text.index);
        vec![compose::text_delta(index, text)]
    }
}

/// Checks the event that a script leaves. A script cannot break the order of a stream, or a signature.
fn checked_edit(before: Event, done: Done) -> Result<EventEdit, String> {
    let Done { document: mut after, decision, .. } = done;
    match decision {
        Decision::Deny(error) => return Ok(EventEdit::Denied(error)),
        Decision::Drop if may_be_dropped(&before) => return Ok(EventEdit::Dropped),
        Decision::Drop => {
            return Err(format!(
                "dropped a `{}` event: only pings, text and tool input deltas, and whole blocks (by their `content_block_start`) can be dropped",
                before.kind.as_str()
            ));
        }
        Decision::Continue | Decision::Respond(_) => {}
    }
    if !after.is_edited() {
        return Ok(EventEdit::Kept(before));
    }
    let mut original = Document::parse(before.data_bytes()).map_err(|e| e.message)?;
    for field in ["type", "index"] {
        if original.field(field) != after.field(field) {
            return Err(format!(
                "changed `{field}` of an event: it must stay the same, since it holds the stream together"
            ));
        }
    }
    let delta = [Step::Key("delta")];
    let both = (original.get(&delta).ok().flatten(), after.get(&delta).ok().flatten());
    if is_signed(&before) && both.0 != both.1 {
        return Err("changed a thinking block: its signature would become invalid".to_owned());
    }
    Ok(EventEdit::Kept(remade(before.kind, &after)))
}

/// Returns an event with new data. An unknown event gets its name from the data's `type`.
fn remade(kind: EventKind, data: &Document) -> Event {
    if kind != EventKind::Other {
        return Event::new(kind, &data.to_bytes());
    }
    let frame = [b"data: ", &data.to_bytes()[..], b"\n\n"].concat();
    Event::from_frame(frame.into())
}

fn may_be_dropped(event: &Event) -> bool {
    match event.kind {
        EventKind::Ping | EventKind::Other | EventKind::ContentBlockStart => true,
        EventKind::ContentBlockDelta => !is_signed(event),
        _ => false,
    }
}

/// Returns whether the event is part of a thinking block: the upstream signs these blocks.
fn is_signed(event: &Event) -> bool {
    let kind = delta_type(event).unwrap_or_default();
    matches!(kind.as_str(), "thinking_delta" | "signature_delta")
}

fn delta_type(event: &Event) -> Option<String> {
    if event.kind != EventKind::ContentBlockDelta {
        return None;
    }
    let mut data = message::data_of(event).ok()?;
    let kind = data.get(&[Step::Key("delta"), Step::Key("type")]).ok()??;
    serde_json::from_slice(&kind).ok()
}

/// Returns the block index and the text of a `text_delta`.
fn text_delta(event: &Event) -> Option<(u64, String)> {
    #[derive(serde::Deserialize)]
    struct Delta {
        #[serde(rename = "type")]
        kind: String,
        text: Option<String>,
    }
    #[derive(serde::Deserialize)]
    struct Data {
        index: u64,
        delta: Delta,
    }
    if event.kind != EventKind::ContentBlockDelta {
        return None;
    }
    let data: Data = serde_json::from_slice(&event.data()).ok()?;
    (data.delta.kind == "text_delta").then_some((data.index, data.delta.text?))
}

/// Returns the error for text that a script cannot be given: such text must not pass unchecked.
pub(super) fn unreadable() -> Error {
    let message =
        "a text of the answer has an invalid escape (no character), so `on_text` cannot read it";
    Error::new(ErrorKind::Api, message)
}

fn number(document: &Document, field: &str) -> Option<u64> {
    serde_json::from_slice(&document.field(field)?).ok()
}

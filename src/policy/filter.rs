//! `Filter`: one stage over the events of one stream. It edits or drops events, and passes on their text.
use crate::error::{Error, ErrorKind, Result};
use crate::policy::script::{Decision, Done};
use crate::policy::stage::{Settled, Stage};
use crate::policy::texts::Texts;
use crate::policy::{Hook, Passage};
use crate::wire::message;
use crate::wire::{Document, Event, EventKind, Step};

/// One stage over the events of one stream.
pub(super) struct Filter {
    /// The index of the stage in the pipeline.
    stage: usize,
    has_event: bool,
    /// `on_event` failed and is skipped for the rest of the stream. Events that it dropped stay dropped.
    is_broken: bool,
    /// The text for `on_text`, if the stage has that hook.
    texts: Option<Texts>,
    /// The index of the content block that the stage dropped, until the block ends.
    dropped: Option<u64>,
    /// The number of blocks that the stage dropped. Later blocks get lower indexes.
    removed: u64,
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
        let texts = stage.is_for(Hook::Text, &passage.ctx).then(|| Texts::new(n, stage));
        (has_event || texts.is_some()).then_some(Self {
            stage: n,
            has_event,
            is_broken: false,
            texts,
            dropped: None,
            removed: 0,
        })
    }

    /// Returns whether text is buffered.
    pub(super) fn is_holding(&self) -> bool {
        self.texts.as_ref().is_some_and(Texts::is_holding)
    }

    /// Returns the events that the stage makes of one event.
    pub(super) fn push(&mut self, passage: &Passage, event: Event) -> Result<Vec<Event>> {
        let event = match self.has_event {
            true => self.on_event(passage, event)?,
            false => Some(event),
        };
        match (event, &mut self.texts) {
            (Some(event), Some(texts)) => texts.push(passage, event),
            (event, _) => Ok(event.into_iter().collect()),
        }
    }

    /// Releases all buffered text.
    pub(super) fn flush(&mut self, passage: &Passage) -> Result<Vec<Event>> {
        match &mut self.texts {
            Some(texts) => texts.flush(passage),
            None => Ok(Vec::new()),
        }
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
            let wishes = done.effects.wishes.clone();
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
                    stage.note_piece(Hook::Event, &passage.ctx, || [text(&event), text(&kept)]);
                }
                kept
            }
            Settled::Done(EventEdit::Denied(error), _) => {
                stage.note_denial(Hook::Event, &passage.ctx);
                return Err(*error);
            }
            Settled::Done(EventEdit::Dropped, _) => {
                stage.note_edit(Hook::Event, &passage.ctx);
                stage.note_piece(Hook::Event, &passage.ctx, || [text(&event), String::new()]);
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
}

/// Returns the data of an event as text.
fn text(event: &Event) -> String {
    String::from_utf8_lossy(&event.data()).into_owned()
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

fn number(document: &Document, field: &str) -> Option<u64> {
    serde_json::from_slice(&document.field(field)?).ok()
}

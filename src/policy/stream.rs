//! The stream of an answer on its way through the stages: `on_event`, `on_text`, `on_response`.
use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::error::{Error, Result};
use crate::policy::filter::Filter;
use crate::policy::{Hook, Passage};
use crate::wire::message::{self, Fold};
use crate::wire::surrogates::Joined;
use crate::wire::{Document, Event, EventKind, EventStream, Step};

/// Returns the stream after all stages of this request; the same stream if no stage has a hook for it.
pub(super) fn through(passage: &Arc<Passage>, events: EventStream) -> EventStream {
    const HOOKS: &[Hook] = &[Hook::Event, Hook::Text, Hook::Response, Hook::Error];
    if !passage.pipeline.hooks.has_any(HOOKS) {
        return events;
    }
    let filters = passage.pipeline.stages.iter().enumerate();
    let filters = filters.filter_map(|(n, stage)| Filter::new(n, stage, passage)).collect();
    let fold = passage.stages(Hook::Response).next().map(|_| Fold::default());
    let way = Way {
        passage: Arc::clone(passage),
        // scripts read each delta by itself
        events: Some(Box::pin(Joined::new(events))),
        filters,
        fold,
        ready: VecDeque::new(),
        last: None,
        quiet_since: Instant::now(),
        has_run_late: false,
    };
    let events = futures_util::stream::unfold(Box::new(way), async |mut way| {
        let event = way.next().await?;
        Some((event, way))
    });
    Box::pin(events)
}

/// A stream that is being sent.
struct Way {
    passage: Arc<Passage>,
    /// The events of the upstream; `None` after the end.
    events: Option<EventStream>,
    filters: Vec<Filter>,
    /// The message so far, if a stage has `on_response`.
    fold: Option<Fold>,
    /// The events that are ready to be sent.
    ready: VecDeque<Event>,
    /// The error that is sent after the ready events.
    last: Option<Error>,
    /// The arrival of the last event that belongs to the message.
    quiet_since: Instant,
    /// Text was released because of silence, and this is in the log.
    has_run_late: bool,
}

impl Way {
    async fn next(&mut self) -> Option<Result<Event>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if let Some(error) = self.last.take() {
                return Some(Err(self.passage.on_error(error)));
            }
            let deadline = self.deadline();
            let events = self.events.as_mut()?;
            let arrived = match deadline {
                None => Some(events.next().await),
                Some(deadline) => timeout_at(deadline, events.next()).await.ok(),
            };
            let made = match arrived {
                None => self.late(),
                Some(Some(Ok(event))) => {
                    self.note_arrival(event.kind);
                    self.pass(0, Made::of(vec![event]))
                }
                Some(ended) => {
                    self.events = None;
                    self.last = ended.and_then(Result::err);
                    self.rest()
                }
            };
            self.send(made).await;
        }
    }

    /// Passes the events of earlier stages through the stages from index `from`. If an earlier stage ended
    /// the stream, later stages still release their buffered text: earlier stages let it pass.
    fn pass(&mut self, from: usize, made: Made) -> Made {
        let mut made = made;
        for filter in &mut self.filters[from..] {
            let ended = made.end.take();
            let mut passed = made.events.into_iter().try_fold(Vec::new(), |mut passed, event| {
                match filter.push(&self.passage, event) {
                    Ok(events) => passed.extend(events),
                    Err(error) => return Err((passed, error)),
                }
                Ok(passed)
            });
            if ended.is_some()
                && let Ok(before) = &mut passed
            {
                match filter.flush(&self.passage) {
                    Ok(events) => before.extend(events),
                    Err(error) => passed = Err((std::mem::take(before), error)),
                }
            }
            made = match passed {
                Ok(events) => Made { events, end: ended },
                // this stage ended at an event before the one at which the earlier stage ended
                Err((events, error)) => Made { events, end: Some(error) },
            };
        }
        made
    }

    /// Notes that the silence ended. Upstreams send pings in silence, too.
    fn note_arrival(&mut self, kind: EventKind) {
        if !matches!(kind, EventKind::Ping | EventKind::Other) {
            self.quiet_since = Instant::now();
        }
    }

    /// Returns the time at which buffered text is released, although its window has not ended.
    fn deadline(&self) -> Option<Instant> {
        let is_holding = self.filters.iter().any(Filter::is_holding);
        is_holding.then(|| self.quiet_since + self.passage.pipeline.text_timeout)
    }

    /// Flushes all text after a long silence, and logs the first time.
    fn late(&mut self) -> Made {
        if !std::mem::replace(&mut self.has_run_late, true) {
            let silence = self.passage.pipeline.text_timeout;
            let request_id = &*self.passage.ctx.request_id;
            tracing::warn!(
                request_id,
                ?silence,
                "no new text within `policies.text_timeout`: `on_text` runs over unfinished text, and may miss a match"
            );
        }
        self.rest()
    }

    /// Flushes all text.
    fn rest(&mut self) -> Made {
        self.each(Filter::flush)
    }

    fn each(&mut self, act: impl Fn(&mut Filter, &Passage) -> Result<Vec<Event>>) -> Made {
        let mut all = Made::default();
        for n in 0..self.filters.len() {
            let made = match act(&mut self.filters[n], &self.passage) {
                Ok(events) => Made::of(events),
                Err(error) => Made { events: Vec::new(), end: Some(error) },
            };
            let made = self.pass(n + 1, made);
            all.events.extend(made.events);
            if made.end.is_some() {
                return Made { end: made.end, ..all };
            }
        }
        all
    }

    async fn send(&mut self, made: Made) {
        for event in made.events {
            let event = if event.kind == EventKind::Error { self.reworded(event) } else { event };
            if let Some(fold) = &mut self.fold
                && fold.push(&event).is_err()
            {
                self.fold = None;
            }
            if event.kind == EventKind::MessageStop {
                self.observe().await;
            }
            self.ready.push_back(event);
        }
        if let Some(error) = made.end {
            // the end of the stream also ends the upstream's work
            self.events = None;
            // the first error is reported
            self.last.get_or_insert(error);
        }
    }

    /// Runs `on_response` once over the sent message: edits and denials come too late.
    async fn observe(&mut self) {
        let Some(message) = self.fold.take().and_then(|fold| fold.finish().ok()) else { return };
        let passage = Arc::clone(&self.passage);
        for stage in passage.stages(Hook::Response) {
            let work = async {
                let document = Document::parse(message.clone())?;
                let (_, outcome) = stage.on_response(passage.facts(), document).await?;
                passage.keep(outcome.wishes);
                Ok(())
            };
            // a failure is counted and logged there; sent events cannot be taken back
            let seen = stage.guard(Hook::Response, passage.facts(), Some(()), work).await;
            if let Err(error) = seen {
                let (request_id, stage) = (&passage.ctx.request_id, stage.name());
                tracing::warn!(request_id, stage, error = %error.message, "stage did not see the streamed answer");
            }
        }
    }

    /// Returns the upstream's `error` event with the message that `on_error` gives.
    fn reworded(&self, event: Event) -> Event {
        let error = message::error_of(&event);
        let before = error.message.clone();
        let error = self.passage.on_error(error);
        if error.message == before {
            return event;
        }
        let edited = message::data_of(&event).and_then(|mut data| {
            data.set_value(&[Step::Key("error"), Step::Key("message")], &error.message)?;
            Ok(Event::new(EventKind::Error, &data.to_bytes()))
        });
        edited.unwrap_or(event)
    }
}

/// The result of one step of the stages.
#[derive(Default)]
struct Made {
    events: Vec<Event>,
    /// The error with which a stage ended the stream, after these events.
    end: Option<Error>,
}

impl Made {
    fn of(events: Vec<Event>) -> Self {
        Self { events, end: None }
    }
}

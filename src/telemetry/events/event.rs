//! `Event`: a fact for sinks, and its JSON.
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::telemetry::events::exchange::Exchange;
use crate::telemetry::ids;
use crate::telemetry::story::Story;

/// The memory of an event beside its data and its texts.
const OWN: usize = 256;

/// A fact. Its JSON is made where it is delivered.
pub(super) struct Event {
    id: String,
    at: SystemTime,
    kind: Box<str>,
    generation: u64,
    data: Data,
}

/// The data of an event.
pub(super) enum Data {
    /// The record of an exchange that has ended.
    Exchange(Arc<Story>),
    /// Fields as JSON.
    Json(Box<RawValue>),
}

#[derive(Serialize)]
struct Line<'a, D> {
    id: &'a str,
    time: String,
    r#type: &'a str,
    instance: &'a str,
    generation: u64,
    data: D,
}

impl Event {
    /// Makes an event of this moment.
    pub(super) fn new(kind: &str, generation: u64, data: Data) -> Self {
        Self { id: ids::id("evt_"), at: SystemTime::now(), kind: kind.into(), generation, data }
    }

    /// Returns the memory, roughly.
    pub(super) fn memory(&self) -> u64 {
        let data = match &self.data {
            Data::Exchange(story) => story.read(|record| record.memory()),
            Data::Json(json) => json.get().len(),
        };
        (OWN + self.kind.len() + data) as u64
    }

    /// Returns the JSON, without a line end.
    pub(super) fn json(&self) -> serde_json::Result<Vec<u8>> {
        match &self.data {
            Data::Exchange(story) => story.read(|record| self.line(Exchange::of(record))),
            Data::Json(json) => self.line(json),
        }
    }

    fn line(&self, data: impl Serialize) -> serde_json::Result<Vec<u8>> {
        let Self { id, kind, generation, .. } = self;
        serde_json::to_vec(&Line {
            id,
            time: rfc3339(self.at),
            r#type: kind,
            instance: ids::instance(),
            generation: *generation,
            data,
        })
    }
}

/// Returns a time such as `2026-11-29T13:00:00.000Z`.
fn rfc3339(time: SystemTime) -> String {
    format!("{:.3}", Timestamp::try_from(time).unwrap_or_default())
}

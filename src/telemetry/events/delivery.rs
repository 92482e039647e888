//! `Delivery`: the task of one sink. It takes batches from the outbox, and tries again while the place is away.
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Response, StatusCode};

use crate::net::headers;
use crate::telemetry::events::config::{Hook, Place};
use crate::telemetry::events::event::Event;
use crate::telemetry::events::journal::Journal;
use crate::telemetry::events::signature::{self, Key};
use crate::telemetry::exporter::Dropped;
use crate::telemetry::ids;
use crate::telemetry::logs::one_line;
use crate::telemetry::outbox::{Bounds, Entry, Outbox, Size, Waits};
use crate::telemetry::post::{Destination, Receiver, Sent};
use crate::telemetry::sinks::SinkMetrics;

/// The bounds of the events that wait for one sink.
pub(super) const BOUNDS: Bounds = Bounds {
    batch: Size { units: 100, bytes: 512 << 10 },
    open: Duration::from_secs(1),
    all: Size { units: 16_384, bytes: 16 << 20 },
};
/// The waits between the tries of one batch, about 10 minutes in all, unless the receiver asks for others.
const WAITS: [Duration; 14] = {
    const MINUTE: Duration = Duration::from_secs(60);
    let mut waits = [MINUTE; 14];
    let mut n = 0;
    while n < 6 {
        waits[n] = Duration::from_secs(1 << n);
        n += 1;
    }
    waits
};
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("Tidegate/", env!("CARGO_PKG_VERSION")));

/// The events on their way to one sink.
pub(super) type Queue = Outbox<Arc<Event>>;

/// The task of one sink.
pub(super) struct Delivery {
    name: Box<str>,
    writer: Writer,
    queue: Arc<Queue>,
    metrics: SinkMetrics,
    /// Whether the last try failed: the log has its begin and its end.
    is_failing: bool,
}

/// The part of the task that knows its place.
enum Writer {
    File(Journal),
    Http { destination: Box<Destination>, key: Option<Key> },
}

/// A batch in the form of its place.
enum Load {
    /// The lines that are not written yet.
    Lines(Vec<Vec<u8>>),
    Body {
        id: String,
        body: Bytes,
    },
    /// Nothing is known about the lines: the writing ended early.
    Lost,
}

impl Delivery {
    /// Fails with the key and a message if the file cannot be created, or if the receiver cannot be used.
    pub(super) fn new(
        name: &str,
        place: Place,
        queue: &Arc<Queue>,
        metrics: &SinkMetrics,
    ) -> Result<Self, (String, String)> {
        Ok(Self {
            name: name.into(),
            writer: Writer::new(place)?,
            queue: Arc::clone(queue),
            metrics: metrics.clone(),
            is_failing: false,
        })
    }

    /// Delivers until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        loop {
            let batch = self.queue.batch().await;
            if batch.is_empty() {
                return;
            }
            let size = Size::of(&batch);
            match self.writer.load(&batch) {
                Ok(load) => self.deliver(load, size.units).await,
                Err(error) => {
                    self.metrics.dropped(Dropped::Failed, size.units);
                    let sink = &*self.name;
                    tracing::error!(sink, %error, "events have no JSON");
                }
            }
            self.queue.release(size);
        }
    }

    /// Writes or sends a batch until the place takes or rejects it, or the tries are used up. After the end of the queue
    /// it does not wait any more.
    async fn deliver(&mut self, mut load: Load, events: u64) {
        let mut waits = Waits::new(WAITS);
        let reason = loop {
            let (sent, left) = self.writer.write(load).await;
            load = left;
            let (asked, why) = match sent {
                Sent::Taken(()) => return self.taken(events),
                Sent::Rejected(why) => {
                    self.failed(&why);
                    break Dropped::Rejected;
                }
                Sent::Later(asked, why) => (asked, why),
            };
            self.failed(&why);
            if !waits.next(&self.queue, asked).await {
                break Dropped::Failed;
            }
        };
        // the lines of a batch that are in the file are not lost
        let lost = match &load {
            Load::Lines(lines) => lines.len() as u64,
            Load::Body { .. } | Load::Lost => events,
        };
        self.metrics.delivered.inc_by(events - lost);
        self.metrics.dropped(reason, lost);
    }

    fn taken(&mut self, events: u64) {
        self.metrics.delivered.inc_by(events);
        if std::mem::replace(&mut self.is_failing, false) {
            tracing::info!(sink = &*self.name, "events are delivered again");
        }
    }

    /// Counts a failed try. Only the first one in a row is logged.
    fn failed(&mut self, why: &str) {
        self.metrics.failures.inc();
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(sink = &*self.name, why = &*one_line(why), "events cannot be delivered");
        }
    }
}

/// Fails as [`Delivery::new`] does; creates and opens nothing.
pub(super) fn check(place: Place) -> Result<(), (String, String)> {
    match place {
        Place::File(journal) => journal.check().map_err(unwritable),
        Place::Http(_) => Writer::new(place).map(drop),
    }
}

fn unwritable(error: io::Error) -> (String, String) {
    ("file".to_owned(), format!("cannot be written: {error}"))
}

impl Writer {
    fn new(place: Place) -> Result<Self, (String, String)> {
        match place {
            Place::File(journal) => match journal.create() {
                Ok(()) => Ok(Self::File(journal)),
                Err(error) => Err(unwritable(error)),
            },
            Place::Http(hook) => {
                let Hook { url, mut headers, timeout, key, ca_file, proxy } = *hook;
                headers.insert(CONTENT_TYPE, JSON);
                headers.entry(USER_AGENT).or_insert(AGENT);
                let destination = Destination::new(Receiver {
                    name: "the receiver",
                    url: &url,
                    headers,
                    timeout,
                    ca_file: ca_file.as_deref(),
                    proxy: proxy.as_ref(),
                });
                let wrong = |message| ("http".to_owned(), format!("cannot be used: {message}"));
                let destination = Box::new(destination.map_err(wrong)?);
                Ok(Self::Http { destination, key })
            }
        }
    }

    fn load(&self, batch: &[Entry<Arc<Event>>]) -> serde_json::Result<Load> {
        let events = batch.iter().map(|entry| entry.item.json());
        let mut events = events.collect::<serde_json::Result<Vec<_>>>()?;
        match self {
            Self::File(_) => {
                events.iter_mut().for_each(|event| event.push(b'\n'));
                Ok(Load::Lines(events))
            }
            Self::Http { .. } => {
                let body = [&b"{\"events\":["[..], &events.join(&b','), b"]}"].concat();
                Ok(Load::Body { id: ids::id("msg_"), body: body.into() })
            }
        }
    }

    /// Tries once. Returns the part of the load that is left.
    async fn write(&self, load: Load) -> (Sent<()>, Load) {
        match (self, load) {
            (Self::Http { destination, key }, Load::Body { id, body }) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let signed = signature::headers(&id, now.as_secs(), &body, key.as_ref());
                let sent = match destination.post(&signed, &body).await {
                    Sent::Taken(answer) => judged(&answer),
                    Sent::Later(asked, why) => Sent::Later(asked, why),
                    Sent::Rejected(why) => Sent::Rejected(why),
                };
                (sent, Load::Body { id, body })
            }
            (Self::File(journal), Load::Lines(lines)) => {
                let journal = journal.clone();
                // on a blocking thread: the disk may be slow
                match tokio::task::spawn_blocking(move || journal.append(lines)).await {
                    Ok(Ok(())) => (Sent::Taken(()), Load::Lines(Vec::new())),
                    Ok(Err((left, error))) => {
                        let why = format!("the file cannot be written: {error}");
                        (Sent::Later(None, why), Load::Lines(left))
                    }
                    Err(error) => (Sent::Rejected(error.to_string()), Load::Lost),
                }
            }
            (_, load) => (Sent::Rejected("the batch is for another sink".to_owned()), load),
        }
    }
}

/// Returns the result that an answer stands for.
fn judged(answer: &Response<Bytes>) -> Sent<()> {
    let status = answer.status();
    let why = format!("the receiver answered {}", status.as_u16());
    match status {
        _ if status.is_success() => Sent::Taken(()),
        // the last two are about this try only, not about the batch
        _ if status.is_server_error()
            || status == StatusCode::TOO_MANY_REQUESTS
            || status == StatusCode::REQUEST_TIMEOUT
            || status == StatusCode::TOO_EARLY =>
        {
            Sent::Later(headers::retry_after(answer.headers()), why)
        }
        _ => Sent::Rejected(why),
    }
}

//! `Intake`: takes the telemetry that clients send by OTLP over HTTP, stamps the sender on it, and relays it to a collector.
pub(crate) mod config;
mod json;
mod protobuf;
mod shape;
mod stamp;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, ErrorKind, Problem, Result, Retry};
use crate::telemetry::intake::config::{IntakeConfig, Relay};
use crate::telemetry::intakes::{Intakes, Taken};
use crate::telemetry::post::{Destination, Receiver, Sent};

pub(crate) use shape::Signal;
pub(crate) use stamp::Stamp;

/// The largest body, decoded.
pub(crate) const MAX_BODY: u64 = 8 << 20;
/// The advice for a client whose telemetry cannot be taken now.
const AGAIN: Duration = Duration::from_secs(5);
/// The most bodies in progress; their memory is bounded by it.
const MOST: usize = 16;
const PROTOBUF: &str = "application/x-protobuf";

/// The entrance for telemetry of clients. Without a collector, everything is taken and dropped.
#[derive(Clone, Default)]
pub(crate) struct Intake(Option<Arc<Relays>>);

struct Relays {
    destinations: Vec<(Signal, Destination)>,
    places: Arc<Semaphore>,
    /// The runtime of the connections: the workers' requests do not wait for a collector.
    runtime: Handle,
}

/// The encoding of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    /// Reads the type of a body; protobuf without one.
    ///
    /// Fails with a 415 for any other type.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self> {
        let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(Self::Protobuf) };
        let text = value.to_str().unwrap_or_default();
        let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match &*kind {
            PROTOBUF | "application/protobuf" => Ok(Self::Protobuf),
            "application/json" => Ok(Self::Json),
            _ => {
                let message = format!(
                    "`content-type` must be `{PROTOBUF}` or `application/json` on this route"
                );
                let status = Some(StatusCode::UNSUPPORTED_MEDIA_TYPE);
                Err(Error { status, ..Error::invalid(message) })
            }
        }
    }

    fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Protobuf => PROTOBUF,
            Self::Json => "application/json",
        })
    }
}

/// A body of a client.
pub(crate) struct Delivery {
    /// The kind of telemetry.
    pub(crate) signal: Signal,
    /// The form of the body.
    pub(crate) encoding: Encoding,
    /// The body, decoded.
    pub(crate) body: Bytes,
    /// The sender.
    pub(crate) stamp: Stamp,
}

/// A place for one body in progress.
pub(crate) type Place = OwnedSemaphorePermit;

impl Intake {
    /// Makes the connections to the collector, on the caller's runtime.
    ///
    /// Fails with each wrong value of the config.
    pub(crate) fn start(config: Option<&IntakeConfig>) -> Result<Self, Vec<Problem>> {
        let Some(config) = config else { return Ok(Self::default()) };
        let wrong =
            |(key, message): (String, String)| Problem::new(format!("otlp.intake.{key}"), message);
        let relays = config.relays();
        let relays = relays.map_err(|all| all.into_iter().map(wrong).collect::<Vec<_>>())?;
        let made = relays.into_iter().map(|Relay { signal, url, headers, timeout }| {
            let name = "the collector";
            let receiver =
                Receiver { name, url: &url, headers, timeout, ca_file: None, proxy: None };
            Ok((signal, Destination::new(receiver)?))
        });
        let destinations = made.collect::<Result<Vec<_>, String>>().map_err(|message| {
            vec![Problem::new("otlp.intake.endpoint", format!("cannot be used: {message}"))]
        })?;
        let places = Arc::new(Semaphore::new(MOST));
        Ok(Self(Some(Arc::new(Relays { destinations, places, runtime: Handle::current() }))))
    }

    /// Returns whether a collector takes this kind of telemetry.
    pub(crate) fn relays(&self, signal: Signal) -> bool {
        self.0.as_ref().is_some_and(|relays| relays.to(signal).is_some())
    }

    /// Reserves a place for a body.
    ///
    /// Fails with a 503 if too many are in progress.
    pub(crate) fn place(&self) -> Result<Option<Place>> {
        let Some(relays) = &self.0 else { return Ok(None) };
        match Arc::clone(&relays.places).try_acquire_owned() {
            Ok(permit) => Ok(Some(permit)),
            Err(_) => Err(unavailable("too much telemetry arrives at once: try again later")),
        }
    }

    /// Stamps a body and relays it. Returns the collector's answer, or a success without a collector.
    ///
    /// Fails with a 400 if the body is malformed, and with a 502 or 503 if the collector does not take it for a reason
    /// that is not the client's.
    pub(crate) async fn relay(
        &self,
        delivery: Delivery,
        place: Option<Place>,
        metrics: &Intakes,
    ) -> Result<Response<Bytes>> {
        let (signal, encoding) = (delivery.signal, delivery.encoding);
        let Some(relays) = self.0.as_ref().filter(|relays| relays.to(signal).is_some()) else {
            metrics.count(signal.as_str(), Taken::Dropped);
            return Ok(success(encoding));
        };
        let task = Arc::clone(relays);
        // goes on if the client leaves
        let sent = relays.runtime.spawn(async move {
            let _place = place;
            task.send(delivery).await
        });
        let sent = sent.await.unwrap_or_else(|_| Err(unavailable("the gateway stops")));
        let (taken, answer) = match sent {
            Ok(Sent::Taken(answer)) => judged(answer),
            Ok(Sent::Later(_, why) | Sent::Rejected(why)) => {
                let away = "the collector of telemetry does not answer: try again later";
                (Taken::Failed, Err(unavailable(away).with_log(why)))
            }
            Err(error) => (Taken::Malformed, Err(error)),
        };
        metrics.count(signal.as_str(), taken);
        answer
    }
}

impl Relays {
    fn to(&self, signal: Signal) -> Option<&Destination> {
        let mut all = self.destinations.iter();
        all.find(|(own, _)| *own == signal).map(|(_, destination)| destination)
    }

    async fn send(&self, delivery: Delivery) -> Result<Sent<Response<Bytes>>> {
        let Delivery { signal, encoding, body, stamp } = delivery;
        let stamped = tokio::task::spawn_blocking(move || match encoding {
            Encoding::Protobuf => protobuf::stamped(&body, signal.shape(), &stamp),
            Encoding::Json => json::stamped(&body, signal.shape(), &stamp),
        });
        let stamped = stamped.await.unwrap_or_else(|_| Err("it could not be read".to_owned()));
        let stamped = stamped.map_err(|why| {
            Error::invalid(format!("the body is no OTLP export of {}: {why}", signal.as_str()))
        })?;
        let Some(destination) = self.to(signal) else {
            return Ok(Sent::Rejected("no collector takes this kind".to_owned()));
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, encoding.media_type());
        Ok(destination.post(&headers, &stamped).await)
    }
}

/// Returns the answer that the client gets for the collector's. A status that is about the gateway's own request, such as a
/// 401, is none of the client's.
fn judged(answer: Response<Bytes>) -> (Taken, Result<Response<Bytes>>) {
    let status = answer.status();
    if status.is_success() {
        return (Taken::Relayed, Ok(passed(answer)));
    }
    let is_for_client = matches!(
        status,
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS
    );
    if is_for_client || status.is_server_error() {
        return (Taken::Rejected, Ok(passed(answer)));
    }
    let message = "the collector rejected the telemetry for a reason of the gateway's";
    let log = format!("the collector answered {}", status.as_u16());
    let error = Error::new(ErrorKind::BadUpstream, message).with_log(log);
    (Taken::Rejected, Err(error))
}

/// Returns an answer with the headers that concern the client only.
fn passed(answer: Response<Bytes>) -> Response<Bytes> {
    let (mut head, body) = answer.into_parts();
    let mut kept = HeaderMap::new();
    for name in [CONTENT_TYPE, RETRY_AFTER] {
        if let Some(value) = head.headers.remove(&name) {
            kept.insert(name, value);
        }
    }
    head.headers = kept;
    Response::from_parts(head, body)
}

/// Returns the answer for telemetry that was taken.
fn success(encoding: Encoding) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from_static(match encoding {
        Encoding::Protobuf => b"",
        Encoding::Json => b"{}",
    }));
    answer.headers_mut().insert(CONTENT_TYPE, encoding.media_type());
    answer
}

fn unavailable(message: &str) -> Error {
    Error::new(ErrorKind::Overloaded, message).with_retry(Retry::After(AGAIN))
}

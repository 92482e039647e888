//! `POST /v1/{metrics,logs,traces}`: telemetry of clients, such as Claude Code's, on its way to the operator's collector.
use bytes::Bytes;
use http::Response;

use crate::auth::Caller;
use crate::error::{ErrorKind, Result};
use crate::exchange::inbound::Inbound;
use crate::gateway::Gateway;
use crate::net::receive::{self, Bounds};
use crate::telemetry::intake::{Delivery, Encoding, Intake, MAX_BODY, Place, Signal, Stamp};
use crate::telemetry::intakes::Taken;

/// Takes a body of an authenticated client. Returns the collector's answer, or a success without a collector.
pub(crate) async fn take(
    gateway: &Gateway,
    inbound: Inbound,
    signal: Signal,
) -> Result<Response<Bytes>> {
    let identity = gateway.auth.authenticate(&inbound.head.headers).await?;
    let (intake, metrics) = (&gateway.shared.intake, &gateway.shared.metrics.intakes);
    let encoding = Encoding::of(&inbound.head.headers);
    let encoding = encoding.inspect_err(|_| metrics.count(signal.as_str(), Taken::Malformed))?;
    let place = place(intake, signal);
    let place = place.inspect_err(|_| metrics.count(signal.as_str(), Taken::Refused))?;
    let bounds = gateway.bounds.body;
    let bounds = Bounds { size: bounds.size.min(MAX_BODY), pause: bounds.pause };
    let body = receive::body(inbound.body, &inbound.head.headers, bounds).await;
    let body = body.inspect_err(|error| {
        if matches!(error.kind, ErrorKind::InvalidRequest | ErrorKind::RequestTooLarge) {
            metrics.count(signal.as_str(), Taken::Malformed);
        }
    })?;
    let stamp = stamp(&identity.caller);
    intake.relay(Delivery { signal, encoding, body, stamp }, place, metrics).await
}

/// Reserves a place for a body that is relayed; one that is dropped needs none.
fn place(intake: &Intake, signal: Signal) -> Result<Option<Place>> {
    match intake.relays(signal) {
        true => intake.place(),
        false => Ok(None),
    }
}

/// Names the sender: its id, its e-mail address (the tag `email`, or a name that is one), the tag `groups`, and all tags.
fn stamp(caller: &Caller) -> Stamp {
    let tag = |name: &str| caller.tags.get(name).map(String::as_str);
    let email = tag("email").or_else(|| Some(&*caller.key).filter(|name| name.contains('@')));
    let stamp = Stamp::of(caller.id()).email(email).groups(tag("groups"));
    caller.tags.iter().fold(stamp, |stamp, (name, value)| stamp.tag(name, value))
}

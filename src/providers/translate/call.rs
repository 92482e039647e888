//! One call of a translated upstream, from the encoded request to the Messages reply.
use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{StatusCode, request};

use crate::error::{Error, Origin, Result};
use crate::net::client::Sending;
use crate::providers::Timeouts;
use crate::providers::http::{Base, ContentType};
use crate::providers::translate::decode::{self, Parser, Translated};
use crate::providers::translate::machine::Frame;
use crate::providers::translate::rejected::rejected;
use crate::wire::{Reply, ReplyBody};

/// A request that is ready to be sent, and the reader of its answer.
pub(crate) struct Call<'a, P> {
    /// The gateway's id of the request.
    pub(crate) request_id: &'a str,
    /// The encoded body.
    pub(crate) body: Bytes,
    /// The request without the payloads of earlier answers; `None` if it can have none.
    pub(crate) spare: Option<Spare<'a>>,
    /// The parser of the dialect.
    pub(crate) parser: P,
    /// The facts for the answer.
    pub(crate) frame: Frame,
    /// Whether the client wants a stream.
    pub(crate) is_stream: bool,
    /// The way in which it is sent.
    pub(crate) sending: Sending,
    /// The time limits.
    pub(crate) timeouts: Timeouts,
}

/// A request without the payloads of earlier answers, for an upstream that does not take them back.
pub(crate) struct Spare<'a> {
    /// Returns whether the body of a rejection says that the upstream does not take them back.
    pub(crate) is_needed: fn(&[u8]) -> bool,
    /// Encodes the request.
    pub(crate) body: &'a (dyn Fn() -> Result<Bytes> + Sync),
}

impl Spare<'_> {
    /// Returns the body that is sent after a rejection; `None` if it would be rejected again.
    fn after(&self, error: &Error, sent: &Bytes) -> Result<Option<Bytes>> {
        let answer = match &error.origin {
            Origin::Upstream(upstream) => upstream.answer.as_deref(),
            _ => None,
        };
        let is_needed = answer.is_some_and(|answer| {
            answer.status() == StatusCode::BAD_REQUEST && (self.is_needed)(answer.body())
        });
        if !is_needed {
            return Ok(None);
        }
        let spare = (self.body)()?;
        Ok((spare != *sent).then_some(spare))
    }
}

/// Sends a request and translates its answer. The answer is a stream exactly if the client wants one, whatever
/// the upstream sends.
///
/// An upstream that refuses the payloads of earlier answers receives the request once more without them.
pub(crate) async fn call<P: Parser>(
    base: &Base,
    head: impl Fn() -> Result<request::Parts>,
    call: Call<'_, P>,
) -> Result<Reply> {
    let Call { request_id, body, spare, mut parser, frame, is_stream, sending, timeouts } = call;
    let sent = base.send(&head, body.clone().into(), sending, timeouts).await;
    let again = match (&sent, spare) {
        (Err(error), Some(spare)) => spare.after(error, &body)?,
        _ => None,
    };
    let sent = match again {
        Some(body) => base.send(&head, body.into(), sending, timeouts).await,
        None => sent,
    };
    let answer = sent.map_err(|error| rejected(error, request_id))?;
    let mut headers = answer.for_caller();
    headers.remove(CONTENT_TYPE);
    let status = answer.status;
    let body = match (answer.content_type()?, is_stream) {
        (ContentType::Events, true) => {
            ReplyBody::Events(answer.events(Translated::new(parser, frame))?)
        }
        (ContentType::Json, true) => {
            let whole = answer.whole().await?;
            let events = decode::events(&mut parser, &whole, frame)?;
            ReplyBody::Events(Box::pin(stream::iter(events.into_iter().map(Ok))))
        }
        (ContentType::Json, false) => {
            let whole = answer.whole().await?;
            ReplyBody::Full(decode::message(&mut parser, &whole, frame)?)
        }
        (ContentType::Events, false) => {
            let whole = answer.whole().await?;
            ReplyBody::Full(decode::folded(&mut parser, &whole, frame)?)
        }
    };
    Ok(Reply { status, headers, body })
}

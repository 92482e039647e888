//! One call of a translated upstream, from the encoded request to the Messages reply.
use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::request;

use crate::error::Result;
use crate::net::client::Sending;
use crate::providers::Timeouts;
use crate::providers::http::{Base, ContentType};
use crate::providers::translate::decode::{self, Parser, Translated};
use crate::providers::translate::machine::Frame;
use crate::providers::translate::rejected::rejected;
use crate::wire::{Reply, ReplyBody};

/// A request that is ready to be sent, and the reader of its answer.
pub(crate) struct Call<P> {
    /// The encoded body.
    pub(crate) body: Bytes,
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

/// Sends a request and translates its answer. The answer is a stream exactly if the client wants one, whatever
/// the upstream sends.
pub(crate) async fn call<P: Parser>(
    base: &Base,
    head: impl Fn() -> Result<request::Parts>,
    call: Call<P>,
) -> Result<Reply> {
    let Call { body, mut parser, frame, is_stream, sending, timeouts } = call;
    let answer = base.send(head, body.into(), sending, timeouts).await.map_err(rejected)?;
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

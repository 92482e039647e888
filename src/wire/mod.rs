//! The Messages API as bytes: documents, requests, events, and the fold of events into a message.
mod block;
pub(crate) mod compose;
pub(crate) mod content;
pub mod document;
pub mod duration;
pub mod event;
pub mod message;
mod path;
pub mod pieces;
pub mod request;
pub(crate) mod required;
pub mod scan;
pub mod schema;
pub mod sse;
pub mod unfold;
pub mod usage;

pub use document::{Document, Kind, Mark, Step};
pub use event::{Event, EventKind, EventStream};
pub use pieces::Pieces;
pub use request::{Endpoint, MessagesRequest, Read};
pub use usage::Usage;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// A response of an upstream, the gateway or a policy.
pub struct Reply {
    /// The status; a success if a provider sent the reply.
    pub status: StatusCode,
    /// The headers for the client.
    pub headers: HeaderMap,
    /// The body.
    pub body: ReplyBody,
}

/// The body of a reply.
pub enum ReplyBody {
    /// The whole body as JSON.
    Full(Bytes),
    /// A stream of events.
    Events(EventStream),
}

impl Reply {
    /// Returns a reply with status 200 and a JSON body.
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: ReplyBody::Full(body.into()),
        }
    }
}

//! The Messages API as bytes: documents, requests, events, and the fold of events into a message.
mod block;
pub(crate) mod compose;
pub(crate) mod content;
pub(crate) mod diff;
pub(crate) mod document;
pub(crate) mod duration;
pub(crate) mod escape;
pub(crate) mod event;
pub(crate) mod layers;
pub(crate) mod message;
mod path;
pub(crate) mod pieces;
pub(crate) mod prompt;
mod readable;
pub(crate) mod request;
pub(crate) mod required;
pub(crate) mod scan;
pub(crate) mod schema;
mod skim;
pub(crate) mod sse;
pub(crate) mod surrogates;
pub(crate) mod unfold;
pub(crate) mod usage;

pub use document::Document;
pub(crate) use document::{Kind, Mark, Step};
pub use event::Event;
pub(crate) use event::{EventKind, EventStream};
pub(crate) use pieces::Pieces;
pub(crate) use readable::readable;
pub(crate) use request::Read;
pub use request::{Endpoint, MessagesRequest};
pub(crate) use usage::{Spent, Usage};

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

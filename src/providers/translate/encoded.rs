//! `Encoded`: a request in an upstream's dialect, and the facts that its answer needs.
use std::collections::HashMap;

use bytes::Bytes;

use crate::providers::dropped::Dropped;
use crate::providers::translate::names::Names;

/// The media that the gateway fetched, by address: media type and Base64.
pub(crate) type Fetched = HashMap<String, (String, String)>;

/// An encoded request.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// The upstream's body.
    pub(crate) body: Bytes,
    /// The parts that the upstream does not receive.
    pub(crate) dropped: Vec<Dropped>,
    /// The way back for the names of tools.
    pub(crate) names: Names,
    /// The stop sequences that the gateway applies itself.
    pub(crate) stops: Vec<String>,
    /// The text that the server repeats at the beginning of a whole answer.
    pub(crate) prefill: Option<String>,
}

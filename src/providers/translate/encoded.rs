//! `Encoded`: a request in an upstream's dialect, and the facts that its answer needs.
use bytes::Bytes;

use crate::providers::dropped::Dropped;
use crate::providers::translate::names::Names;

/// An encoded request.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// The upstream's body.
    pub(crate) body: Bytes,
    /// The parts that the upstream does not receive.
    pub(crate) dropped: Vec<Dropped>,
    /// The URLs whose content the encoder needs and does not have.
    pub(crate) missing: Vec<String>,
    /// The way back for the names of tools.
    pub(crate) names: Names,
    /// The stop sequences that the gateway applies itself.
    pub(crate) stops: Vec<String>,
    /// The text that the server repeats at the beginning of a whole answer.
    pub(crate) prefill: Option<String>,
}

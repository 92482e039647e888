//! The network below the API: bodies in and out, headers, the pooled client, a guarded socket.
pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod coding;
pub(crate) mod cors;
pub(crate) mod deadline;
pub(crate) mod egress;
pub(crate) mod header_edits;
pub(crate) mod headers;
pub(crate) mod http1;
pub(crate) mod pace;
pub(crate) mod pool;
pub(crate) mod proxy;
pub(crate) mod rate_limits;
pub(crate) mod receive;
pub(crate) mod socket;
pub(crate) mod tls;
pub(crate) mod unsent;

//! The network below the API: bodies in and out, headers, the pooled client, a guarded socket.
pub mod body;
pub mod client;
pub mod coding;
pub(crate) mod deadline;
pub mod egress;
pub mod header_edits;
pub mod headers;
pub mod http1;
pub mod pace;
pub mod pool;
pub mod receive;
pub mod socket;
pub mod tls;
pub mod unsent;

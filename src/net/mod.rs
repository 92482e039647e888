//! The network below the API: bodies, headers, the pooled client.
pub mod body;

//! Tidegate: a gateway for the Anthropic Messages API.
//!
//! The modules stand in floor order: each may use those above it in this list, never those below
//! (`tests/it/tidy.rs` holds it). `ARCHITECTURE.md` is the map for people.
#![warn(unreachable_pub)]

pub mod error;
mod disk;
mod wire;
mod catalogue;
mod net;
mod telemetry;
mod auth;
mod limits;
mod ledger;
mod context;
mod plugin_host;
mod policy;
mod providers;
mod models;
mod server_tools;
pub mod config;
pub mod gateway;
mod exchange;
mod admin;
pub mod server;
pub mod cli;

#[cfg(test)]
#[expect(unreachable_pub, reason = "the files are shared with the integration tests")]
mod testing;

/// The parts that the benchmarks measure by themselves; no interface for anything else.
#[doc(hidden)]
pub mod internals {
    pub use crate::context::{Caller, Context};
    pub use crate::plugin_host::{Plugin, PluginHost, ToolCall, ToolError};
    pub use crate::policy::script::api::With;
    pub use crate::policy::script::{Limits, ScriptEngine};
    pub use crate::policy::{Passage, Pipeline};
    pub use crate::telemetry::metrics::Metrics;
    pub use crate::wire::{Document, Endpoint, Event, MessagesRequest, Reply, ReplyBody};
}

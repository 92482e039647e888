//! Tidegate: a gateway for the Anthropic Messages API.
//!
//! The modules stand in floor order: each may use those above it in this list, never those below
//! (`tests/it/tidy.rs` holds it). `ARCHITECTURE.md` is the map for people.
pub mod error;
pub mod wire;
pub mod net;
pub mod telemetry;
pub mod auth;
pub mod context;
pub mod plugin_host;
pub mod policy;
pub mod providers;
pub mod models;
pub mod server_tools;
pub mod config;
pub mod gateway;
pub mod exchange;
pub mod admin;
pub mod server;
pub mod cli;

#[cfg(test)]
mod testing;

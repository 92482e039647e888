//! The one integration binary: every test is a sentence about what is promised.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
mod config;
mod errors;
mod failover;
mod plugin;
mod reload;
mod script;
mod simulator;
mod support;
mod surface;
mod tidy;
mod wire;

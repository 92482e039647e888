//! The one integration binary: every test is a sentence about what is promised.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
mod auth;
mod config;
mod history;
mod pipeline;
mod plugin;
mod script;
mod simulator;
mod splice;
mod support;
mod telemetry;
mod tidy;
mod tools;
mod turns;
mod wire;

//! The one integration binary: every test is a sentence about what is promised.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
mod auth;
mod authoring;
mod commands;
mod config;
mod docs;
mod errors;
mod examples;
mod failover;
mod history;
mod hooks;
mod library;
mod pipeline;
mod plugin;
mod reload;
mod requested;
mod script;
mod shown;
mod simulator;
mod splice;
mod support;
mod surface;
mod telemetry;
mod tidy;
mod tools;
mod turns;
mod wire;

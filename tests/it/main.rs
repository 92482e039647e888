//! The one integration binary: every test is a sentence about what is promised.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
mod authoring;
mod book;
mod commands;
mod compat;
mod complete;
mod config;
mod docs;
mod encodings;
mod errors;
mod examples;
mod failover;
mod hooks;
mod images;
mod library;
mod limits;
mod plugin;
mod reload;
mod requested;
mod rewrite;
mod script;
mod shown;
mod support;
mod surface;
mod tidy;
mod turns;
mod web;

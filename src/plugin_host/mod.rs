//! Runs plugins: loads components, and gives each call an instance with limits.
mod behalf;
mod bindings;
mod breaker;
mod call;
mod check;
mod code;
mod compile;
mod decision;
mod describe;
mod document;
mod engine;
mod export;
mod failure;
mod fetch;
mod gate;
mod grants;
mod host;
mod kv;
mod load;
mod manifest;
mod means;
mod models;
mod pattern;
mod plugin;
pub(crate) mod published;
mod run;
mod settings;
mod shelf;
mod wasi;
mod way_out;

pub(crate) use behalf::{Behalf, File, ModelAnswer, ModelCall, Publish, Reach};
pub(crate) use decision::Decision;
#[cfg(test)]
pub(crate) use engine::Allocator;
pub(crate) use export::Export;
#[cfg(test)]
pub(crate) use failure::{Cause, Failure};
pub use host::PluginHost;
pub(crate) use load::Installation;
pub(crate) use manifest::ToolManifest;
#[cfg(test)]
pub(crate) use manifest::manifest_of;
#[cfg(test)]
pub(crate) use means::{Limits, Means};
pub use plugin::{Plugin, ToolCall, ToolError};
pub(crate) use published::FilesConfig;
pub(crate) use settings::PluginConfig;
pub(crate) use way_out::WayOut;

#[cfg(test)]
mod tests;

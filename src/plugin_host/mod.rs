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
pub mod published;
mod run;
mod settings;
mod shelf;
mod wasi;
mod way_out;

pub use behalf::{Behalf, File, ModelAnswer, ModelCall, Publish, Reach};
pub use decision::Decision;
pub use engine::Allocator;
pub use export::Export;
pub use failure::{Cause, Failure};
pub use host::PluginHost;
pub use load::Installation;
pub use manifest::{Manifest, SECTION, ToolManifest, Wants, manifest_of};
pub use means::{Clock, Limits, Means};
pub use plugin::{Plugin, ToolCall, ToolError};
pub use published::FilesConfig;
pub use settings::{Instances, PluginConfig};
pub use way_out::WayOut;

#[cfg(test)]
mod tests;

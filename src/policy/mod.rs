//! The pipeline: the stages (scripts and plugins) that a request runs through, in order.
pub mod build;
pub mod cases;
mod config;
mod files;
mod filter;
mod hook;
pub mod library;
mod outcome;
pub mod passage;
pub mod pipeline;
mod plugin_stage;
pub mod script;
mod stage;
mod stream;
mod tool;
pub mod trial;
mod window;

pub use build::Plan;
pub use config::{OnError, PluginsConfig, PoliciesConfig, StageConfig, WhenConfig};
pub use hook::{Hook, Hooks};
pub use outcome::{Outcome, Verdict, Wishes};
pub use passage::{Passage, Target};
pub use pipeline::Pipeline;
pub use plugin_stage::outcome as plugin_outcome;
pub use tool::{ToolCall, ToolOutput};

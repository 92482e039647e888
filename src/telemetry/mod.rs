//! What operators see: logs, metrics, the record of an exchange.
pub mod logs;
pub mod metrics;
pub mod plugins;
mod policies;
pub mod record;
pub mod story;
mod trace;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `log:`.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Lines for people or for machines.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,tidegate::policy=debug`.
    pub level: Option<String>,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

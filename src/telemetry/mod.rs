//! Telemetry for operators: logs, metrics, and the record of an exchange.
pub(crate) mod circuits;
mod classes;
pub(crate) mod continuity;
pub(crate) mod events;
pub(crate) mod exporter;
pub(crate) mod exposition;
pub(crate) mod ids;
mod inference;
pub(crate) mod intake;
pub(crate) mod intakes;
pub(crate) mod keys;
pub(crate) mod ledger;
pub(crate) mod limits;
pub(crate) mod live;
pub(crate) mod lives;
pub(crate) mod logs;
pub(crate) mod losses;
mod memory;
pub(crate) mod metrics;
pub(crate) mod money;
pub(crate) mod otlp;
pub(crate) mod outbox;
pub(crate) mod outcome;
pub(crate) mod plugins;
mod policies;
pub(crate) mod post;
pub(crate) mod prompts;
pub(crate) mod recent;
pub(crate) mod record;
pub(crate) mod recorded;
pub(crate) mod recording;
pub(crate) mod recordings;
mod series;
mod sinks;
pub(crate) mod story;
mod targets;
mod trace;
pub(crate) mod traced;
pub(crate) mod traceparent;
pub(crate) mod tracker;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `log:`.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// The format: lines for people or for programs.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,tidegate::policy=debug`.
    pub level: Option<String>,
}

/// The format of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Readable lines for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

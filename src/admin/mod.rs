//! The admin listener: metrics, health, and later the admin API and the dashboard.
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Secret;

/// `admin:`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where it listens.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Required off loopback; `Authorization: Bearer`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub token: Secret,
}

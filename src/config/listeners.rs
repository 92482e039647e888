//! What the listeners read: `server:` and `admin:`. Here, because the config knows of no listener.
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Secret;

/// `admin:`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminConfig {
    /// Where it listens.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Required off loopback; `Authorization: Bearer`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub token: Secret,
}

/// `server:`, bounds on callers.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// The largest body, decoded, in bytes.
    pub max_body_bytes: u64,
    /// A caller must have sent its head by then.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub header_timeout: Duration,
    /// A caller must send, or take, something at least this often.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub body_timeout: Duration,
    /// A stream that is silent for so long gets a `ping`.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub ping_interval: Duration,
    /// More connections than this wait in the kernel's queue.
    pub max_connections: usize,
    /// Threads that serve; as many as there are cores if 0.
    pub workers: usize,
    /// Serves TLS if given.
    pub tls: Option<TlsConfig>,
}

/// `server.tls`, PEM files; relative to the config file.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            max_body_bytes: 32 * 1024 * 1024,
            header_timeout: Duration::from_secs(15),
            body_timeout: Duration::from_secs(60),
            ping_interval: Duration::from_secs(15),
            max_connections: 16_384,
            workers: 0,
            tls: None,
        }
    }
}

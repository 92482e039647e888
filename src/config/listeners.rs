//! The config of the listeners: `server:` and `admin:`. It is here, since `config` cannot import them.
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
    /// The address of the admin listener.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// The token for `Authorization: Bearer`; required if the address is not loopback.
    #[serde(default)]
    #[schemars(with = "String")]
    pub token: Secret,
    /// Further names that `host` may have in requests to an address on loopback, such as those of a proxy.
    #[serde(default)]
    pub hosts: Vec<String>,
}

/// `server:`, the limits for clients.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// The largest request body, decoded, in bytes.
    pub max_body_bytes: u64,
    /// The time within which a client must send the request head.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub header_timeout: Duration,
    /// The longest time without progress while a client sends a body or reads a response.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub body_timeout: Duration,
    /// The time without events after which a stream gets a `ping`.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub ping_interval: Duration,
    /// The most open connections; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// The number of worker threads; 0 means one per core.
    pub workers: usize,
    /// The TLS certificate; if given, the listener serves TLS.
    pub tls: Option<TlsConfig>,
    /// The web pages that may call the gateway from a browser; none if left out.
    pub cors: CorsConfig,
}

/// `server.cors`.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CorsConfig {
    /// The origins of the pages, such as `https://app.example.com`; `*` allows every page.
    pub origins: Vec<String>,
}

/// `server.tls`: PEM files, relative to the config file.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate chain.
    pub cert: PathBuf,
    /// The private key of the certificate.
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
            cors: CorsConfig::default(),
        }
    }
}

//! The config of the listeners: `server:`, `admin:` and `drain:`. It is here, since `config` cannot import them.
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess};
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Secret;
use crate::wire::duration;

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
    /// Keeps the last requests for messages in memory, bodies included, to show the changes of each stage; off if left
    /// out.
    #[serde(default)]
    pub record: Option<RecordConfig>,
    /// Whether the dashboard may write policies.
    #[serde(default)]
    pub edit: bool,
}

/// `admin.record`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecordConfig {
    /// The number of exchanges, from 1 to 10000.
    pub requests: usize,
    /// The bytes that they may hold together, at least 1048576. One exchange may hold a quarter of them.
    pub bytes: usize,
}

impl Default for RecordConfig {
    fn default() -> Self {
        Self { requests: 50, bytes: 32 * 1024 * 1024 }
    }
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

/// `drain:`, the steps after `SIGTERM`. A duration is short for its `deadline`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(default)]
pub struct DrainConfig {
    /// The time for which the listener stays open while `/readyz` is 503 and each answer ends its connection. A load balancer needs it to notice.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub delay: Duration,
    /// The longest time for open requests to finish after the listener has closed.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub deadline: Duration,
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self { delay: Duration::ZERO, deadline: Duration::from_secs(30) }
    }
}

impl<'de> Deserialize<'de> for DrainConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DrainVisitor)
    }
}

/// The long form of [`DrainConfig`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Steps {
    #[serde(with = "crate::wire::duration")]
    delay: Duration,
    #[serde(with = "crate::wire::duration")]
    deadline: Duration,
}

impl Default for Steps {
    fn default() -> Self {
        let DrainConfig { delay, deadline } = DrainConfig::default();
        Self { delay, deadline }
    }
}

struct DrainVisitor;

impl<'de> de::Visitor<'de> for DrainVisitor {
    type Value = DrainConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as `30s`, or `{ delay: 5s, deadline: 10m }`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<DrainConfig, E> {
        let deadline = duration::parse(text).map_err(E::custom)?;
        Ok(DrainConfig { deadline, ..DrainConfig::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, steps: A) -> Result<DrainConfig, A::Error> {
        let Steps { delay, deadline } = Steps::deserialize(MapAccessDeserializer::new(steps))?;
        Ok(DrainConfig { delay, deadline })
    }
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

//! The only way out for plugins: what may be reached is decided by address, and decided anew at every hop.
pub mod cidr;
pub mod client;
pub mod guard;
mod answer;
mod connect;
mod destination;
mod hop;
mod resolve;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;

pub use cidr::Cidr;
pub use client::Client;
pub use connect::Connect;
pub use resolve::Resolve;

/// `egress:`, for plugins.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// CIDR blocks (`10.1.0.0/16`) that plugins may reach beside the public internet.
    pub allow_private: Vec<String>,
}

impl Config {
    /// What is wrong, each with its path.
    pub fn problems(&self) -> Vec<Problem> {
        let blocks = self.allow_private.iter().enumerate();
        let wrong = blocks.filter(|(_, block)| block.parse::<Cidr>().is_err());
        wrong
            .map(|(n, block)| {
                let path = format!("egress.allow_private[{n}]");
                Problem::new(path, format!("`{block}` is no block such as `10.1.0.0/16`"))
            })
            .collect()
    }

    /// What holds for all plugins of a generation; `own` are the gateway's listeners.
    ///
    /// Fails with every block that is none.
    pub fn build(&self, own: Vec<SocketAddr>) -> Result<Egress, Vec<Problem>> {
        let parsed: Vec<Cidr> =
            self.allow_private.iter().filter_map(|block| block.parse().ok()).collect();
        match self.problems() {
            wrong if wrong.is_empty() => {
                Ok(Egress { allow_private: parsed, own, limits: Limits::default() })
            }
            wrong => Err(wrong),
        }
    }
}

/// What holds for all plugins of a generation.
#[derive(Debug, Clone, Default)]
pub struct Egress {
    allow_private: Vec<Cidr>,
    own: Vec<SocketAddr>,
    limits: Limits,
}

impl Egress {
    /// The policy for one plugin, which may reach what `may_reach` says.
    pub fn policy(&self, may_reach: MayReach) -> Policy {
        Policy {
            allow_private: self.allow_private.clone(),
            own: self.own.clone(),
            may_reach,
            limits: self.limits,
        }
    }
}

/// Whether a plugin was granted a host and a port. The host is in small letters and without the dot
/// of the root; an address stands without brackets. A grant without a port is for 80 and 443.
pub type MayReach = Arc<dyn Fn(&str, u16) -> bool + Send + Sync>;

/// What one plugin may reach, and how much of it.
#[derive(Clone)]
pub struct Policy {
    /// Blocks that are not public, and allowed all the same.
    pub allow_private: Vec<Cidr>,
    /// The gateway's own listeners: never to be reached, whatever is allowed. An unspecified address
    /// stands for all of this machine's.
    pub own: Vec<SocketAddr>,
    /// Asked for every hop.
    pub may_reach: MayReach,
    /// Bounds on time and size.
    pub limits: Limits,
}

/// Bounds on one fetch, all of its hops together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a name to be resolved and a connection to stand, at each hop.
    pub connect: Duration,
    /// For all of it.
    pub total: Duration,
    /// Bytes of the decoded answer; the rest is left away.
    pub decoded: usize,
    /// Bytes of an encoded answer as they come over the wire.
    pub encoded: usize,
    /// How many bytes one encoded byte may become, beyond the first 64 KiB.
    pub ratio: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            total: Duration::from_secs(15),
            decoded: 8 << 20,
            encoded: 8 << 20,
            // deflate comes to 1032 at the most; pages of repeated markup seldom to 50
            ratio: 200,
        }
    }
}

/// What is to be fetched.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// `http:` or `https:`, without user and password.
    pub url: String,
    /// Names and values. Those that belong to the connection are left out.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Option<Bytes>,
    /// How many bytes of the decoded answer are wanted, if fewer than the policy's limit.
    pub max_bytes: Option<usize>,
    /// How long it may take, if shorter than the policy's limit.
    pub timeout: Option<Duration>,
    /// How many redirects are followed, [`MAX_REDIRECTS`] at the most; the next one is the answer
    /// then. None: that many, and the next one is a refusal.
    pub redirects: Option<u8>,
}

/// How many redirects are followed, whatever is asked for.
pub const MAX_REDIRECTS: u8 = 5;

/// What came back, content encodings undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Whatever the server said.
    pub status: u16,
    /// Where the answer came from.
    pub url: String,
    /// Names in small letters, and values, without those that belong to the connection.
    pub headers: Vec<(String, String)>,
    /// As much as was wanted.
    pub body: Bytes,
    /// There was more.
    pub truncated: bool,
}

/// Why nothing came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `not_granted`, `url_not_allowed`, `invalid_url`, `invalid_input`, `too_many_redirects`,
    /// `too_large`, `timeout`, `unreachable`.
    pub code: &'static str,
    /// What was found and what would do. It names hosts, never the addresses behind them.
    pub message: String,
    /// The same request may succeed later.
    pub retryable: bool,
}

impl Refusal {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: false }
    }

    fn unreachable(message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::new("unreachable", message) }
    }

    fn timeout(message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::new("timeout", message) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests;

//! The only network access of plugins, and of URLs in requests: the addresses of every hop are checked.
pub(crate) mod cidr;
pub(crate) mod client;
pub(crate) mod collector;
pub(crate) mod guard;
pub(crate) mod media;
pub(crate) mod memory;
pub(crate) mod pattern;
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

pub(crate) use cidr::Cidr;
pub(crate) use client::Client;
use pattern::HostPattern;

/// `egress:`, for plugins and for the URLs of images and documents.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The CIDR blocks (`10.1.0.0/16`) that plugins may reach in addition to the public internet, and the URLs of
    /// requests if `media_hosts` is set.
    pub allow_private: Vec<String>,
    /// The hosts from which the gateway fetches the images and documents that a request names by their URL, for
    /// upstreams that take no URL: entries as in `allow_hosts` of plugins. An empty list fetches nothing. If left
    /// out, every host of the public internet, and none in `allow_private`.
    pub media_hosts: Option<Vec<String>>,
}

impl Config {
    /// Returns the problems, each with its path.
    pub fn problems(&self) -> Vec<Problem> {
        let blocks = self.allow_private.iter().enumerate();
        let wrong = blocks.filter(|(_, block)| block.parse::<Cidr>().is_err());
        let wrong = wrong.map(|(n, block)| {
            let path = format!("egress.allow_private[{n}]");
            Problem::new(path, format!("`{block}` is no block such as `10.1.0.0/16`"))
        });
        let hosts = self.media_hosts.iter().flatten().enumerate().filter_map(|(n, host)| {
            let message = HostPattern::parse(host).err()?;
            Some(Problem::new(format!("egress.media_hosts[{n}]"), message))
        });
        wrong.chain(hosts).collect()
    }

    /// Returns the settings for all plugins of a generation; `own` are the gateway's listeners.
    ///
    /// Fails with every invalid block and host.
    pub fn build(&self, own: Vec<SocketAddr>) -> Result<Egress, Vec<Problem>> {
        let parsed: Vec<Cidr> =
            self.allow_private.iter().filter_map(|block| block.parse().ok()).collect();
        let parse = |host: &String| HostPattern::parse(host).ok();
        let media_hosts = self.media_hosts.as_ref();
        let media_hosts = media_hosts.map(|hosts| hosts.iter().filter_map(parse).collect());
        match self.problems() {
            wrong if wrong.is_empty() => {
                Ok(Egress { allow_private: parsed, media_hosts, own, limits: Limits::default() })
            }
            wrong => Err(wrong),
        }
    }
}

/// The network settings of a generation.
#[derive(Debug, Clone, Default)]
pub struct Egress {
    allow_private: Vec<Cidr>,
    /// `None` if the config does not choose them.
    media_hosts: Option<Arc<[HostPattern]>>,
    own: Vec<SocketAddr>,
    limits: Limits,
}

impl Egress {
    /// Returns the policy for the URLs of images and documents; `None` if the config has none fetched.
    ///
    /// Every holder of a key can request such a URL. A block that the operator allows for a plugin is allowed here only
    /// together with a list of hosts.
    pub(crate) fn media_policy(&self) -> Option<Policy> {
        let remedy = "`egress.allow_private`, and its host in `egress.media_hosts`";
        match &self.media_hosts {
            Some(hosts) if hosts.is_empty() => None,
            Some(hosts) => {
                let hosts = Arc::clone(hosts);
                let may_reach =
                    move |host: &str, port| hosts.iter().any(|own| own.allows(host, port));
                Some(Policy { remedy, ..self.policy(Arc::new(may_reach)) })
            }
            None => {
                let public = self.policy(Arc::new(|_, _| true));
                Some(Policy { allow_private: Vec::new(), remedy, ..public })
            }
        }
    }

    /// Returns the policy for one plugin; `may_reach` decides about hosts and ports.
    pub fn policy(&self, may_reach: MayReach) -> Policy {
        Policy {
            allow_private: self.allow_private.clone(),
            own: self.own.clone(),
            may_reach,
            limits: self.limits,
            remedy: "`egress.allow_private`",
        }
    }
}

/// Returns whether a plugin was granted a host and a port. The host is in small letters, without the
/// root's dot; an address has no brackets. A grant without a port is for 80 and 443.
pub(crate) type MayReach = Arc<dyn Fn(&str, u16) -> bool + Send + Sync>;

/// The hosts that one plugin may reach, and the limits of its requests.
#[derive(Clone)]
pub struct Policy {
    /// Blocks that are allowed although they are not public.
    pub allow_private: Vec<Cidr>,
    /// The gateway's own listeners. They are never reachable, even if their block is allowed. An
    /// unspecified address means all addresses of this machine.
    pub own: Vec<SocketAddr>,
    /// The check of host and port at every hop.
    pub may_reach: MayReach,
    /// The limits of time and size.
    pub limits: Limits,
    /// The keys of the config that allow an address.
    pub remedy: &'static str,
}

/// The limits of one fetch, with all of its hops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The time to resolve a name and to connect, at each hop.
    pub connect: Duration,
    /// The time of the whole fetch.
    pub total: Duration,
    /// The most bytes of the decoded response; the rest is cut off.
    pub decoded: usize,
    /// The most bytes of an encoded response on the wire.
    pub encoded: usize,
    /// The most decoded bytes per encoded byte, after the first 64 KiB.
    pub ratio: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            total: Duration::from_secs(15),
            decoded: 8 << 20,
            encoded: 8 << 20,
            // deflate reaches 1032 at most; pages with repeated markup rarely reach 50
            ratio: 200,
        }
    }
}

/// A request of a plugin.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// The URL: `http:` or `https:`, without user and password.
    pub url: String,
    /// The headers as names and values. Headers of the connection are left out.
    pub headers: Vec<(String, String)>,
    /// The body of the request.
    pub body: Option<Bytes>,
    /// The most decoded bytes to return, if below the policy's limit.
    pub max_bytes: Option<usize>,
    /// The longest time, if below the policy's limit.
    pub timeout: Option<Duration>,
    /// The number of redirects to follow, at most [`MAX_REDIRECTS`]; the next redirect is returned as the
    /// response. Without a value, [`MAX_REDIRECTS`] are followed, and the next one is refused.
    pub redirects: Option<u8>,
}

/// The most redirects that are followed, even if the plugin requests more.
pub(crate) const MAX_REDIRECTS: u8 = 5;

/// A response with its content encodings undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The server's status.
    pub status: u16,
    /// The URL of the last hop.
    pub url: String,
    /// The headers: names in small letters, and values, without headers of the connection.
    pub headers: Vec<(String, String)>,
    /// The body up to the limit.
    pub body: Bytes,
    /// Whether the body was cut off.
    pub truncated: bool,
}

/// The reason for a missing response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `not_granted`, `url_not_allowed`, `invalid_url`, `invalid_input`, `too_many_redirects`,
    /// `too_large`, `timeout`, `unreachable`.
    pub code: &'static str,
    /// The values found and expected. It names hosts, never their addresses.
    pub message: String,
    /// Whether the same request may succeed later.
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

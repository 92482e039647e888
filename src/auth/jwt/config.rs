//! `jwt:`, the issuers whose tokens count, and how a token becomes a client.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::auth::allowance::{OwnBudget, OwnLimit};
use crate::auth::entries::Entries;
use crate::error::Problem;
use crate::net::egress::Cidr;

/// The longest leeway: clocks that differ more need a time server.
const LONGEST_LEEWAY: Duration = Duration::from_secs(60);

/// An entry of `jwt:`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtConfig {
    /// The issuer: an `https:` URL, exactly as the tokens have it in `iss`. `http:` is for loopback addresses.
    pub issuer: String,
    /// The audience that a token must have in `aud`.
    pub audience: String,
    /// The URL of the issuer's keys; if left out, the issuer's discovery document names it.
    pub jwks_uri: Option<String>,
    /// A PEM file with the certificate authorities of the issuer, instead of those of the system.
    pub ca_file: Option<PathBuf>,
    /// The signature algorithms that count.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<JwtAlgorithm>,
    /// The difference of clocks that is allowed, at most `60s`.
    #[serde(default, with = "crate::wire::duration")]
    #[schemars(with = "String", default)]
    pub leeway: Duration,
    /// The claim with the client's name: its name, or a JSON pointer such as `/person/login`.
    #[serde(default = "default_name")]
    pub name: String,
    /// The client's tags: the JSON pointer of each tag's claim, such as `/groups/0`.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The models that the clients may name, with `*`; all if absent.
    pub models: Option<Vec<String>>,
    /// The server tools that the clients may use, by their names without `gateway:` and date, with `*`; all if absent.
    pub tools: Option<Vec<String>>,
    /// The limits of each client of the issuer, beside those of `limits.rules`: one, or a list.
    #[serde(default)]
    pub limits: Entries<OwnLimit>,
    /// The budget of each client of the issuer, beside those of `budgets.rules`: one, or a list.
    #[serde(default)]
    pub budget: Entries<OwnBudget>,
    /// The applications whose tokens count, by `azp` or `client_id`; all if absent.
    pub clients: Option<Vec<String>>,
    /// The CIDR blocks (`10.1.0.0/16`) in which the issuer may be beside the public internet. Loopback issuers are allowed.
    #[serde(default)]
    pub allow_private: Vec<String>,
}

/// A signature algorithm with a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum JwtAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl JwtAlgorithm {
    pub(super) fn to_algorithm(self) -> Algorithm {
        match self {
            Self::RS256 => Algorithm::RS256,
            Self::RS384 => Algorithm::RS384,
            Self::RS512 => Algorithm::RS512,
            Self::PS256 => Algorithm::PS256,
            Self::PS384 => Algorithm::PS384,
            Self::PS512 => Algorithm::PS512,
            Self::ES256 => Algorithm::ES256,
            Self::ES384 => Algorithm::ES384,
            Self::EdDSA => Algorithm::EdDSA,
        }
    }
}

fn default_algorithms() -> Vec<JwtAlgorithm> {
    vec![JwtAlgorithm::RS256, JwtAlgorithm::ES256]
}

fn default_name() -> String {
    "sub".to_owned()
}

impl JwtConfig {
    /// Returns the allowed blocks that can be read.
    pub(super) fn blocks(&self) -> Vec<Cidr> {
        self.allow_private.iter().filter_map(|block| block.parse().ok()).collect()
    }

    /// Returns whether the fetches begin without TLS.
    fn is_plain(&self) -> bool {
        self.jwks_uri.as_ref().unwrap_or(&self.issuer).starts_with("http:")
    }

    /// Returns each wrong value: its key, and a message.
    fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut report = |key: &str, message: String| found.push((key.to_owned(), message));
        if let Err(message) = checked_url(&self.issuer) {
            report("issuer", message);
        }
        if let Some(Err(message)) = self.jwks_uri.as_deref().map(checked_url) {
            report("jwks_uri", message);
        }
        if self.ca_file.is_some() && self.is_plain() {
            let message =
                "has no effect on an `http:` URL: take it out, or name the issuer by `https:`";
            report("ca_file", message.to_owned());
        }
        if self.audience.trim() != self.audience || self.audience.is_empty() {
            report("audience", "expected a text without white space around it".to_owned());
        }
        if self.algorithms.is_empty() {
            report("algorithms", "expected at least one algorithm".to_owned());
        }
        if self.leeway > LONGEST_LEEWAY {
            report("leeway", "must be at most `60s`".to_owned());
        }
        if self.name.is_empty() {
            report("name", "expected the name of a claim, such as `sub`".to_owned());
        }
        for (tag, pointer) in &self.tags {
            if !pointer.starts_with('/') {
                let message =
                    format!("expected a JSON pointer such as `/groups/0`, found `{pointer}`");
                report(&format!("tags.{tag}"), message);
            }
        }
        for (n, block) in self.allow_private.iter().enumerate() {
            if block.parse::<Cidr>().is_err() {
                let message = format!("`{block}` is no block such as `10.1.0.0/16`");
                report(&format!("allow_private[{n}]"), message);
            }
        }
        found
    }
}

/// Returns the problems of the entries of `jwt:`, each with its index there.
pub(crate) fn problems(entries: &[(usize, &JwtConfig)]) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for (n, entry) in entries {
        let wrong = entry.problems().into_iter();
        found.extend(wrong.map(|(key, message)| Problem::new(format!("jwt[{n}].{key}"), message)));
        if !seen.insert((&entry.issuer, &entry.audience)) {
            let message = "another entry has the same `issuer` and `audience`: remove one of them";
            found.push(Problem::new(format!("jwt[{n}]"), message));
        }
    }
    found
}

/// Reads the URL of an issuer or of its keys. Nothing is trimmed or completed: a token must have the same bytes.
fn checked_url(text: &str) -> Result<Url, String> {
    let wrong = || {
        format!("expected an `https:` URL without white space, user and fragment, found {text:?}")
    };
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(wrong());
    }
    let url = Url::parse(text).map_err(|_| wrong())?;
    let has_more =
        url.fragment().is_some() || !url.username().is_empty() || url.password().is_some();
    match url.scheme() {
        "https" | "http" if has_more || url.host().is_none() => Err(wrong()),
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => {
            Err("must begin with `https:`: `http:` is for loopback addresses only".to_owned())
        }
        _ => Err(wrong()),
    }
}

/// Returns whether the host of a URL is this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}

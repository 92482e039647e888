//! `type: anthropic`: the settings of a native upstream.
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::Secret;
use crate::net::headers::Forwards;
use crate::providers::Credentials;
use crate::providers::http;

/// The host of the API itself.
const OWN_HOST: &str = "api.anthropic.com";

/// The Messages API itself, or an upstream that speaks it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The key, sent as `x-api-key`; none with `credentials: caller`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) api_key: Secret,
    /// The address, without `/v1`.
    #[serde(default = "default_base_url")]
    pub(super) base_url: String,
    /// The credential that the upstream receives.
    #[serde(default)]
    pub(super) credentials: Credentials,
    /// The authorities that may sign the upstream's certificate, as PEM; the system's if left out.
    pub(super) ca_file: Option<PathBuf>,
    /// Whether the upstream accepts the gateway's search and fetch results as citable blocks
    /// (`search_result`, `document`), and cites them. If left out, this is true only for the API's
    /// own host. Others may ignore such a block, and with it the result.
    pub(super) citations: Option<bool>,
    /// The client's headers that the upstream receives beside the usual ones, such as `x-mine-*`.
    #[serde(default)]
    pub(super) forward_headers: Vec<String>,
    /// The parts of the Messages API that no target of the upstream understands; targets add to it.
    #[serde(default)]
    pub(super) unsupported: Vec<String>,
}

impl Config {
    /// Returns the keys with values that can never work, and a message for each.
    pub(super) fn wrong_values(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let url = http::check_base_url(&self.base_url);
        let message = match &url {
            Err(message) => Some(message.as_str()),
            Ok(url) if url.path().trim_end_matches('/').ends_with("/v1") => {
                Some("leave `/v1` out at the end: the gateway adds the whole route")
            }
            Ok(_) => None,
        };
        found.extend(message.map(|message| ("base_url", message.to_owned())));
        if self.ca_file.is_some() && self.base_url.starts_with("http://") {
            let message = "has no effect, since `base_url` begins with `http://`: take one of them out, or write `https://`";
            found.push(("ca_file", message.to_owned()));
        }
        let forwards = Forwards::new(&self.forward_headers);
        found.extend(forwards.err().map(|message| ("forward_headers", message)));
        found
    }

    /// Returns whether the upstream cites the citable blocks that it receives.
    pub(super) fn cites(&self) -> bool {
        self.citations.unwrap_or_else(|| {
            let url = http::check_base_url(&self.base_url);
            url.is_ok_and(|url| url.host_str() == Some(OWN_HOST))
        })
    }
}

fn default_base_url() -> String {
    "https://api.anthropic.com".to_owned()
}

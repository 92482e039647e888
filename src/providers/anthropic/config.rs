//! `type: anthropic`: the settings of a native upstream.
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::Secret;
use crate::providers::Credentials;
use crate::providers::http;

/// The host of the API itself.
const OWN_HOST: &str = "api.anthropic.com";

/// The Messages API itself, or an upstream that speaks it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Sent as `x-api-key`; none with `credentials: caller`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) api_key: Secret,
    /// Without `/v1`.
    #[serde(default = "default_base_url")]
    pub(super) base_url: String,
    /// Whose credential the upstream gets.
    #[serde(default)]
    pub(super) credentials: Credentials,
    /// PEM: the authorities that may sign the upstream's certificate; the system's if left out.
    pub(super) ca_file: Option<PathBuf>,
    /// It takes what the gateway searched and fetched as blocks that can be cited (`search_result`,
    /// `document`), and cites them. If left out, only the API's own host is thought to: others may
    /// ignore such a block, and with it the result.
    pub(super) citations: Option<bool>,
    /// What of the Messages API it does not understand, whatever the target; targets add to it.
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
        found
    }

    /// Whether the upstream cites what it gets as citable blocks.
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

//! `type: openai`: the settings of a server that speaks OpenAI's APIs.
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::Secret;
use crate::net::headers::Forwards;
use crate::providers::fixed_headers;
use crate::providers::http;
use crate::providers::openai::profile::Profile;

/// The host of OpenAI's own API.
const OWN_HOST: &str = "api.openai.com";
/// The headers that may hold a credential.
const CREDENTIALS: [&str; 1] = ["authorization"];

/// A server that speaks OpenAI's Chat Completions or Responses.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The key, sent as `authorization: Bearer`, or as `api-key` to Azure.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) api_key: Secret,
    /// The address, with `/v1`; for Azure's older API up to `/deployments/NAME`.
    #[serde(default = "default_base_url")]
    pub(super) base_url: String,
    /// The API; if left out, `responses` for OpenAI and Azure, else `chat`.
    pub(super) api: Option<Api>,
    /// The family of the server, which chooses its profile; if left out, the host of `base_url` decides.
    pub(super) flavor: Option<String>,
    /// The version of Azure's older API, sent as `?api-version=`.
    pub(super) api_version: Option<String>,
    /// Changes of single entries of the profile.
    #[serde(default)]
    #[schemars(with = "Profile")]
    pub(super) profile: Map<String, Value>,
    /// The authorities that may sign the upstream's certificate, as PEM; the system's if left out.
    pub(super) ca_file: Option<PathBuf>,
    /// Headers of every request.
    #[serde(default)]
    pub(super) headers: fixed_headers::Config,
    /// An HTTP proxy on the way to the upstream, such as `http://proxy.example.com:3128`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) proxy: Secret,
    /// The client's headers that the upstream receives beside the usual ones, such as `x-mine-*`.
    #[serde(default)]
    pub(super) forward_headers: Vec<String>,
    /// The parts of the Messages API that no target of the upstream understands; targets add to it.
    #[serde(default)]
    pub(super) unsupported: Vec<String>,
}

/// The API of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Api {
    /// `/chat/completions`
    Chat,
    /// `/responses`
    Responses,
}

impl Config {
    /// Returns the keys with values that can never work, and a message for each.
    pub(super) fn wrong_values(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if let Err(message) = http::check_base_url(&self.base_url) {
            found.push(("base_url", message));
        }
        if let Some(flavor) = &self.flavor {
            let flavors = Profile::flavors();
            if !flavors.contains(flavor) {
                let known = flavors.join(", ");
                found.push(("flavor", format!("expected one of {known}, found {flavor:?}")));
            }
        }
        if let Err(message) = Profile::build(&self.flavor(), &self.profile) {
            found.push(("profile", message));
        }
        let has_other = self.headers.has_any(&CREDENTIALS) || !self.forward_headers.is_empty();
        if self.api_key.is_empty() && !has_other {
            let is_own = |host: &str| host == OWN_HOST;
            found.extend(http::missing_key(&self.base_url, is_own).map(|text| ("api_key", text)));
        }
        if self.ca_file.is_some() && self.base_url.starts_with("http://") {
            let message = "has no effect, since `base_url` begins with `http://`: take one of them out, or write `https://`";
            found.push(("ca_file", message.to_owned()));
        }
        found.extend(http::proxy(&self.proxy).err());
        found.extend(self.headers.build().err().map(|message| ("headers", message)));
        let forwards = Forwards::new(&self.forward_headers);
        found.extend(forwards.err().map(|message| ("forward_headers", message)));
        found
    }

    /// Returns the family of the server.
    pub(super) fn flavor(&self) -> String {
        let of_host = || {
            let url = http::check_base_url(&self.base_url).ok()?;
            Some(Profile::flavor_of(url.host_str()?, url.port()))
        };
        self.flavor.clone().or_else(of_host).unwrap_or_else(|| "generic".to_owned())
    }

    /// Returns the API.
    pub(super) fn api(&self) -> Api {
        let own = || match &*self.flavor() {
            "openai" | "azure" => Api::Responses,
            _ => Api::Chat,
        };
        // Azure's older API knows Chat Completions only
        let is_classic = self.api_version.is_some();
        self.api.unwrap_or_else(|| if is_classic { Api::Chat } else { own() })
    }

    /// Returns the address without `/` at its end, and with `/v1` once. An address without a path gets `/v1`.
    pub(super) fn address(&self) -> String {
        let mut address = self.base_url.trim_end_matches('/').to_owned();
        while address.ends_with("/v1/v1") {
            address.truncate(address.len() - "/v1".len());
        }
        let has_path = address.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
        if !has_path {
            address.push_str("/v1");
        }
        address
    }
}

fn default_base_url() -> String {
    "https://api.openai.com/v1".to_owned()
}

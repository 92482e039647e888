//! `type: gemini`: the settings of Google's Gemini API, at AI Studio or at Vertex AI.
use std::path::{Path, PathBuf};

use ::http::HeaderName;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Secret;
use crate::net::headers::Forwards;
use crate::net::proxy::Proxy;
use crate::providers::Parts;
use crate::providers::fixed_headers;
use crate::providers::http::{self, check_base_url};
use crate::providers::signer::environment::Environment;
use crate::providers::signer::{Signer, google};

/// The header of the key. As `?key=` it would be in logs.
const API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
/// The headers that may hold a credential.
const CREDENTIALS: [&str; 2] = ["x-goog-api-key", "authorization"];
/// The address of AI Studio.
const STUDIO: &str = "https://generativelanguage.googleapis.com/v1beta";
/// The beginning of the names of categories.
const CATEGORY: &str = "HARM_CATEGORY_";
/// The thresholds of the API.
const THRESHOLDS: [&str; 5] =
    ["BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE", "OFF"];

/// Google's Gemini API: AI Studio with `api_key`, or Vertex AI with `vertex`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The key, sent as `x-goog-api-key`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) api_key: Secret,
    /// The address, with its version; if left out, AI Studio's (`/v1beta`) or that of the location of Vertex AI
    /// (`/v1beta1`).
    pub(super) base_url: Option<String>,
    /// The project of Vertex AI.
    pub(super) vertex: Option<Vertex>,
    /// The filters of each request. The API's own apply if left out.
    #[serde(default)]
    pub(super) safety_settings: Vec<SafetySetting>,
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

/// A project of Vertex AI.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vertex {
    /// The project's id.
    pub(super) project: String,
    /// The location, such as `europe-west4`.
    #[serde(default = "default_location")]
    pub(super) location: String,
    /// A service account's JSON, the path of a file with it, or `default`: the environment, gcloud's file,
    /// or the metadata server.
    #[serde(default = "default_credentials")]
    #[schemars(with = "String")]
    pub(super) credentials: Secret,
}

/// A filter of contents.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SafetySetting {
    /// The category, such as `DANGEROUS_CONTENT`.
    #[serde(deserialize_with = "category")]
    category: String,
    /// `BLOCK_LOW_AND_ABOVE`, `BLOCK_MEDIUM_AND_ABOVE`, `BLOCK_ONLY_HIGH`, `BLOCK_NONE` or `OFF`.
    #[serde(deserialize_with = "threshold")]
    threshold: String,
}

/// The two doors of the API. Their rules differ, and each refuses the signatures of the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    /// AI Studio.
    Studio,
    /// Vertex AI.
    Vertex,
}

impl Backend {
    /// Returns the name of the backend in envelopes of reasoning.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Studio => "studio",
            Self::Vertex => "vertex",
        }
    }

    /// Returns the name of the backend in OpenTelemetry's conventions.
    pub(super) fn genai_name(self) -> &'static str {
        match self {
            Self::Studio => "gcp.gemini",
            Self::Vertex => "gcp.vertex_ai",
        }
    }
}

impl Config {
    /// Returns the keys with values that can never work, and a message for each.
    pub(super) fn wrong_values(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let given = self.base_url.as_deref();
        found.extend(given.and_then(|url| Some(("base_url", check_base_url(url).err()?))));
        if let Some(vertex) = &self.vertex {
            let names =
                [("vertex.project", &vertex.project), ("vertex.location", &vertex.location)];
            let wrong = names.into_iter().filter(|(_, name)| !is_segment(name));
            found.extend(wrong.map(|(key, name)| {
                (key, format!("expected letters, digits, `-`, `_`, `.` and `:`, found {name:?}"))
            }));
            if !self.api_key.is_empty() {
                let message = "has no effect beside `vertex`: take one of them out";
                found.push(("api_key", message.to_owned()));
            }
        }
        let has_other = self.vertex.is_some() || self.headers.has_any(&CREDENTIALS);
        let is_own = |host: &str| host.ends_with(".googleapis.com");
        if !has_other && self.api_key.is_empty() && self.forward_headers.is_empty() {
            let missing = http::missing_key(&self.address(), is_own);
            found.extend(missing.map(|message| ("api_key", format!("{message}, or `vertex`"))));
        }
        if self.ca_file.is_some() && self.address().starts_with("http://") {
            let message = "has no effect, since `base_url` begins with `http://`: take one of them out, or write `https://`";
            found.push(("ca_file", message.to_owned()));
        }
        found.extend(http::proxy(&self.proxy).err());
        found.extend(self.headers.build().err().map(|message| ("headers", message)));
        let forwards = Forwards::new(&self.forward_headers);
        found.extend(forwards.err().map(|message| ("forward_headers", message)));
        found
    }

    /// Makes the signer.
    ///
    /// Fails with the key that has a wrong value, and a message.
    pub(super) fn signer(
        &self,
        proxy: Option<&Proxy>,
        parts: &Parts<'_>,
    ) -> Result<Signer, (&'static str, String)> {
        let Some(vertex) = &self.vertex else {
            return match self.api_key.is_empty() {
                true => Ok(Signer::Headers(Vec::new())),
                false => Signer::key(&self.api_key, &[API_KEY]).map_err(|m| ("api_key", m)),
            };
        };
        let environment = Environment::Process;
        google::Source::new(&vertex.credentials, parts.base_dir, &environment, proxy, parts.client)
            .map(Signer::Google)
            .map_err(|message| ("vertex.credentials", message))
    }

    /// Returns the secret from which the codes of envelopes come, so that replicas share them.
    pub(super) fn secret(&self) -> &str {
        match &self.vertex {
            Some(vertex) => vertex.credentials.expose(),
            None => self.api_key.expose(),
        }
    }

    /// Returns the files that the config names.
    pub(super) fn named_files(&self) -> Vec<&Path> {
        let credentials = self.vertex.as_ref().and_then(|vertex| google::path(&vertex.credentials));
        self.ca_file.as_deref().into_iter().chain(credentials).collect()
    }

    /// Returns the backend. Vertex AI also takes keys, at its own host.
    pub(super) fn backend(&self) -> Backend {
        let is_vertex_host = self.base_url.as_deref().is_some_and(|url| {
            let host = check_base_url(url).ok();
            host.and_then(|url| Some(url.host_str()?.contains("aiplatform"))).unwrap_or_default()
        });
        match self.vertex.is_some() || is_vertex_host {
            true => Backend::Vertex,
            false => Backend::Studio,
        }
    }

    /// Returns the address without `/` at its end, and with its version once. An address without a path gets the
    /// version.
    pub(super) fn address(&self) -> String {
        let version = match self.backend() {
            Backend::Studio => "/v1beta",
            Backend::Vertex => "/v1beta1",
        };
        let own = || match &self.vertex {
            Some(vertex) => format!("https://{}{version}", host(&vertex.location)),
            None => STUDIO.to_owned(),
        };
        let given = self.base_url.as_deref();
        let mut address = given.map_or_else(own, |url| url.trim_end_matches('/').to_owned());
        for version in ["/v1beta1", "/v1beta", "/v1"] {
            let doubled = version.repeat(2);
            while address.ends_with(&doubled) {
                address.truncate(address.len() - version.len());
            }
        }
        let has_path = address.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
        if !has_path {
            address.push_str(version);
        }
        address
    }

    /// Returns the path of the publisher's models below the address.
    pub(super) fn parent(&self) -> String {
        match &self.vertex {
            None => String::new(),
            Some(Vertex { project, location, .. }) => {
                format!("/projects/{project}/locations/{location}/publishers/google")
            }
        }
    }
}

/// Returns the host of a location of Vertex AI.
fn host(location: &str) -> String {
    match location {
        "global" => "aiplatform.googleapis.com".to_owned(),
        "us" | "eu" => format!("aiplatform.{location}.rep.googleapis.com"),
        _ => format!("{location}-aiplatform.googleapis.com"),
    }
}

/// Returns whether a name can be a segment of a path as it is.
fn is_segment(name: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_allowed)
}

fn default_location() -> String {
    "global".to_owned()
}

fn default_credentials() -> Secret {
    Secret::new(google::DEFAULT)
}

/// Reads a category, with or without the beginning that all categories share.
fn category<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let given = String::deserialize(deserializer)?;
    let name = given.strip_prefix(CATEGORY).unwrap_or(&given);
    let is_name = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    match !name.is_empty() && name.bytes().all(is_name) {
        true => Ok(format!("{CATEGORY}{name}")),
        false => Err(D::Error::custom(format!(
            "expected a category such as `DANGEROUS_CONTENT`, found {given:?}"
        ))),
    }
}

fn threshold<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let given = String::deserialize(deserializer)?;
    match THRESHOLDS.contains(&&*given) {
        true => Ok(given),
        false => {
            let known = THRESHOLDS.join(", ");
            Err(D::Error::custom(format!("expected one of {known}, found {given:?}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn config(fields: Value) -> Config {
        serde_json::from_value(fields).unwrap()
    }

    fn addressed(fields: Value) -> String {
        let config = config(fields);
        format!("{}{}", config.address(), config.parent())
    }

    #[test]
    fn the_address_has_its_version_once() {
        assert_eq!(addressed(json!({})), STUDIO);
        for url in ["http://x", "http://x/", "http://x/v1beta/", "http://x/v1beta/v1beta"] {
            assert_eq!(addressed(json!({"base_url": url})), "http://x/v1beta", "{url}");
        }
        assert_eq!(addressed(json!({"base_url": "http://x/a/v1"})), "http://x/a/v1");
        assert_eq!(addressed(json!({"base_url": "http://x/v1/v1/"})), "http://x/v1");
    }

    #[test]
    fn each_location_of_vertex_has_its_host() {
        let of =
            |location: &str| addressed(json!({"vertex": {"project": "p", "location": location}}));
        let path = |location: &str| {
            format!("googleapis.com/v1beta1/projects/p/locations/{location}/publishers/google")
        };
        assert_eq!(of("global"), format!("https://aiplatform.{}", path("global")));
        assert_eq!(of("eu"), format!("https://aiplatform.eu.rep.{}", path("eu")));
        let own = format!("https://europe-west4-aiplatform.{}", path("europe-west4"));
        assert_eq!(of("europe-west4"), own);
        let elsewhere = json!({"vertex": {"project": "p"}, "base_url": "http://x/g/v1beta1/"});
        let expected = "http://x/g/v1beta1/projects/p/locations/global/publishers/google";
        assert_eq!(addressed(elsewhere), expected);
    }

    #[test]
    fn the_backend_follows_from_the_project_or_the_host() {
        let backend = |fields| config(fields).backend();
        assert_eq!(backend(json!({"api_key": "k"})), Backend::Studio);
        assert_eq!(backend(json!({"vertex": {"project": "p"}})), Backend::Vertex);
        let express = "https://aiplatform.googleapis.com/v1/publishers/google";
        assert_eq!(backend(json!({"api_key": "k", "base_url": express})), Backend::Vertex);
    }

    #[test]
    fn safety_settings_have_categories_in_either_form_and_known_thresholds() {
        let read = |category: &str, threshold: &str| {
            let setting = json!({"category": category, "threshold": threshold});
            serde_json::from_value::<SafetySetting>(setting).map(|s| s.category)
        };
        for name in ["HARASSMENT", "HARM_CATEGORY_HARASSMENT"] {
            assert_eq!(read(name, "OFF").unwrap(), "HARM_CATEGORY_HARASSMENT");
        }
        assert!(
            read("harassment", "OFF").unwrap_err().to_string().contains("found \"harassment\"")
        );
        let wrong = read("HARASSMENT", "NONE").unwrap_err().to_string();
        assert!(wrong.contains("expected one of BLOCK_LOW_AND_ABOVE"), "{wrong}");
    }

    #[test]
    fn values_that_can_never_work_are_named() {
        let wrong = |fields: Value| -> Vec<&'static str> {
            config(fields).wrong_values().into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(wrong(json!({"api_key": "k"})), [""; 0]);
        assert_eq!(wrong(json!({"base_url": "x"})), ["base_url"]);
        assert_eq!(wrong(json!({"api_key": "k", "proxy": "socks5://p"})), ["proxy"]);
        let both = json!({"api_key": "k", "vertex": {"project": "a/b", "location": ""}});
        assert_eq!(wrong(both), ["vertex.project", "vertex.location", "api_key"]);
        assert_eq!(wrong(json!({"base_url": "http://x", "ca_file": "ca.pem"})), ["ca_file"]);
    }
}

//! The credential of the API: a key of AI Studio, or a token of Google for Vertex AI.
use http::{HeaderMap, HeaderName, HeaderValue};

use super::config::Config;
use crate::context::Context;
use crate::error::Result;
use crate::providers::Parts;
use crate::providers::http::secret_value;

/// The header of the key. As `?key=` it would be in logs.
const API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

/// The source of the credential.
pub(super) enum Auth {
    /// A key; `None` for a server that needs none.
    Key(Option<HeaderValue>),
}

/// A credential that is ready.
pub(super) enum Ready<'a> {
    Key(Option<&'a HeaderValue>),
}

impl Auth {
    /// Fails with the key of the config that has a wrong value, and a message.
    pub(super) fn new(config: &Config, _: &Parts<'_>) -> Result<Self, (&'static str, String)> {
        if config.vertex.is_some() {
            return Err(("vertex", "needs a source of Google's tokens".to_owned()));
        }
        if config.api_key.is_empty() {
            return Ok(Self::Key(None));
        }
        let wrong = || ("api_key", "has characters that no header may have".to_owned());
        Ok(Self::Key(Some(secret_value(&config.api_key).ok_or_else(wrong)?)))
    }

    /// Obtains the credential.
    pub(super) async fn ready(&self, _: &Context) -> Result<Ready<'_>> {
        match self {
            Self::Key(key) => Ok(Ready::Key(key.as_ref())),
        }
    }

    /// Removes a kept token; the next request obtains another one.
    pub(super) fn forget(&self) {
        match self {
            Self::Key(_) => {}
        }
    }
}

impl Ready<'_> {
    /// Puts the credential on the headers.
    pub(super) fn sign(&self, headers: &mut HeaderMap) {
        match self {
            Self::Key(Some(key)) => {
                headers.insert(API_KEY, (*key).clone());
            }
            Self::Key(None) => {}
        }
    }
}

/// Returns the secret from which the code of envelopes comes, so that replicas share it.
pub(super) fn secret(config: &Config) -> &str {
    match &config.vertex {
        Some(vertex) => vertex.credentials.expose(),
        None => config.api_key.expose(),
    }
}

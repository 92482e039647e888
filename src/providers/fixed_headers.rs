//! `FixedHeaders`: `headers:` of a provider, which every request carries.
use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::Secret;
use crate::net::headers;

/// The headers that every request to the upstream carries, such as `x-team: research`. They replace the
/// caller's.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[schemars(with = "BTreeMap<String, String>")]
#[serde(transparent)]
pub(super) struct Config(BTreeMap<String, Secret>);

/// The headers, checked.
#[derive(Default)]
pub(super) struct FixedHeaders(Vec<(HeaderName, HeaderValue)>);

impl Config {
    /// Fails with a message for the first header that cannot be sent.
    pub(super) fn build(&self) -> Result<FixedHeaders, String> {
        let built = self.0.iter().map(|(name, value)| {
            let header = HeaderName::try_from(name.as_str())
                .map_err(|_| format!("`{name}` is no name of a header"))?;
            if !may_be_fixed(&header) {
                return Err(format!("`{name}` is the gateway's own: it cannot be set"));
            }
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| {
                format!("the value of `{name}` has characters that no header may have")
            })?;
            value.set_sensitive(true);
            Ok((header, value))
        });
        built.collect::<Result<_, _>>().map(FixedHeaders)
    }
}

impl Config {
    /// Returns whether one of these headers is set, in any spelling.
    pub(super) fn has_any(&self, names: &[&str]) -> bool {
        let is_set = |own: &String| names.iter().any(|name| own.eq_ignore_ascii_case(name));
        self.0.keys().any(is_set)
    }
}

impl FixedHeaders {
    /// Adds a header.
    ///
    /// Fails with a message if the value cannot be sent.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Result<Self, String> {
        let value = HeaderValue::from_str(value);
        self.0
            .push((name, value.map_err(|_| "has characters that no header may have".to_owned())?));
        Ok(self)
    }

    /// Sets the headers.
    pub(super) fn set(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.0 {
            headers.insert(name, value.clone());
        }
    }
}

/// Returns whether the config may set a header: any that an upstream may receive, and credentials.
fn may_be_fixed(name: &HeaderName) -> bool {
    matches!(name.as_str(), "authorization" | "x-api-key" | "cookie")
        || headers::passes_upstream(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn headers_that_frame_a_request_and_malformed_ones_are_refused() {
        let build = |headers| serde_json::from_value::<Config>(headers).unwrap().build();
        for (headers, part) in [
            (json!({"content-length": "5"}), "`content-length` is the gateway's own"),
            (json!({"x y": "5"}), "`x y` is no name"),
            (json!({"x-a": "5\n6"}), "the value of `x-a`"),
        ] {
            let message = build(headers).err().unwrap();
            assert!(message.contains(part), "{message}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-team", HeaderValue::from_static("callers"));
        build(json!({"X-Team": "a", "authorization": "Basic x"})).unwrap().set(&mut headers);
        assert_eq!(
            (&headers["x-team"], &headers["authorization"]),
            (&"a".parse().unwrap(), &"Basic x".parse().unwrap())
        );
    }
}

//! `headers:` of a provider: headers that the gateway sends with each request.
use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::error::Secret;

/// Names and values. The values may be secrets.
#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(with = "BTreeMap<String, String>")]
pub(crate) struct OwnHeaders(HeaderMap);

impl OwnHeaders {
    /// Sets the headers; they replace the client's.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.0 {
            headers.insert(name.clone(), value.clone());
        }
    }
}

impl<'de> Deserialize<'de> for OwnHeaders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const FRAMING: [&str; 5] =
            ["host", "content-length", "transfer-encoding", "connection", "content-type"];
        let mut headers = HeaderMap::new();
        for (name, value) in BTreeMap::<String, Secret>::deserialize(deserializer)? {
            let key: HeaderName = name.parse().map_err(|_| {
                D::Error::custom(format!("expected names of headers, found {name:?}"))
            })?;
            if FRAMING.contains(&key.as_str()) {
                return Err(D::Error::custom(format!(
                    "`{name}` is the gateway's own: leave it out"
                )));
            }
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| {
                D::Error::custom(format!(
                    "the value of `{name}` has characters that no header may have"
                ))
            })?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        Ok(Self(headers))
    }
}

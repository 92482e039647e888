//! The functions of the gateway that a plugin may call. Outside wasm, the calls go to a
//! [`MockHost`](crate::testing::MockHost).
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer as _;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};

use serde_json::Value;

use crate::http_message::{Request, Response};
use crate::problem::{Problem, Result};

pub use crate::level::Level;

/// Writes a line to the gateway's log.
pub fn log(level: Level, message: &str) {
    imp::log(level, message);
}

/// Returns the current time: nanoseconds since 1970-01-01T00:00:00Z.
pub fn clock() -> u64 {
    imp::clock()
}

/// Returns a fact of the exchange by its name: `request_id`, `key`, `tags`, `model`, `session`,
/// `headers`, `with` (the stage's own parameters). Returns `None` if the fact is not known.
pub fn context<T: DeserializeOwned>(name: &str) -> Result<Option<T>> {
    let facts = imp::context();
    let read = serde_json::Deserializer::from_str(&facts).deserialize_map(Fact(name, PhantomData));
    read.map_err(|e| Problem::new("internal", format!("`{name}` of the context: {e}")))
}

/// Reads one member of an object. It skips the other members and builds no tree.
struct Fact<'a, T>(&'a str, PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for Fact<'_, T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            match name == self.0 {
                true => found = map.next_value()?,
                false => map.next_value::<IgnoredAny>().map(drop)?,
            }
        }
        Ok(found)
    }
}

/// Calls a model through the gateway, on behalf of the caller of the current request.
///
/// `request` is a Messages request. Its `model` is an alias that the manifest requests
/// ([`Wants::models`](crate::Wants::models)) and the operator allows. The gateway never streams it
/// and returns the whole message. The problem's code is `not_granted`, `invalid_input` or the API's
/// own error type (`overloaded_error`, …).
pub fn model_call(request: &Value) -> Result<Value> {
    let message = imp::model_call(&request.to_string())?;
    serde_json::from_str(&message)
        .map_err(|e| Problem::new("internal", format!("the model's answer: {e}")))
}

/// Keeps a file for a while at an unguessable address of the gateway, and returns that address. The
/// manifest has to request this ([`Wants::publish`](crate::Wants::publish)).
pub fn publish(media_type: &str, content: &[u8]) -> Result<String> {
    imp::publish(media_type, content)
}

/// Returns the value of a key in the plugin's own store. All calls of the plugin share the store.
pub fn kv_get(key: &str) -> Option<Vec<u8>> {
    imp::kv_get(key)
}

/// Keeps a value in the plugin's own store, for some seconds or until the gateway stops. The
/// manifest has to request the space ([`Wants::kv_bytes`](crate::Wants::kv_bytes)).
pub fn kv_set(key: &str, value: &[u8], ttl_seconds: Option<u32>) -> Result<()> {
    imp::kv_set(key, value, ttl_seconds)
}

/// Removes a value. Returns `false` if there was none.
pub fn kv_remove(key: &str) -> bool {
    imp::kv_remove(key)
}

pub(crate) fn fetch(request: &Request) -> Result<Response> {
    imp::fetch(request)
}

pub(crate) fn config<T: DeserializeOwned>() -> Result<T> {
    let text = imp::config();
    serde_json::from_str(&text).map_err(|e| Problem::new("invalid_config", e.to_string()))
}

#[cfg(target_arch = "wasm32")]
mod imp {
    use crate::bindings::tidegate::plugin::host;
    use crate::http_message::{Request, Response};
    use crate::level::Level;
    use crate::problem::Result;

    pub(super) use host::{clock, config, context, kv_get, kv_remove};

    pub(super) fn kv_set(key: &str, value: &[u8], ttl_seconds: Option<u32>) -> Result<()> {
        Ok(host::kv_set(key, value, ttl_seconds)?)
    }

    pub(super) fn model_call(request: &str) -> Result<String> {
        Ok(host::model_call(request)?)
    }

    pub(super) fn publish(media_type: &str, content: &[u8]) -> Result<String> {
        Ok(host::publish(media_type, content)?)
    }

    pub(super) fn fetch(request: &Request) -> Result<Response> {
        let response = host::fetch(&host::HttpRequest {
            method: request.method.clone(),
            url: request.url.clone(),
            headers: request.headers.clone(),
            body: request.body.clone(),
            max_bytes: request.max_bytes,
            timeout_ms: request.timeout_ms,
            redirects: request.redirects,
        })?;
        Ok(Response {
            status: response.status,
            url: response.url,
            headers: response.headers,
            body: response.body,
            truncated: response.truncated,
        })
    }

    pub(super) fn log(level: Level, message: &str) {
        let level = match level {
            Level::Error => host::Level::Error,
            Level::Warn => host::Level::Warn,
            Level::Info => host::Level::Info,
            Level::Debug => host::Level::Debug,
            Level::Trace => host::Level::Trace,
        };
        host::log(level, message);
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod imp {
    pub(super) use crate::mock::{
        clock, config, context, fetch, kv_get, kv_remove, kv_set, log, model_call, publish,
    };
}

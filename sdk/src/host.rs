//! What the gateway does for a plugin. Off wasm the calls go to a [`MockHost`](crate::testing::MockHost).
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer as _;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};

use crate::problem::{Problem, Result};

/// How important a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something broke.
    Error,
    /// Something may break.
    Warn,
    /// Something worth a line.
    Info,
    /// For whoever looks for a fault.
    Debug,
    /// Everything.
    Trace,
}

/// Writes a line to the gateway's log.
pub fn log(level: Level, message: &str) {
    imp::log(level, message);
}

/// The time of day: nanoseconds since 1970-01-01T00:00:00Z.
pub fn clock() -> u64 {
    imp::clock()
}

/// A fact of the exchange by its name: `request_id`, `key`, `tags`, `model`, `session`, `headers`,
/// `with` (the stage's own parameters). `None` if it is not known.
pub fn context<T: DeserializeOwned>(name: &str) -> Result<Option<T>> {
    let facts = imp::context();
    let read = serde_json::Deserializer::from_str(&facts).deserialize_map(Fact(name, PhantomData));
    read.map_err(|e| Problem::new("internal", format!("`{name}` of the context: {e}")))
}

/// Reads one member of an object: what nobody asks for is passed over, and no tree is built.
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

pub(crate) fn config<T: DeserializeOwned>() -> Result<T> {
    let text = imp::config();
    serde_json::from_str(&text).map_err(|e| Problem::new("invalid_config", e.to_string()))
}

#[cfg(target_arch = "wasm32")]
mod imp {
    use super::Level;
    use crate::bindings::tidegate::plugin::host;

    pub(super) use host::{clock, config, context};

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
    pub(super) use crate::testing::{clock, config, context, log};
}

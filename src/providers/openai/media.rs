//! Values of a body that are written as they are: addresses of media, and JSON of the client.
use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// An address, or the content itself as a `data:` address.
#[derive(Debug, Clone)]
pub(super) enum MediaUrl<'a> {
    Address(Cow<'a, str>),
    Data { media_type: Cow<'a, str>, data: Cow<'a, str> },
}

impl<'a> MediaUrl<'a> {
    pub(super) fn data(media_type: &'a str, data: &'a str) -> Self {
        Self::Data { media_type: media_type.into(), data: data.into() }
    }
}

impl fmt::Display for MediaUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => f.write_str(address),
            Self::Data { media_type, data } => write!(f, "data:{media_type};base64,{data}"),
        }
    }
}

impl Serialize for MediaUrl<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that is JSON already.
#[derive(Debug)]
pub(super) struct Json<'a>(pub(super) Cow<'a, str>);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

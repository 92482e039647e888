//! Pages of long lists: their length, and the place at which the next one begins.
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::failure::Failure;

/// The rows of a page, unless the request names a number.
const USUAL: u16 = 50;
/// The most rows of a page.
const MOST: u16 = 200;

/// The number of rows of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "u64")]
pub(crate) struct Limit(#[schemars(range(min = 1, max = 200))] u16);

impl Default for Limit {
    fn default() -> Self {
        Self(USUAL)
    }
}

impl TryFrom<u64> for Limit {
    type Error = String;

    fn try_from(found: u64) -> Result<Self, String> {
        let number = u16::try_from(found).ok().filter(|number| (1..=MOST).contains(number));
        number
            .map(Self)
            .ok_or_else(|| format!("expected a number from 1 to {MOST}, found `{found}`"))
    }
}

impl Limit {
    /// Returns the number.
    pub(crate) fn number(self) -> u16 {
        self.0
    }

    /// Returns the number to read: one row more tells whether there is a next page.
    pub(crate) fn and_one(self) -> u16 {
        self.0 + 1
    }
}

/// Returns the place of a row as a text without meaning for clients.
pub(crate) fn cursor(place: &impl Serialize) -> String {
    // numbers and texts can always be written
    BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(place).unwrap_or_default())
}

/// Reads the place that an earlier page returned.
///
/// Fails with a 400 if the text is not of this API.
pub(crate) fn place<T: for<'de> Deserialize<'de>>(
    cursor: Option<&str>,
) -> Result<Option<T>, Failure> {
    let Some(cursor) = cursor else { return Ok(None) };
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok();
    let place = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let wrong = || Failure::field("after", "the `next` of an earlier page", "another text");
    place.map(Some).ok_or_else(wrong)
}

//! `Rate`: a number in any window of a length, as the config has it.
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::wire::duration;

/// A number in any window of a length, such as `60/1m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    /// The number.
    pub number: u64,
    /// The length of the window.
    pub window: Duration,
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("expected a number and a time such as `60/1m`, found `{text}`");
        let (number, window) = text.split_once('/').ok_or_else(wrong)?;
        let number = number.trim().parse().map_err(|_| wrong())?;
        let window = duration::parse(window.trim()).map_err(|_| wrong())?;
        match (number, window.is_zero()) {
            (0, _) => Err(format!("expected at least 1 in a window, found `{text}`")),
            (_, true) => Err(format!("expected a window longer than 0, found `{text}`")),
            (number, _) => Ok(Self { number, window }),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, duration::text(self.window))
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

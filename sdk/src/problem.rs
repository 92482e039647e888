//! `Problem`: why a plugin could not do what it was asked.
use std::fmt;

/// The result of everything in a plugin that can fail.
pub type Result<T, E = Problem> = std::result::Result<T, E>;

/// What the model reads (of a tool, as an `is_error` result) or the operator (of a hook).
///
/// The text leaves the plugin: no secret belongs into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// For programs: `invalid_input`, `unavailable`, a word of your own.
    pub code: String,
    /// What was found and what would do.
    pub message: String,
    /// The same call may succeed later.
    pub retryable: bool,
}

impl Problem {
    /// A problem that will stay, under a code of your own.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), retryable: false }
    }

    /// What the model or the caller gave does not do.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new("invalid_input", message)
    }

    /// Something that should not happen, such as an error of a library: its text is the message.
    ///
    /// ```
    /// use tidegate_sdk::Problem;
    ///
    /// let read = "seven".parse::<u8>().map_err(Problem::internal);
    /// assert_eq!(read.unwrap_err().to_string(), "internal: invalid digit found in string");
    /// ```
    pub fn internal(error: impl fmt::Display) -> Self {
        Self::new("internal", error.to_string())
    }

    /// Something that the plugin needs is not there now; the same call may succeed later.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::new("unavailable", message) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Problem {}

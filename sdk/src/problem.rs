//! `Problem`: the error of a plugin.
use std::fmt;

/// The result of every function of a plugin that can fail.
pub type Result<T, E = Problem> = std::result::Result<T, E>;

/// The error of a plugin. The model reads the error of a tool as an `is_error` result; the operator
/// reads the error of a hook.
///
/// The text leaves the plugin, so it must not contain secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The code for programs: `invalid_input`, `unavailable`, or the plugin's own word.
    pub code: String,
    /// The message: the value that was found, and the expected one.
    pub message: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
}

impl Problem {
    /// Makes a problem that is not retryable, with the plugin's own code.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), retryable: false }
    }

    /// Makes a problem for an invalid input of the model or the caller.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new("invalid_input", message)
    }

    /// Makes a problem for an unexpected error, such as an error of a library. The error's text is
    /// the message.
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

    /// Makes a problem for a resource that is not available now. The same call may succeed later.
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

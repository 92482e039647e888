//! The operator's files: config, secrets, certificates, policies, plugins.
//!
//! An I/O error never counts as an absent file: a guard that cannot be read would be lost without notice. Only
//! regular files are read. A reading that hangs ends after a time limit.
mod limit;
mod read;
mod text;

use std::fmt;
use std::io;
use std::path::Path;

pub(crate) use read::{bytes, entries, exists};
pub(crate) use text::{pem, text};

use crate::error::Problem;

/// The reason why a file or folder cannot be used. `Display` continues the sentence after the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unread {
    /// The line of the file that is wrong, from 1.
    line: Option<usize>,
    message: String,
}

impl Unread {
    fn new(why: impl fmt::Display) -> Self {
        Self { line: None, message: format!("cannot be read: {why}") }
    }

    fn of_content(line: Option<usize>, message: String) -> Self {
        Self { line, message }
    }

    /// Returns the problem of the file or folder at this path.
    pub(crate) fn at(&self, path: &Path) -> Problem {
        let path = path.display();
        let place = match self.line {
            Some(line) => format!("{path}:{line}"),
            None => path.to_string(),
        };
        Problem::new(place, &self.message)
    }
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::new(error)
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{} (line {line})", self.message),
            None => f.write_str(&self.message),
        }
    }
}

#[cfg(test)]
mod tests;

//! `Failure`: how a plugin broke, in full for the log and in few words for the caller.
use std::fmt;
use std::time::Duration;

use wasmtime::Trap;

use crate::error::{Error, ErrorKind};
use crate::policy::plugin_host::bindings::Call;

/// Why a call did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It took longer than it may.
    Deadline(Duration),
    /// It wanted more memory than this many bytes.
    Memory(usize),
    /// It ran out of stack.
    Stack,
    /// It trapped: a panic, for the most part.
    Trap(String),
    /// It reported a problem where it had to decide.
    Problem(String),
    /// It returned what is none of the things it may return.
    Nonsense(String),
    /// No room in the instance pool within the deadline.
    Busy,
}

impl Cause {
    pub(super) fn of(error: &wasmtime::Error, call: &Call) -> Self {
        if call.memory.is_exceeded {
            return Self::Memory(call.memory.limit);
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => Self::Stack,
            // a Rust guest's own stack lies at the bottom of its memory and runs out of that
            Some(Trap::MemoryOutOfBounds) if call.last_words.is_none() => Self::Stack,
            _ => Self::Trap(one_line(error)),
        }
    }

    /// What a caller may read: nothing of the plugin's insides.
    fn to_caller(&self) -> String {
        match self {
            Self::Deadline(limit) => format!("did not finish within {limit:?}"),
            Self::Memory(limit) => format!("needs more than its {} MiB of memory", limit >> 20),
            Self::Stack => "ran out of stack".to_owned(),
            Self::Busy => "got no turn: too many plugin calls run at once".to_owned(),
            Self::Trap(_) | Self::Problem(_) | Self::Nonsense(_) => "broke".to_owned(),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trap(text) | Self::Problem(text) | Self::Nonsense(text) => f.write_str(text),
            cause => f.write_str(&cause.to_caller()),
        }
    }
}

fn one_line(error: &wasmtime::Error) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How a plugin broke; goes to the log as the source of an [`Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The plugin's name.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// What it was asked to do: a hook, or a tool by its name.
    pub task: String,
    /// Why it did not.
    pub cause: Cause,
    /// The last line that it logged as an error: the text of a panic.
    pub last_words: Option<String>,
}

impl Failure {
    /// The error of the request that ran into it: the caller learns which plugin, the log the rest.
    pub(in crate::policy) fn into_error(self) -> Error {
        let message =
            format!("plugin `{}` {} in `{}`", self.plugin, self.cause.to_caller(), self.task);
        Error::new(ErrorKind::Api, message).with_source(self)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin `{}` {} in `{}`: ", self.plugin, self.version, self.task)?;
        write!(f, "{}", self.cause)?;
        match &self.last_words {
            Some(words) => write!(f, "; its last words: {words}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

//! `Failure`: how a plugin broke, in full for the log and in few words for the caller.
use std::fmt;
use std::time::Duration;

use wasmtime::Trap;

use crate::error::{Error, ErrorKind};
use crate::plugin_host::call::Call;
use crate::plugin_host::export::Export;

/// What a plugin may return, in bytes: a model reads nothing near as long.
pub(super) const MAX_RESULT: usize = 8 << 20;

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
    /// It returned more than this many bytes.
    Size(usize),
    /// As many calls of it as may be ran all the time.
    Busy {
        /// How long the call may take, waiting included.
        limit: Duration,
        /// How many of them may run at once.
        calls: u32,
        /// What they are calls of: tools and hooks have seats of their own.
        of: &'static str,
        /// The key of the config that says so.
        key: String,
    },
    /// No room for the call in the instance pool of all plugins, for as long as it may take.
    Full(Duration),
    /// It is not run for a while, since it broke again and again.
    Resting {
        /// How often it broke.
        breaks: usize,
        /// In which time.
        within: Duration,
        /// When it is tried again.
        left: Duration,
    },
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
            // wasmtime has no public type for it
            None if error.to_string().starts_with("too much data is being copied") => {
                Self::Size(MAX_RESULT)
            }
            _ => Self::Trap(one_line(error)),
        }
    }

    /// The plugin itself failed, and may fail again: neither is so where it reports a problem.
    pub(super) fn is_break(&self) -> bool {
        match self {
            Self::Deadline(_) | Self::Memory(_) | Self::Stack | Self::Trap(_) => true,
            Self::Problem(_) | Self::Nonsense(_) | Self::Size(_) => false,
            Self::Busy { .. } | Self::Full(_) | Self::Resting { .. } => false,
        }
    }

    /// What a caller may read: nothing of the plugin's insides.
    fn to_caller(&self) -> String {
        match self {
            Self::Deadline(limit) => format!("did not finish within {limit:?}"),
            Self::Memory(limit) => format!("needs more than its {} MiB of memory", limit >> 20),
            Self::Stack => "ran out of stack".to_owned(),
            Self::Size(limit) => format!("gave a result of more than {} MiB", limit >> 20),
            Self::Busy { limit, calls, of, key } => format!(
                "got no turn within {limit:?}: {calls} calls of {of} run at once, raise `{key}`"
            ),
            Self::Full(limit) => {
                format!("got no turn within {limit:?}: too many plugin calls run at once")
            }
            Self::Resting { breaks, within, left } => {
                let seconds = left.as_secs_f64().ceil();
                format!(
                    "broke {breaks} times within {within:?}, is tried again in {seconds}s, and was not run"
                )
            }
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
    pub(super) fn into_error(self) -> Error {
        let message =
            format!("plugin `{}` {} in `{}`", self.plugin, self.cause.to_caller(), self.task);
        let is_logged = matches!(self.cause, Cause::Resting { .. });
        Error { is_logged, ..Error::new(ErrorKind::Api, message).with_source(self) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin `{}` {} in `{}`: ", self.plugin, self.version, self.task)?;
        write!(f, "{}", self.cause)?;
        if matches!(self.cause, Cause::Deadline(_)) {
            let is_tool = self.task.starts_with(Export::CallTool.as_str());
            let key = if is_tool { "deadline" } else { "hook_deadline" };
            write!(f, " (its `{key}`)")?;
        }
        match &self.last_words {
            Some(words) => write!(f, "; its last words: {words}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

//! `Failure`: a plugin's failure, in full for the log and short for the caller.
use std::fmt;
use std::time::Duration;

use wasmtime::Trap;

use crate::error::{Error, ErrorKind};
use crate::plugin_host::call::{PluginCall, Size};
use crate::plugin_host::export::Export;

/// The maximum size of a plugin's result, in bytes. No model reads a longer one.
pub(super) const MAX_RESULT: usize = 8 << 20;

/// The reason why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The call exceeded this time limit.
    Deadline(Duration),
    /// The call exceeded this time limit, which began long before the plugin: it waited for a seat.
    Late(Duration),
    /// The call exceeded this time limit with a large input.
    Slow(Duration),
    /// The plugin needed more than this many bytes of memory.
    Memory(usize),
    /// The plugin needed more than this many bytes of memory for a large input.
    Input(usize),
    /// The plugin ran out of stack.
    Stack,
    /// The plugin trapped, mostly by a panic.
    Trap(String),
    /// The plugin reported a problem instead of a decision.
    Problem(String),
    /// The plugin returned an invalid value.
    Nonsense(String),
    /// The plugin returned more than this many bytes.
    Size(usize),
    /// No seat of the plugin became free within the limit.
    Busy {
        /// The time limit of the call, waiting included.
        limit: Duration,
        /// The highest number of concurrent calls.
        calls: u32,
        /// The kind of these calls: tools and hooks have separate seats.
        of: &'static str,
        /// The config key of this number.
        key: String,
    },
    /// The instance pool of all plugins had no room within this time limit.
    Full(Duration),
    /// The plugin is suspended, because it failed repeatedly.
    Resting {
        /// The number of failures.
        breaks: usize,
        /// The period of these failures.
        within: Duration,
        /// The time until the next trial.
        left: Duration,
    },
}

impl Cause {
    pub(super) fn of(error: &wasmtime::Error, call: &PluginCall) -> Self {
        if call.memory.is_exceeded {
            let limit = call.memory.limit;
            return match call.size() {
                Size::Usual => Self::Memory(limit),
                Size::Large => Self::Input(limit),
            };
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

    /// Returns the cause for a call that exceeded its limit. `waited` is the time before the plugin began.
    pub(super) fn timed_out(limit: Duration, waited: Duration, size: Size) -> Self {
        match size {
            _ if waited > limit / 2 => Self::Late(limit),
            Size::Large => Self::Slow(limit),
            Size::Usual => Self::Deadline(limit),
        }
    }

    /// Returns whether the plugin itself failed and may fail again. A reported problem is not such
    /// a failure, and neither is one whose cause is the input or the load: any caller could have the plugin
    /// suspended for all others.
    pub(super) fn is_break(&self) -> bool {
        match self {
            Self::Deadline(_) | Self::Memory(_) | Self::Stack | Self::Trap(_) => true,
            Self::Problem(_) | Self::Nonsense(_) | Self::Size(_) => false,
            Self::Busy { .. } | Self::Full(_) | Self::Resting { .. } => false,
            Self::Late(_) | Self::Slow(_) | Self::Input(_) => false,
        }
    }

    /// Returns whether the input or the load caused the failure, so that it says nothing about the plugin.
    pub(super) fn is_of_input(&self) -> bool {
        matches!(self, Self::Late(_) | Self::Slow(_) | Self::Input(_))
    }

    /// Returns the text for the caller, without details of the plugin's internals.
    fn to_caller(&self) -> String {
        match self {
            Self::Deadline(limit) => format!("did not finish within {limit:?}"),
            Self::Late(limit) => {
                format!("did not finish within {limit:?}, most of which it waited for its turn")
            }
            Self::Slow(limit) => format!("did not finish within {limit:?} with such a large input"),
            Self::Memory(limit) => format!("needs more than its {} MiB of memory", limit >> 20),
            Self::Input(limit) => {
                format!("needs more than its {} MiB of memory for such a large input", limit >> 20)
            }
            Self::Stack => "ran out of stack".to_owned(),
            Self::Size(limit) => format!("gave a result of more than {} MiB", limit >> 20),
            Self::Busy { limit, calls, of, key } => format!(
                "did not start within {limit:?}: {calls} calls of {of} run at once, raise `{key}`"
            ),
            Self::Full(limit) => {
                format!("did not start within {limit:?}: too many plugin calls run at once")
            }
            Self::Resting { breaks, within, left } => {
                let seconds = left.as_secs_f64().ceil();
                format!(
                    "is suspended for {seconds}s after it broke {breaks} times within {within:?}, and was not called"
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

/// A plugin's failure; the log gets it as the source of an [`Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's version.
    pub version: String,
    /// The task of the call: a hook, or a tool by its name.
    pub task: String,
    /// The reason of the failure.
    pub cause: Cause,
    /// The last line that the plugin logged as an error, such as the text of a panic.
    pub last_words: Option<String>,
}

impl Failure {
    /// Returns the error of the request. The caller learns the plugin's name, the log gets the
    /// rest.
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
        if matches!(self.cause, Cause::Deadline(_) | Cause::Late(_) | Cause::Slow(_)) {
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

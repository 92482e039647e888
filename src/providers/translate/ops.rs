//! `Op`: the small steps that every translated answer consists of, whatever the upstream's dialect.
use std::time::Duration;

use crate::error::ErrorKind;

/// One step of an answer. A dialect's parser makes them, and the machine turns them into events.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Op {
    /// More text.
    Text(String),
    /// The text before this step is complete: more text is another block.
    TextEnd,
    /// More reasoning.
    Thinking(String),
    /// The payload that the upstream needs back with the reasoning before it. The reasoning ends here.
    Signature(String),
    /// A tool call begins, or one more fact about it is known.
    Call {
        /// The number of the call within the answer.
        key: u64,
        /// The upstream's id.
        id: Option<String>,
        /// The name that the upstream knows.
        name: Option<String>,
    },
    /// More of a call's arguments.
    Args {
        /// The number of the call.
        key: u64,
        /// A piece of JSON.
        json: String,
    },
    /// A whole content block as JSON, such as the result of the upstream's own search.
    Block(String),
    /// The reason of the end. Only usage may follow.
    Finish(Finish),
    /// The tokens so far. The last report counts.
    Usage(Tokens),
    /// The answer failed.
    Fail(Failure),
    /// The upstream has said that nothing follows.
    Done,
}

/// The reason for the end of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finish {
    /// The model ended, by a tool call if there is one.
    Turn,
    /// The limit of tokens was reached.
    MaxTokens,
    /// A stop sequence matched.
    Stop(String),
    /// The upstream refused, with its explanation if it gave one.
    Refusal(Option<String>),
}

/// Token counts in the Messages API's form: `input` excludes cached tokens, `output` includes reasoning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// `input_tokens`
    pub(crate) input: u64,
    /// `cache_read_input_tokens`
    pub(crate) cache_read: u64,
    /// `cache_creation_input_tokens`
    pub(crate) cache_write: u64,
    /// `output_tokens`
    pub(crate) output: u64,
    /// `output_tokens_details.thinking_tokens`
    pub(crate) thinking: Option<u64>,
    /// `server_tool_use.web_search_requests`
    pub(crate) searches: u64,
}

/// The failure of an answer, inside of a body with a success status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The kind.
    pub(crate) kind: ErrorKind,
    /// The status that the upstream would have had to send.
    pub(crate) status: u16,
    /// The upstream's words.
    pub(crate) message: String,
    /// The wait that the upstream asks for.
    pub(crate) retry_after: Option<Duration>,
}

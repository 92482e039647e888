//! The moment that a case is about: `on_request` alone, or one thing that happens after it.
use serde_json::{Map, Value};

/// What happens to the request after `on_request`.
pub(super) enum Subject<'a> {
    /// Nothing: the case is about `on_request`.
    Request,
    Upstream(&'a Map<String, Value>),
    Response(&'a Value),
    Stream(&'a Value),
    ToolCall(&'a Map<String, Value>),
    ToolResult(&'a Map<String, Value>),
    Error(&'a Map<String, Value>),
}

impl Subject<'_> {
    /// The key in a case.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Upstream(_) => "upstream_request",
            Self::Response(_) => "response",
            Self::Stream(_) => "stream",
            Self::ToolCall(_) => "tool_call",
            Self::ToolResult(_) => "tool_result",
            Self::Error(_) => "error",
        }
    }
}

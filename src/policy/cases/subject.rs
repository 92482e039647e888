//! `Subject`: the hook that a case tests: `on_request` alone, or one later hook.
use serde_json::{Map, Value};

/// The event after `on_request` that a case is about.
pub(super) enum Subject<'a> {
    /// None: the case is about `on_request`.
    Request,
    Upstream(&'a Map<String, Value>),
    Response(&'a Value),
    Stream(&'a Value),
    ToolCall(&'a Map<String, Value>),
    ToolResult(&'a Map<String, Value>),
    Error(&'a Map<String, Value>),
}

impl Subject<'_> {
    /// Returns the key in a case.
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

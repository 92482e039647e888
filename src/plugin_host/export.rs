//! `Export`: the functions of a plugin that the host calls, `describe` left out.

/// A function that a plugin exports: its tools and its hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Export {
    /// The server tools.
    CallTool,
    /// The hook before a request is routed.
    OnRequest,
    /// The hook before each attempt.
    OnUpstreamRequest,
    /// The hook on the whole message.
    OnResponse,
}

impl Export {
    pub(super) const ALL: [Self; 4] =
        [Self::CallTool, Self::OnRequest, Self::OnUpstreamRequest, Self::OnResponse];

    /// Returns its name in the WIT interface.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::CallTool => "call-tool",
            Self::OnRequest => "on-request",
            Self::OnUpstreamRequest => "on-upstream-request",
            Self::OnResponse => "on-response",
        }
    }
}

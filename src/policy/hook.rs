//! The hooks that a stage may define, and sets of hooks.

/// A moment at which a request runs through the stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    /// Once, when the caller is known.
    Request,
    /// Before each attempt.
    UpstreamRequest,
    /// Each event on its way to the caller.
    Event,
    /// Text on its way to the caller, in sentences or lines.
    Text,
    /// Before a server tool runs.
    ToolCall,
    /// After a server tool has run.
    ToolResult,
    /// The whole message.
    Response,
    /// Before an error is sent to the caller.
    Error,
}

/// The verbs that take effect in some hooks only.
const VERBS: &[(&str, &[Hook])] = &[
    ("add_tool", &[Hook::Request]),
    (
        "deny",
        &[
            Hook::Request,
            Hook::UpstreamRequest,
            Hook::Event,
            Hook::Text,
            Hook::ToolCall,
            Hook::ToolResult,
            Hook::Response,
        ],
    ),
    ("drop_event", &[Hook::Event]),
    ("pass_over", &[Hook::UpstreamRequest]),
    ("respond", &[Hook::Request, Hook::ToolCall, Hook::ToolResult]),
    ("route", &[Hook::Request]),
    ("set_header", &[Hook::Request, Hook::UpstreamRequest]),
    ("set_response_header", &[Hook::Request, Hook::UpstreamRequest, Hook::Response, Hook::Error]),
];

impl Hook {
    /// Every hook, in the order in which a request reaches them.
    pub const ALL: [Self; 8] = [
        Self::Request,
        Self::UpstreamRequest,
        Self::Event,
        Self::Text,
        Self::ToolCall,
        Self::ToolResult,
        Self::Response,
        Self::Error,
    ];

    /// Returns the name of the script function, which is also the metrics' label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "on_request",
            Self::UpstreamRequest => "on_upstream_request",
            Self::Event => "on_event",
            Self::Text => "on_text",
            Self::ToolCall => "on_tool_call",
            Self::ToolResult => "on_tool_result",
            Self::Response => "on_response",
            Self::Error => "on_error",
        }
    }

    /// Returns the hook with this function name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.as_str() == name)
    }

    /// Returns the parameters of the function.
    pub fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Request => &["request", "ctx"],
            Self::UpstreamRequest => &["request", "target", "ctx"],
            Self::Event => &["event", "ctx"],
            Self::Text => &["text", "ctx"],
            Self::ToolCall => &["call", "ctx"],
            Self::ToolResult => &["result", "ctx"],
            Self::Response => &["message", "ctx"],
            Self::Error => &["error", "ctx"],
        }
    }

    /// Returns the error message for a verb that has no effect in this hook.
    pub(super) fn misuse(self, verb: &str) -> Option<String> {
        let (_, hooks) = VERBS.iter().find(|(name, _)| *name == verb)?;
        if hooks.contains(&self) {
            return None;
        }
        let there: Vec<String> = hooks.iter().map(|hook| format!("`{}`", hook.as_str())).collect();
        let (here, there) = (self.as_str(), there.join(", "));
        Some(format!("`{verb}` does nothing in `{here}`: it works in {there}"))
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of hooks. A hook that no stage defines costs nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hooks(u8);

impl Hooks {
    /// Returns whether the set contains `hook`.
    pub fn has(self, hook: Hook) -> bool {
        self.0 & hook.bit() != 0
    }

    /// Returns whether the set contains any of `hooks`.
    pub fn has_any(self, hooks: &[Hook]) -> bool {
        hooks.iter().any(|hook| self.has(*hook))
    }

    /// Returns whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the union of both sets.
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<Hook> for Hooks {
    fn from_iter<T: IntoIterator<Item = Hook>>(hooks: T) -> Self {
        Self(hooks.into_iter().fold(0, |bits, hook| bits | hook.bit()))
    }
}

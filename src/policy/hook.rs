//! The hooks that a stage may define, and sets of them.

/// A moment at which a request runs through the stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    /// Once, when the caller is known.
    Request,
    /// Before each attempt.
    UpstreamRequest,
    /// Each event on its way to the caller.
    Event,
    /// Text on its way to the caller, by sentences or lines.
    Text,
    /// Before a server tool runs.
    ToolCall,
    /// When a server tool has run.
    ToolResult,
    /// The whole message.
    Response,
    /// Before an error goes out.
    Error,
}

/// The verbs that somebody acts on in some hooks only.
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
    /// All there are, in the order in which a request comes to them.
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

    /// The name of the function that a script defines, which is also the metrics' label.
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

    /// The one whose function has this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.as_str() == name)
    }

    /// The parameters of that function.
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

    /// What is wrong with a verb in this hook, if nobody would act on it here.
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

/// A set of hooks: what nobody defines costs nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hooks(u8);

impl Hooks {
    /// Whether this one is in it.
    pub fn has(self, hook: Hook) -> bool {
        self.0 & hook.bit() != 0
    }

    /// Whether any of these is in it.
    pub fn has_any(self, hooks: &[Hook]) -> bool {
        hooks.iter().any(|hook| self.has(*hook))
    }

    /// There is none in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in either.
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<Hook> for Hooks {
    fn from_iter<T: IntoIterator<Item = Hook>>(hooks: T) -> Self {
        Self(hooks.into_iter().fold(0, |bits, hook| bits | hook.bit()))
    }
}

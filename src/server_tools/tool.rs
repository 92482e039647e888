//! A server tool of one request, a call of it, and how the client sees both.
use bytes::Bytes;

/// The prefix of the `type` of a server tool in a declaration: `gateway:datetime`.
pub const NAMESPACE: &str = "gateway:";
/// The prefix of the name that the upstream receives: `gateway_datetime`.
pub const UPSTREAM_PREFIX: &str = "gateway_";
/// The `server_name` in `mcp_tool_use` blocks.
pub const SERVER_NAME: &str = "gateway";

/// The prefix that the gateway adds to the upstream's id of a native call that it ran.
pub const OURS: &str = "srvtoolu_gateway_";

/// How the caller sees a server tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// Not at all: a policy added it.
    Hidden,
    /// As a tool of an MCP server: `mcp_tool_use`, `mcp_tool_result`.
    Mcp,
    /// As the API's own search: `server_tool_use`, `web_search_tool_result`.
    Search,
    /// As the API's own fetch: `server_tool_use`, `web_fetch_tool_result`.
    Fetch {
        /// The caller enabled citations of what is fetched.
        is_cited: bool,
    },
}

impl Face {
    /// Of a tool that the caller declared.
    pub fn of(name: &str) -> Self {
        match name {
            "web_search" => Self::Search,
            "web_fetch" => Self::Fetch { is_cited: false },
            _ => Self::Mcp,
        }
    }

    /// The caller sees its calls.
    pub fn is_shown(self) -> bool {
        self != Self::Hidden
    }

    /// The type of the block that shows the caller a call.
    pub fn call_kind(self) -> &'static str {
        match self {
            Self::Search | Self::Fetch { .. } => "server_tool_use",
            Self::Mcp | Self::Hidden => "mcp_tool_use",
        }
    }

    /// The type of the block that shows the caller a result.
    pub fn result_kind(self) -> &'static str {
        match self {
            Self::Search => "web_search_tool_result",
            Self::Fetch { .. } => "web_fetch_tool_result",
            Self::Mcp | Self::Hidden => "mcp_tool_result",
        }
    }

    /// The id under which the caller sees a call.
    pub fn id(self, upstream_id: &str) -> String {
        match self {
            Self::Search | Self::Fetch { .. } => format!("{OURS}{upstream_id}"),
            Self::Mcp | Self::Hidden => upstream_id.to_owned(),
        }
    }
}

/// One server tool that this request may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTool {
    /// As the plugin names it: `datetime`.
    pub name: String,
    /// As the upstream sees it: `gateway_datetime`.
    pub upstream_name: String,
    /// The options flat on the declaration, a JSON object: bounds that the model cannot widen.
    pub options: Bytes,
    /// How the caller sees its calls.
    pub face: Face,
    /// How often it may be called.
    pub max_uses: Option<u64>,
    /// All calls in the history count towards that; of the API's own tools only those of the turn that
    /// the request carries on.
    pub counts_history: bool,
    /// Its options ask for the conversation so far.
    pub wants_transcript: bool,
}

/// The name under which an upstream sees a server tool. Names are of `a` to `z`, digits and `_`: the
/// one that a plugin's manifest has is the one that callers declare (`gateway:web_fetch`).
pub fn upstream_name(name: &str) -> String {
    format!("{UPSTREAM_PREFIX}{name}")
}

/// A call of a server tool that a finished turn asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// `toolu_…`
    pub id: String,
    /// Which of the request's server tools.
    pub tool: usize,
    /// As the model wrote it.
    pub input: Bytes,
}

//! A server tool of one request, a call of it, and how the client sees both.
use bytes::Bytes;

/// The prefix of the `type` of a server tool in a declaration: `gateway:datetime`.
pub(crate) const NAMESPACE: &str = "gateway:";
/// The prefix of the name that the upstream receives: `gateway_datetime`.
pub(crate) const UPSTREAM_PREFIX: &str = "gateway_";
/// The `server_name` in `mcp_tool_use` blocks.
pub(crate) const SERVER_NAME: &str = "gateway";

/// The prefix that the gateway adds to the upstream's id of a native call that it ran.
pub(crate) const OURS: &str = "srvtoolu_gateway_";

/// The caller's form of a server tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    /// Hidden from the caller: a policy added the tool.
    Hidden,
    /// A tool of an MCP server: `mcp_tool_use`, `mcp_tool_result`.
    Mcp,
    /// The API's own search: `server_tool_use`, `web_search_tool_result`.
    Search,
    /// The API's own fetch: `server_tool_use`, `web_fetch_tool_result`.
    Fetch {
        /// Whether the caller enabled citations of fetched pages.
        is_cited: bool,
    },
}

impl Face {
    /// Returns the face of a tool that the caller declared.
    pub(crate) fn of(name: &str) -> Self {
        match name {
            "web_search" => Self::Search,
            "web_fetch" => Self::Fetch { is_cited: false },
            _ => Self::Mcp,
        }
    }

    /// Returns whether the caller sees the calls.
    pub(crate) fn is_shown(self) -> bool {
        self != Self::Hidden
    }

    /// Returns the type of a call's block for the caller.
    pub(crate) fn call_kind(self) -> &'static str {
        match self {
            Self::Search | Self::Fetch { .. } => "server_tool_use",
            Self::Mcp | Self::Hidden => "mcp_tool_use",
        }
    }

    /// Returns the type of a result's block for the caller.
    pub(crate) fn result_kind(self) -> &'static str {
        match self {
            Self::Search => "web_search_tool_result",
            Self::Fetch { .. } => "web_fetch_tool_result",
            Self::Mcp | Self::Hidden => "mcp_tool_result",
        }
    }

    /// Returns the caller's id of a call.
    pub(crate) fn id(self, upstream_id: &str) -> String {
        match self {
            Self::Search | Self::Fetch { .. } => format!("{OURS}{upstream_id}"),
            Self::Mcp | Self::Hidden => upstream_id.to_owned(),
        }
    }
}

/// One server tool that this request may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerTool {
    /// The plugin's name of the tool: `datetime`.
    pub name: String,
    /// The upstream's name of the tool: `gateway_datetime`.
    pub upstream_name: String,
    /// The options from the declaration, a JSON object: bounds that the model cannot widen.
    pub options: Bytes,
    /// The caller's form of its calls.
    pub face: Face,
    /// The highest number of calls.
    pub max_uses: Option<u64>,
    /// Whether all calls in the history count towards `max_uses`. For the API's own tools only the
    /// calls of the continued turn count.
    pub counts_history: bool,
    /// Whether its options request the conversation so far.
    pub wants_transcript: bool,
}

/// Returns the upstream's name of a server tool. Names consist of `a` to `z`, digits and `_`. The
/// name in a plugin's manifest is also the name that callers declare (`gateway:web_fetch`).
pub(crate) fn upstream_name(name: &str) -> String {
    format!("{UPSTREAM_PREFIX}{name}")
}

/// A call of a server tool in a finished turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerToolCall {
    /// `toolu_…`
    pub id: String,
    /// The index of the tool among the request's server tools.
    pub tool: usize,
    /// The input as the model wrote it.
    pub input: Bytes,
}

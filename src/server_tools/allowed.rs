//! The server tools of a request against those that the client's key may use.
use crate::auth::Identity;
use crate::error::{Error, ErrorKind, Result};
use crate::server_tools::native;
use crate::server_tools::tool::NAMESPACE;
use crate::wire::{Kind, MessagesRequest, Step};

/// The API's own tools that the client runs itself, without their dates (messages-api.md 5).
const OF_CLIENTS: [&str; 7] =
    ["custom", "bash", "text_editor", "computer", "computer_toolset", "browser_toolset", "memory"];
/// The tools of the upstream's MCP servers.
const MCP: &str = "mcp_toolset";
/// The length of a date and its underscore.
const DATED: usize = "_20250305".len();

/// Checks every server tool of a request, whether the gateway or the upstream runs it. A tool that a stage added is left
/// out if the key may not use it; `declared` has the types that the client declared.
///
/// Fails with a 403 if the client declared a tool that its key may not use.
pub(crate) fn check(
    request: &mut MessagesRequest,
    declared: &[String],
    identity: &Identity,
) -> Result<()> {
    if !identity.has_own_tools() {
        return Ok(());
    }
    let servers = [Step::Key("mcp_servers")];
    let has_servers = request.document_mut().len(&servers)?.is_some_and(|count| count > 0);
    if has_servers && !identity.may_call(MCP) {
        return Err(refused("mcp_servers", MCP, identity));
    }
    let tools = [Step::Key("tools")];
    let count = request.document_mut().len(&tools)?.unwrap_or_default();
    let mut left = count;
    for n in (0..count as i64).rev() {
        let Some(kind) = tool_type(request, n)? else { continue };
        let Some(name) = server_tool(&kind).filter(|name| !identity.may_call(name)) else {
            continue;
        };
        let is_ours = kind.starts_with(NAMESPACE) || native::tool_of(&kind).is_some();
        if !is_ours || declared.contains(&kind) {
            return Err(refused(&format!("tools[{n}]"), name, identity));
        }
        request.document_mut().remove(&[Step::Key("tools"), Step::Index(n)])?;
        left -= 1;
    }
    if left == 0 && count > 0 {
        request.document_mut().remove(&tools)?;
    }
    Ok(())
}

fn tool_type(request: &mut MessagesRequest, n: i64) -> Result<Option<String>> {
    let path = [Step::Key("tools"), Step::Index(n), Step::Key("type")];
    let document = request.document_mut();
    if document.kind(&path)? != Some(Kind::String) {
        return Ok(None);
    }
    let text = document.get(&path)?.unwrap_or_default();
    Ok(serde_json::from_slice(&text).ok())
}

/// Returns the name of a server tool by its type; `None` if the client runs the tool.
fn server_tool(kind: &str) -> Option<&str> {
    if let Some(name) = kind.strip_prefix(NAMESPACE) {
        return Some(name);
    }
    let (name, date) = kind.split_at_checked(kind.len().saturating_sub(DATED))?;
    let is_dated = date.strip_prefix('_').is_some_and(|date| {
        date.len() == DATED - 1 && date.bytes().all(|byte| byte.is_ascii_digit())
    });
    let name = if is_dated { name } else { kind };
    (!OF_CLIENTS.contains(&name)).then_some(name)
}

fn refused(field: &str, name: &str, identity: &Identity) -> Error {
    let shown: String = name.chars().take(64).collect();
    let message = format!(
        "`{field}`: the key `{}` may not use the server tool `{shown}`: remove it, or use another key",
        identity.caller.key
    );
    let log = format!("`{field}`: the key may not use this server tool");
    Error::new(ErrorKind::Permission, message).with_log(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_names_a_server_tool_or_one_of_the_clients() {
        for (kind, name) in [
            ("gateway:clock", Some("clock")),
            ("web_search_20250305", Some("web_search")),
            ("code_execution_20260521", Some("code_execution")),
            ("tool_search_tool_bm25", Some("tool_search_tool_bm25")),
            ("tool_search_tool_regex_20251119", Some("tool_search_tool_regex")),
            ("mcp_toolset", Some("mcp_toolset")),
            ("advisor_20260301", Some("advisor")),
            ("of_tomorrow_20991231", Some("of_tomorrow")),
            ("\u{e4}", Some("\u{e4}")),
            ("custom", None),
            ("bash_20250124", None),
            ("text_editor_20250728", None),
            ("computer_20251124", None),
            ("memory_20250818", None),
        ] {
            assert_eq!(server_tool(kind), name, "{kind}");
        }
    }
}

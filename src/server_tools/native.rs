//! The API's own search and fetch tools: whether the gateway runs them, and how their declarations
//! map onto plugins.
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::models::{ServerTools, Target};
use crate::server_tools::tool::Face;

/// The approximate number of plain-text characters in a token.
const CHARS_A_TOKEN: u64 = 4;

/// The API's own server tools that the gateway runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fulfil {
    /// None: the upstream runs them.
    Nothing,
    /// The tools that a plugin provides; the upstream runs the others.
    Possible,
    /// All: a tool that no plugin provides is an error.
    All,
}

impl Fulfil {
    /// Applies the setting of the alias. `auto` leaves a type of tools to the upstream if every
    /// target of the route has it.
    pub(crate) fn on(setting: ServerTools, targets: &[&Target], kind: &str) -> Self {
        match setting {
            ServerTools::Native => Self::Nothing,
            ServerTools::Gateway => Self::All,
            ServerTools::Auto => {
                let has_it = |target: &&Target| {
                    target.accepts.has_server_tools && !target.accepts.lacks_tool(kind)
                };
                match targets.iter().all(has_it) {
                    true => Self::Nothing,
                    false => Self::Possible,
                }
            }
        }
    }
}

/// Returns the tool that one of the API's own types declares: `web_search` for
/// `web_search_20250305` and any later date.
pub(crate) fn tool_of(kind: &str) -> Option<&'static str> {
    const FIRST: [(&str, &str); 2] = [("web_search", "20250305"), ("web_fetch", "20250910")];
    FIRST.into_iter().find_map(|(name, first)| {
        let date = kind.strip_prefix(name)?.strip_prefix('_')?;
        let is_date = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
        (is_date && date >= first).then_some(name)
    })
}

/// Converts a declaration of the API's own tool into a gateway tool. Returns its face, and leaves
/// the plugin's options in `declared`. `path` is the place of the declaration, such as `tools[3]`.
///
/// Fails with a 400 that names the field if the gateway does not support it.
pub(crate) fn options(path: &str, name: &str, declared: &mut Map<String, Value>) -> Result<Face> {
    declared.retain(|_, value| !value.is_null());
    let refuse = |field: &str, why: &str| {
        Err(Error::invalid(format!(
            "`{path}.{field}` is not supported where the gateway runs `{name}`: {why}"
        )))
    };
    if declared.contains_key("allowed_domains") && declared.contains_key("blocked_domains") {
        return Err(Error::invalid(format!(
            "`{path}` has both `allowed_domains` and `blocked_domains`: use one of them"
        )));
    }
    if let Some(callers) = declared.remove("allowed_callers")
        && !callers.as_array().is_some_and(|callers| callers.iter().any(|one| one == "direct"))
    {
        return refuse("allowed_callers", "only `direct` calls are");
    }
    for field in ["strict", "defer_loading"] {
        if declared.remove(field).is_some_and(|value| value != false) {
            return refuse(field, "remove it");
        }
    }
    if declared.remove("response_inclusion").is_some_and(|value| value != "full") {
        return refuse("response_inclusion", "only `full` is");
    }
    if declared.contains_key("url_sources") {
        return refuse("url_sources", "use `allowed_domains`");
    }
    // the gateway caches nothing here
    declared.remove("use_cache");
    if name != "web_fetch" {
        return Ok(Face::Search);
    }
    let is_cited = match declared.remove("citations") {
        None => false,
        Some(citations) => match citations["enabled"].as_bool() {
            Some(is_cited) => is_cited,
            None => {
                let message = format!("`{path}.citations` must be an object with `enabled`");
                return Err(Error::invalid(message));
            }
        },
    };
    if let Some(tokens) = declared.remove("max_content_tokens") {
        let Some(tokens) = tokens.as_u64() else {
            return Err(Error::invalid(format!(
                "`{path}.max_content_tokens` is {tokens}: it must be a whole number"
            )));
        };
        declared.insert("max_chars".to_owned(), tokens.saturating_mul(CHARS_A_TOKEN).into());
    }
    Ok(Face::Fetch { is_cited })
}

/// Returns a tool's `max_uses`: from the declaration, or else the default in the schema of its
/// options.
pub(crate) fn max_uses(schema: Option<&Value>, options: &Map<String, Value>) -> Option<u64> {
    let rule = schema?.get("properties")?.get("max_uses")?;
    let declared = options.get("max_uses").and_then(Value::as_u64);
    declared.or_else(|| rule.get("default")?.as_u64())
}

/// Limits an option to the plugin's maximum. The API's own tool has no maximum, so a larger value
/// is no error.
pub(crate) fn cap(schema: Option<&Value>, options: &mut Map<String, Value>, field: &str) {
    let rule = schema.and_then(|schema| schema.get("properties")?.get(field)?.get("maximum"));
    let (Some(most), Some(value)) = (rule.and_then(Value::as_u64), options.get_mut(field)) else {
        return;
    };
    if value.as_u64().is_some_and(|value| value > most) {
        *value = most.into();
    }
}

//! The search of the server itself: its declaration, and its calls in the form of the Messages API's own search.
use serde_json::{Map, Value, json};

use super::body::Tool;
use crate::providers::openai::draft::Draft;
use crate::providers::translate::conversation as asked;
use crate::providers::translate::ops::Op;

/// The pattern of the types that the server's search stands for.
pub(crate) const TYPES: &str = "web_search_2*";
/// The name of the tool, in requests and in answers.
pub(super) const NAME: &str = "web_search";
/// The beginning of the ids of such calls.
const ID: &str = "srvtoolu_";

/// Returns whether a tool is the API's own search.
pub(super) fn is_search(tool: &asked::Tool<'_>) -> bool {
    let rest = tool.kind.as_deref().and_then(|kind| kind.strip_prefix("web_search_2"));
    rest.is_some_and(|date| date.len() == 7 && date.bytes().all(|b| b.is_ascii_digit()))
}

/// Returns the declaration of the server's search.
pub(super) fn tool<'a>(draft: &mut Draft<'a>, tool: &asked::Tool<'a>, place: &str) -> Tool<'a> {
    let reason = "the server's search has no such option";
    for (name, value) in [("blocked_domains", tool.blocked_domains), ("max_uses", tool.max_uses)] {
        if value.is_some_and(|value| !matches!(value.get(), "null" | "[]")) {
            draft.drop_content(format!("tools.{name}"), format!("{place}/{name}"), reason);
        }
    }
    let domains = tool.allowed_domains.as_ref().filter(|domains| !domains.is_empty());
    let filters = domains.map(|domains| json!({"allowed_domains": domains}));
    let location = tool.user_location.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let user_location = location.map(|location: Map<String, Value>| {
        let keys = ["city", "region", "country", "timezone"];
        let known = keys.into_iter().filter_map(|key| Some((key, location.get(key)?.as_str()?)));
        let mut approximate = json!({"type": "approximate"});
        for (key, value) in known {
            approximate[key] = value.into();
        }
        approximate
    });
    Tool::WebSearch { filters, user_location }
}

impl Tool<'_> {
    pub(super) fn is_search(&self) -> bool {
        matches!(self, Tool::WebSearch { .. })
    }

    pub(super) fn is_function(&self, wanted: &str) -> bool {
        matches!(self, Tool::Function { name, .. } if name == wanted)
    }
}

/// Returns the blocks of a finished call of the server's search; none if the call opened a page, for which the
/// Messages API's search has no form.
pub(super) fn blocks(item: &Value) -> Vec<Op> {
    let action = &item["action"];
    if !matches!(action["type"].as_str(), None | Some("search")) {
        return Vec::new();
    }
    let own = item["id"].as_str().unwrap_or_default();
    let allowed = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    let id: String = ID.chars().chain(own.chars().filter(allowed)).collect();
    let queries = || action["queries"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let query = action["query"].as_str().filter(|query| !query.is_empty());
    let query = query.map_or_else(|| queries().collect::<Vec<_>>().join("; "), str::to_owned);
    let call =
        json!({"type": "server_tool_use", "id": id, "name": NAME, "input": {"query": query}});
    let content = match item["status"].as_str() {
        Some("failed") => {
            json!({"type": "web_search_tool_result_error", "error_code": "unavailable"})
        }
        _ => action["sources"].as_array().into_iter().flatten().filter_map(hit).collect(),
    };
    let result = json!({"type": "web_search_tool_result", "tool_use_id": id, "content": content});
    [call, result].map(|block| Op::Block(block.to_string())).into()
}

fn hit(source: &Value) -> Option<Value> {
    let url = source["url"].as_str()?;
    let title = source["title"].as_str().filter(|title| !title.is_empty()).unwrap_or(url);
    Some(json!({
        "type": "web_search_result",
        "url": url,
        "title": title,
        // the server gives no text of the page
        "encrypted_content": "",
        "page_age": null,
    }))
}

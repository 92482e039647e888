//! `GET /v1/models` and `GET /v1/models/{id}`: the aliases that this caller may use.
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::exchange::Inbound;
use crate::gateway::Gateway;

/// The default page size. The API accepts 1 to 1000 and defaults to 20.
const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 1000;
/// The stages of a model's life. Every alias is active.
const LIFECYCLES: [&str; 3] = [ACTIVE, "deprecated", "retired"];
const ACTIVE: &str = "active";

/// Returns a page of models by `limit`, `after_id`, `before_id` and `lifecycle[]`. Wildcards name no model and are
/// not listed.
pub(crate) fn list(gateway: &Gateway, inbound: &Inbound) -> Result<Value> {
    let identity = gateway.auth.authenticate(&inbound.head.headers)?;
    let page = Page::parse(inbound.head.uri.query().unwrap_or_default())?;
    let is_listed = |name: &&str| page.lists_active() && identity.may_use(name);
    let names: Vec<&str> = gateway.models.names().into_iter().filter(is_listed).collect();
    let after = page.after.as_ref().and_then(|id| names.iter().position(|name| name == id));
    let before = page.before.as_ref().and_then(|id| names.iter().position(|name| name == id));
    let (begin, end) = (after.map_or(0, |n| n + 1), before.unwrap_or(names.len()));
    let within = names.get(begin..end).unwrap_or_default();
    let shown = match before {
        Some(_) => &within[within.len().saturating_sub(page.limit)..],
        None => &within[..within.len().min(page.limit)],
    };
    Ok(json!({
        "data": shown.iter().map(|name| model(name)).collect::<Vec<_>>(),
        "has_more": shown.len() < within.len(),
        "first_id": shown.first(),
        "last_id": shown.last(),
    }))
}

/// Returns one model. A model that matches only a wildcard is returned too, since callers can use
/// it.
pub(crate) fn show(gateway: &Gateway, inbound: &Inbound, id: &str) -> Result<Value> {
    let identity = gateway.auth.authenticate(&inbound.head.headers)?;
    // SDKs write a `/` in the name as `%2F`
    let id = &*percent_decode_str(id).decode_utf8_lossy();
    gateway.models.resolve(id)?;
    if !identity.may_use(id) {
        let message = format!("the key `{}` may not use the model `{id}`", identity.caller.key);
        return Err(Error::new(ErrorKind::Permission, message));
    }
    Ok(model(id))
}

fn model(id: &str) -> Value {
    json!({
        "type": "model",
        "id": id,
        "display_name": id,
        // the API requires a date, and an alias has none
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": ACTIVE,
        "deprecated_at": null,
        "retires_at": null,
        "line": null,
        "max_input_tokens": null,
        "max_tokens": null,
        "capabilities": null,
    })
}

struct Page {
    limit: usize,
    after: Option<String>,
    before: Option<String>,
    /// The stages to list; empty for all.
    lifecycles: Vec<String>,
}

impl Page {
    fn parse(query: &str) -> Result<Self> {
        let mut page =
            Self { limit: DEFAULT_LIMIT, after: None, before: None, lifecycles: Vec::new() };
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "limit" => page.limit = limit(&value)?,
                "after_id" => page.after = Some(value.into_owned()),
                "before_id" => page.before = Some(value.into_owned()),
                "lifecycle[]" | "lifecycle" => page.lifecycles.push(lifecycle(value.into_owned())?),
                _ => {}
            }
        }
        Ok(page)
    }

    fn lists_active(&self) -> bool {
        self.lifecycles.is_empty() || self.lifecycles.iter().any(|one| one == ACTIVE)
    }
}

fn lifecycle(found: String) -> Result<String> {
    if LIFECYCLES.contains(&&*found) {
        return Ok(found);
    }
    let known = LIFECYCLES.map(|name| format!("`{name}`")).join(", ");
    let shown: String = found.chars().take(20).collect();
    Err(Error::invalid(format!("`lifecycle[]` is `{shown}`: it must be one of {known}")))
}

fn limit(text: &str) -> Result<usize> {
    match text.parse() {
        Ok(limit @ 1..=MAX_LIMIT) => Ok(limit),
        _ => {
            let shown: String = text.chars().take(20).collect();
            Err(Error::invalid(format!(
                "`limit` is `{shown}`: it must be a whole number from 1 to {MAX_LIMIT}"
            )))
        }
    }
}

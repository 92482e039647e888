//! `GET /v1/models` and `GET /v1/models/{id}`: the aliases that this caller may use.
mod facts;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::exchange::Inbound;
use crate::exchange::models::facts::LIFECYCLES;
use crate::gateway::Gateway;
use crate::models::Alias;

/// The default page size. The API accepts 1 to 1000 and defaults to 20.
const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 1000;

/// Returns a page of models by `limit`, `after_id`, `before_id` and `lifecycle[]`. Wildcards name no model and are
/// not listed.
pub(crate) async fn list(gateway: &Gateway, inbound: &Inbound) -> Result<Value> {
    let identity = gateway.auth.authenticate(&inbound.head.headers).await?;
    let page = Page::parse(inbound.head.uri.query().unwrap_or_default())?;
    let aliases = gateway.models.listed().into_iter();
    let aliases = aliases.filter(|alias| {
        identity.may_use(&alias.name) && page.lists(facts::lifecycle(alias, &alias.name))
    });
    let aliases: Vec<&Alias> = aliases.collect();
    let after =
        page.after.as_ref().and_then(|id| aliases.iter().position(|alias| alias.name == *id));
    let before =
        page.before.as_ref().and_then(|id| aliases.iter().position(|alias| alias.name == *id));
    let (begin, end) = (after.map_or(0, |n| n + 1), before.unwrap_or(aliases.len()));
    let within = aliases.get(begin..end).unwrap_or_default();
    let shown = match before {
        Some(_) => &within[within.len().saturating_sub(page.limit)..],
        None => &within[..within.len().min(page.limit)],
    };
    Ok(json!({
        "data": shown.iter().map(|alias| facts::model(gateway, alias, &alias.name)).collect::<Vec<_>>(),
        "has_more": shown.len() < within.len(),
        "first_id": shown.first().map(|alias| &alias.name),
        "last_id": shown.last().map(|alias| &alias.name),
    }))
}

/// Returns one model. A model that matches only a wildcard is returned too, since callers can use
/// it.
pub(crate) async fn show(gateway: &Gateway, inbound: &Inbound, id: &str) -> Result<Value> {
    let identity = gateway.auth.authenticate(&inbound.head.headers).await?;
    // SDKs write a `/` in the name as `%2F`
    let id = &*percent_decode_str(id).decode_utf8_lossy();
    let alias = gateway.models.resolve(id)?;
    if !identity.may_use(id) {
        let message = format!("the key `{}` may not use the model `{id}`", identity.caller.key);
        return Err(Error::new(ErrorKind::Permission, message));
    }
    Ok(facts::model(gateway, alias, id))
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

    fn lists(&self, lifecycle: &str) -> bool {
        self.lifecycles.is_empty() || self.lifecycles.iter().any(|one| one == lifecycle)
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

//! Calls of hidden tools, put back into the history of a caller who has never seen them.
use std::collections::HashSet;
use std::time::Instant;

use memchr::memmem;

use crate::error::Result;
use crate::gateway::carried::{Carried, Hidden};
use crate::wire::{Document, Kind, MessagesRequest, Step};

/// Puts what was kept beside a call of the caller's own before that call, and the results before
/// the caller's; gives their `tool_use_id`s. Touches nothing else, and costs a look where nothing is
/// kept for this caller.
pub fn put_back(
    request: &mut MessagesRequest,
    carried: &Carried,
    caller: &str,
) -> Result<HashSet<String>> {
    let mut unseen = HashSet::new();
    if !carried.has(caller, Instant::now()) {
        return Ok(unseen);
    }
    let Some(text) = request.document().field("messages") else { return Ok(unseen) };
    if memmem::find(&text, b"tool_use").is_none() {
        return Ok(unseen);
    }
    let document = request.document_mut();
    let messages = document.len(&[Step::Key("messages")])?.unwrap_or_default() as i64;
    // a turn without an answer behind it is the upstream's to refuse
    for n in 0..messages - 1 {
        let content = [Step::Key("messages"), Step::Index(n), Step::Key("content")];
        let blocks = match document.kind(&content)? {
            Some(Kind::Array) => document.len(&content)?.unwrap_or_default() as i64,
            _ => continue,
        };
        for at in 0..blocks {
            let Some(id) = call_id(document, n, at)? else { continue };
            if let Some(hidden) = carried.find(caller, &id)
                && takes_results(document, n + 1)?
            {
                insert(document, n, at, &hidden)?;
                unseen.extend(hidden.results.iter().filter_map(|result| answered(result)));
                break;
            }
        }
    }
    Ok(unseen)
}

fn block(n: i64, at: i64) -> [Step<'static>; 4] {
    [Step::Key("messages"), Step::Index(n), Step::Key("content"), Step::Index(at)]
}

/// The id of a block if it is a call.
fn call_id(document: &mut Document, n: i64, at: i64) -> Result<Option<String>> {
    #[derive(serde::Deserialize)]
    struct Call {
        #[serde(rename = "type")]
        kind: String,
        id: Option<String>,
    }
    let text = document.get(&block(n, at))?.unwrap_or_default();
    let call = serde_json::from_slice::<Call>(&text).ok();
    Ok(call.filter(|call| call.kind == "tool_use").and_then(|call| call.id))
}

/// The id of the call that a result answers.
fn answered(result: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Answer {
        tool_use_id: String,
    }
    serde_json::from_slice::<Answer>(result).ok().map(|answer| answer.tool_use_id)
}

fn takes_results(document: &mut Document, n: i64) -> Result<bool> {
    let at = |key| [Step::Key("messages"), Step::Index(n), Step::Key(key)];
    let is_user = document.get(&at("role"))?.as_deref() == Some(b"\"user\"");
    Ok(is_user && document.kind(&at("content"))? == Some(Kind::Array))
}

fn insert(document: &mut Document, n: i64, at: i64, hidden: &Hidden) -> Result<()> {
    for call in hidden.calls.iter().rev() {
        document.insert(&block(n, at), call.clone())?;
    }
    for result in hidden.results.iter().rev() {
        document.insert(&block(n + 1, 0), result.clone())?;
    }
    Ok(())
}

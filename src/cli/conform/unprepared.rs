//! Answers of the test upstream to requests that no check has prepared: the model list, and errors of requests.
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::cli::conform::play::Play;
use crate::cli::conform::samples::ANSWER;
use crate::cli::conform::stage::Seen;

/// The models that the test upstream lists.
const MODELS: [&str; 3] = ["conform-1", "conform-2", "conform-3"];

/// Returns the answer of a server of the Messages API.
pub(super) fn answer(seen: &Seen) -> Play {
    let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
    match (seen.method.as_str(), path) {
        ("GET", "/v1/models") => models(query),
        ("POST", "/v1/messages") => message(&seen.body, "max_tokens", ANSWER),
        ("POST", "/v1/messages/count_tokens") => {
            message(&seen.body, "messages", "{\"input_tokens\":1}")
        }
        (_, "/v1/messages" | "/v1/messages/count_tokens") => {
            Play::error(405, "invalid_request_error", "expected the method POST")
        }
        ("GET", path) => one(path.strip_prefix("/v1/models/").unwrap_or_default()),
        _ => Play::error(404, "not_found_error", "there is no such route"),
    }
}

fn message(body: &[u8], needed: &str, answer: &str) -> Play {
    let invalid = |message: &str| Play::error(400, "invalid_request_error", message);
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return invalid("the body is no JSON");
    };
    for field in ["model", "messages", needed] {
        if body.get(field).is_none() {
            return invalid(&format!("{field}: field required"));
        }
    }
    Play::json(200, answer)
}

fn models(query: &str) -> Play {
    let get = |name: &str| {
        form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    };
    let limit = get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(20);
    let after = get("after_id");
    let position = |id: &str| MODELS.iter().position(|model| *model == id);
    let first = after.and_then(|id| position(&id)).map_or(0, |at| at + 1);
    let rest = &MODELS[first..];
    let page = &rest[..limit.min(rest.len())];
    let list = json!({
        "data": page.iter().map(|id| model(id)).collect::<Vec<_>>(),
        "has_more": page.len() < rest.len(),
        "first_id": page.first(),
        "last_id": page.last(),
    });
    Play::json(200, &list.to_string())
}

fn one(id: &str) -> Play {
    let id = percent_encoding::percent_decode_str(id).decode_utf8_lossy();
    match MODELS.contains(&id.as_ref()) {
        true => Play::json(200, &model(&id).to_string()),
        false => Play::error(404, "not_found_error", "there is no such resource"),
    }
}

fn model(id: &str) -> Value {
    json!({"type": "model", "id": id, "display_name": id, "created_at": "2026-01-01T00:00:00Z"})
}

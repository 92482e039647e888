//! Counts of tokens: by the upstream, or else by the gateway's estimate, which is marked as one.
use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use serde::Deserialize;

use crate::catalogue::Row;
use crate::catalogue::estimate::estimate;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::models::Target;
use crate::net::headers;
use crate::providers::{Answer, Attempt};
use crate::wire::{MessagesRequest, Reply, ReplyBody};

/// Counts the tokens of a request for a target.
pub(super) async fn count(ctx: &Context, target: &Target, attempt: Attempt) -> Result<Answer> {
    let request = attempt.request.clone();
    let row = target.row(request.model()).cloned();
    if !target.provider.counts(request.model()) {
        return estimated(request, row).await;
    }
    match target.provider.send(ctx, attempt).await {
        Ok(answer) if is_count(&answer.reply) => Ok(answer),
        Err(error) if !has_no_count(&error) => Err(error),
        _ => estimated(request, row).await,
    }
}

/// Estimates on a thread that may block: a large request takes a while.
async fn estimated(request: MessagesRequest, row: Option<Arc<Row>>) -> Result<Answer> {
    let work = move || estimate(&request, row.as_deref());
    let tokens = tokio::task::spawn_blocking(work).await;
    let tokens = tokens.map_err(|error| {
        Error::new(ErrorKind::Api, "the estimate of the tokens ended early").with_source(error)
    })?;
    let mut reply = Reply::json(format!("{{\"input_tokens\":{tokens}}}"));
    reply.headers.insert(headers::ESTIMATED, HeaderValue::from_static("true"));
    Ok(reply.into())
}

/// Returns whether a success holds a count. Some servers answer an unknown route with 200 and an error.
fn is_count(reply: &Reply) -> bool {
    #[derive(Deserialize)]
    struct Count {
        #[serde(rename = "input_tokens")]
        _input_tokens: u64,
    }
    match &reply.body {
        ReplyBody::Full(body) => serde_json::from_slice::<Count>(body).is_ok(),
        ReplyBody::Events(_) => false,
    }
}

/// Returns whether an upstream refused since it counts no tokens: it has no such route, or says so. A model that it does
/// not know is another error.
fn has_no_count(error: &Error) -> bool {
    #[derive(Deserialize, Default)]
    struct Envelope {
        #[serde(default)]
        error: Detail,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Detail {
        r#type: String,
        message: String,
    }
    if error.kind == ErrorKind::NotSupported {
        return true;
    }
    match error.upstream().and_then(|upstream| upstream.status) {
        Some(StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED) => true,
        Some(StatusCode::NOT_FOUND) => {
            let body = error.answer().map(|answer| serde_json::from_slice(answer.body()));
            let Detail { r#type, message } = match body {
                Some(Ok(Envelope { error })) => error,
                _ => Detail::default(),
            };
            // the API names the model that it does not know
            r#type != "not_found_error" || !message.contains("model")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Response;

    use super::*;
    use crate::providers::refusal;

    fn refused(status: u16, body: &str) -> Error {
        refusal(Response::builder().status(status).body(Bytes::from(body.to_owned())).unwrap())
    }

    #[test]
    fn an_upstream_without_the_route_has_no_count() {
        for (status, body) in [
            (404, "404 page not found"),
            (404, ""),
            (404, r#"{"detail":"Not Found"}"#),
            (404, r#"{"error":"Unexpected endpoint or method. (POST /v1/messages/count_tokens)"}"#),
            (404, r#"{"type":"error","error":{"type":"not_found_error","message":"Not Found"}}"#),
            (404, r#"{"error":{"type":"invalid_request_error","message":"no such route"}}"#),
            (405, "{}"),
            (501, "{}"),
        ] {
            assert!(has_no_count(&refused(status, body)), "{status} {body}");
        }
        assert!(has_no_count(&Error::new(ErrorKind::NotSupported, "no count for this model")));
    }

    #[test]
    fn any_other_refusal_is_the_upstreams_answer() {
        let model = r#"{"type":"error","error":{"type":"not_found_error","message":"model: x"}}"#;
        for (status, body) in
            [(404, model), (400, "{}"), (401, "{}"), (429, "{}"), (500, "{}"), (529, "{}")]
        {
            assert!(!has_no_count(&refused(status, body)), "{status} {body}");
        }
        assert!(!has_no_count(&Error::invalid("x")));
    }

    #[test]
    fn only_a_number_of_tokens_is_a_count() {
        for (body, expected) in [
            (r#"{"input_tokens":0}"#, true),
            (r#"{"input_tokens":5,"more":1}"#, true),
            (r#"{"error":"Unexpected endpoint"}"#, false),
            (r#"{"input_tokens":"5"}"#, false),
            ("[]", false),
        ] {
            assert_eq!(is_count(&Reply::json(body)), expected, "{body}");
        }
    }
}

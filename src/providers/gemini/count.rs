//! `countTokens`: the request and the answer.
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::body::Body;
use super::config::Backend;
use super::encode::{Encoder, Terms, written};
use crate::error::Result;
use crate::providers::dropped::Dropped;
use crate::providers::translate::conversation::Conversation;
use crate::providers::translate::decode::unreadable;

/// The body of a count at AI Studio.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wrapped<'a> {
    generate_content_request: Body<'a>,
}

/// Encodes a request for a count. Returns its body and the parts that are not counted.
///
/// Fails if the request has no message that can be sent.
pub(super) fn encode<'a>(
    conversation: &'a Conversation<'a>,
    terms: Terms<'a>,
) -> Result<(Bytes, Vec<Dropped>)> {
    let mut encoder = Encoder::new(conversation, terms);
    let mut body = encoder.prompt()?;
    let written = match terms.backend {
        Backend::Studio => {
            let model = &*conversation.model;
            let is_path = model.contains('/');
            body.model = Some(if is_path { model.to_owned() } else { format!("models/{model}") });
            written(&Wrapped { generate_content_request: body })?
        }
        Backend::Vertex => {
            // the choice of a tool is no part of the prompt, and Vertex AI has no field for it here
            body.tool_config = None;
            written(&body)?
        }
    };
    Ok((written.into(), encoder.into_dropped()))
}

/// Returns the answer of the Messages API.
///
/// Fails if the upstream's answer has no count.
pub(super) fn answer(body: &[u8]) -> Result<Bytes> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Count {
        total_tokens: u64,
    }
    let count: Count = serde_json::from_slice(body)
        .map_err(|e| unreadable("the upstream's count has no `totalTokens`").with_source(e))?;
    Ok(json!({"input_tokens": count.total_tokens}).to_string().into())
}

//! The place of an attempt in its trace: the headers for its upstream, and the parameters that its span names.
use http::HeaderMap;
use serde::Deserialize;

use crate::context::Context;
use crate::models::Target;
use crate::net::headers;
use crate::telemetry::story::AttemptId;
use crate::telemetry::traced::{Facts, bounded};
use crate::wire::MessagesRequest;

#[derive(Deserialize)]
struct Output {
    effort: Option<String>,
}

/// Puts an attempt into the trace of its exchange. Returns the client's headers after the stages, with those that name
/// the attempt's span; without a trace `edited`.
pub(super) fn headers(
    ctx: &Context,
    target: &Target,
    id: AttemptId,
    request: &MessagesRequest,
    edited: Option<HeaderMap>,
) -> Option<HeaderMap> {
    let facts = || facts(request, target.provider.genai_name());
    let Some(propagation) = ctx.story.attempt_traced(id, facts) else { return edited };
    let usual = || headers::for_attempt(&ctx.headers, target.provider.forwards());
    let mut headers = edited.unwrap_or_else(usual);
    propagation.apply(&mut headers);
    Some(headers)
}

/// Returns the facts about a request to an upstream of this name. No text of the conversation is among them.
fn facts(request: &MessagesRequest, provider: &str) -> Facts {
    let number = |name: &str| {
        let text = request.document().field(name)?;
        serde_json::from_slice::<f64>(&text).ok()
    };
    let output = request.document().field("output_config");
    let output = output.and_then(|text| serde_json::from_slice::<Output>(&text).ok());
    let effort = output.and_then(|output| output.effort);
    Facts {
        provider: provider.into(),
        model: bounded(request.model()).into(),
        is_stream: request.is_stream(),
        max_tokens: number("max_tokens"),
        temperature: number("temperature"),
        top_p: number("top_p"),
        top_k: number("top_k"),
        effort: effort.map(|effort| bounded(&effort).into()),
    }
}

//! The body and the path of Bedrock's InvokeModel.
use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::error::{Error, ErrorKind, Result};
use crate::providers::accepts::Accepts;
use crate::providers::dropped::Dropped;
use crate::providers::native::betas::Chosen;
use crate::providers::native::names;
use crate::providers::native::rewrite::Rewrite;
use crate::wire::{Document, Step};

/// The version that all models of Bedrock know.
const FIRST_VERSION: &str = "bedrock-2023-05-31";
/// The version that newer models know, in the header and in the body.
pub(super) const SECOND_VERSION: &str = "2026-10-21";

/// The fields that InvokeModel takes. Any other one is answered with a 400.
pub(in crate::providers) const FIELDS: &[&str] = &[
    "anthropic_beta",
    "anthropic_version",
    "compaction",
    "context_management",
    "max_tokens",
    "messages",
    "metadata",
    "output_config",
    "safeguards",
    "stop_sequences",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
    "user_profile_id",
];

/// The tools that do not run on Bedrock.
pub(in crate::providers) const LACKED: &[&str] = &[
    "tool:advisor_*",
    "tool:code_execution_*",
    "tool:mcp_toolset",
    "tool:tool_search_tool_bm25*",
    "tool:web_fetch_*",
    "tool:web_search_*",
];

/// The characters of a model id that are escaped in a path: all but those of RFC 3986's unreserved set,
/// `:` and `;`.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~').remove(b':').remove(b';');

/// The facts of a caller's headers that InvokeModel takes in the body.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// `anthropic-version`
    pub(super) version: Option<String>,
    /// `anthropic-beta`
    pub(super) betas: Chosen,
    /// `anthropic-user-profile-id`
    pub(super) user_profile: Option<String>,
}

/// A request in InvokeModel's form.
pub(super) struct Invocation {
    pub(super) document: Document,
    pub(super) dropped: Vec<Dropped>,
    /// The value of `x-amzn-bedrock-service-tier`.
    pub(super) tier: Option<HeaderValue>,
}

/// Returns the id of a model as a segment of a path.
///
/// Fails with a 400 if the id would leave its segment.
pub(super) fn segment(id: &str) -> Result<Cow<'_, str>> {
    match id.split(';').next() {
        Some("" | "." | "..") | None => {
            Err(Error::invalid("`model` is no id of a model of Bedrock"))
        }
        Some(_) => Ok(utf8_percent_encode(id, ESCAPED).into()),
    }
}

/// Rewrites a Messages request for the model of this id.
///
/// Fails with a 400 if an edited object has duplicate keys.
pub(super) fn rewritten(
    document: Document,
    id: &str,
    facts: &Facts,
    accepts: &Accepts,
) -> Result<Invocation> {
    let mut rewrite = Rewrite::new(document);
    for field in ["model", "stream"] {
        rewrite.document.remove(&[Step::Key(field)])?;
    }
    rewrite.without_betas(&facts.betas.dropped, &facts.betas.sent)?;
    let tier = take_tier(&mut rewrite)?;
    rewrite.folded_format()?;
    rewrite.without_tools(accepts)?;
    rewrite.flat_tools()?;
    rewrite.without_context_edit("clear_thinking_20251015")?;
    rewrite.without_in_cache_control(match names::has_ttl(id) {
        true => &["scope"],
        false => &["scope", "ttl"],
    })?;
    if let Some(profile) = &facts.user_profile {
        rewrite.set_missing("user_profile_id", profile.as_str())?;
    }
    rewrite.only_fields(FIELDS)?;
    let is_second = facts.version.as_deref() == Some(SECOND_VERSION) && !names::is_versioned(id);
    let version = if is_second { SECOND_VERSION } else { FIRST_VERSION };
    rewrite.set_missing("anthropic_version", version)?;
    if !facts.betas.sent.is_empty() {
        rewrite.set_missing("anthropic_beta", facts.betas.sent.clone())?;
    }
    let Rewrite { document, dropped } = rewrite;
    Ok(Invocation { document, dropped, tier })
}

/// Takes `service_tier` out of the body: Bedrock has a header for it. `auto` is what Bedrock does without
/// the header.
fn take_tier(rewrite: &mut Rewrite) -> Result<Option<HeaderValue>> {
    let path = [Step::Key("service_tier")];
    let tier = match rewrite.text(&path)?.as_deref() {
        Some("auto") => None,
        Some("standard_only") => Some("default"),
        Some("priority") => Some("priority"),
        Some("default") => Some("default"),
        Some("flex") => Some("flex"),
        Some("reserved") => Some("reserved"),
        // another value is a loss, which `only_fields` records
        _ => return Ok(None),
    };
    rewrite.document.remove(&path)?;
    Ok(tier.map(HeaderValue::from_static))
}

/// Returns the foundation model whose tokens Bedrock counts, without the prefix of a profile.
///
/// Fails with a 501 for models that Bedrock does not count.
pub(super) fn counted(id: &str) -> Result<&str> {
    let bare = names::without_profile(id);
    // measured: the fourth generation by its own id; profiles and the fifth generation are refused
    let is_counted = bare.starts_with("anthropic.claude-")
        && ["-4-", "-4."].iter().any(|generation| bare.contains(generation));
    match is_counted {
        true => Ok(bare),
        false => Err(Error::new(
            ErrorKind::NotSupported,
            "Bedrock counts no tokens for this model".to_owned(),
        )),
    }
}

/// Returns the body of CountTokens for a request in InvokeModel's form.
pub(super) fn count_body(mut invocation: Document) -> Result<Bytes> {
    if !invocation.has("max_tokens") {
        invocation.set(&[Step::Key("max_tokens")], "1")?;
    }
    let body = BASE64_STANDARD.encode(invocation.to_bytes());
    Ok(json!({"input": {"invokeModel": {"body": body}}}).to_string().into())
}

/// Returns the API's answer for an answer of CountTokens.
///
/// Fails with a 502 if it has no count.
pub(super) fn count_answer(answer: &[u8]) -> Result<Bytes> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Count {
        input_tokens: u64,
    }
    let count: Count = serde_json::from_slice(answer).map_err(|e| {
        Error::new(ErrorKind::BadUpstream, "the upstream answered without `inputTokens`")
            .with_source(e)
    })?;
    Ok(json!({"input_tokens": count.input_tokens}).to_string().into())
}

#[cfg(test)]
mod tests;

//! The body and the path of Vertex AI's rawPredict.
use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::error::{Error, Result};
use crate::providers::accepts::Accepts;
use crate::providers::native::betas::Chosen;
use crate::providers::native::invoke::SECOND_VERSION;
use crate::providers::native::rewrite::Rewrite;
use crate::wire::{Document, Kind, Step};

const FIRST_VERSION: &str = "vertex-2023-10-16";

/// The fields of the API that belong to features of Anthropic's own platform.
pub(in crate::providers) const LACKED_FIELDS: &[&str] =
    &["container", "mcp_servers", "speed", "inference_geo", "thread", "tags"];

/// The fields and tools that Vertex AI lacks.
pub(in crate::providers) const LACKED: &[&str] = &[
    "container",
    "mcp_servers",
    "speed",
    "inference_geo",
    "thread",
    "tags",
    "tool:advisor_*",
    "tool:code_execution_*",
    "tool:mcp_toolset",
    "tool:web_fetch_*",
    // the later versions run code
    "tool:web_search_2026*",
];

/// The characters of a model's name that are escaped in a path: all but those of RFC 3986's `pchar`,
/// and `;` too.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// The treatment of `system` messages within a conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::providers) enum SystemMessages {
    /// They are sent as they are.
    #[default]
    Keep,
    /// They are sent as marked texts of the user, for models that refuse the role.
    Demote,
}

/// Returns the name of a model as a segment of a path.
///
/// Fails with a 400 if the name would leave its segment.
pub(super) fn segment(name: &str) -> Result<Cow<'_, str>> {
    match name {
        "" | "." | ".." => Err(Error::invalid("`model` is no name of a model of Vertex AI")),
        _ => Ok(utf8_percent_encode(name, ESCAPED).into()),
    }
}

/// Rewrites a Messages request. `count` is the name of the model for a count of tokens, which stays in the
/// body.
///
/// Fails with a 400 if an edited object has duplicate keys.
pub(super) fn rewritten(
    document: Document,
    count: Option<&str>,
    version: Option<&str>,
    betas: &Chosen,
    accepts: &Accepts,
) -> Result<Rewrite> {
    let mut rewrite = Rewrite::new(document);
    match count {
        None => {
            rewrite.document.remove(&[Step::Key("model")])?;
        }
        Some(name) => rewrite.document.set_value(&[Step::Key("model")], &name)?,
    }
    rewrite.without_betas(&betas.dropped, &betas.sent)?;
    rewrite.folded_format()?;
    rewrite.without_tools(accepts)?;
    rewrite.without_in_cache_control(&["scope"])?;
    rewrite.without_fields(LACKED_FIELDS)?;
    let version = version.filter(|version| *version == SECOND_VERSION).unwrap_or(FIRST_VERSION);
    rewrite.set_missing("anthropic_version", version)?;
    Ok(rewrite)
}

/// Turns `system` messages into texts of the user that are marked as such.
pub(super) fn demote_system(document: &mut Document) -> Result<()> {
    let messages = Step::Key("messages");
    for at in 0..document.len(&[messages])?.unwrap_or_default() as i64 {
        let path = |key| [messages, Step::Index(at), Step::Key(key)];
        let role = document.get(&path("role"))?;
        if role.as_deref() != Some(b"\"system\"") {
            continue;
        }
        document.set(&path("role"), "\"user\"")?;
        let content = path("content");
        let [open, close] =
            ["<system>", "</system>"].map(|text| json!({"type": "text", "text": text}));
        match document.kind(&content)? {
            Some(Kind::String) => {
                let text = document.get(&content)?.unwrap_or_default();
                let text: String = serde_json::from_slice(&text).unwrap_or_default();
                document.set_value(&content, &format!("<system>{text}</system>"))?;
            }
            Some(Kind::Array) => {
                let first = [&content[..], &[Step::Index(0)]].concat();
                document.insert(&first, open.to_string())?;
                document.push(&content, close.to_string())?;
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! What a target does not understand of the Messages API, and what of that a request asks for.
use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use wildmatch::WildMatch;

use crate::error::Result;
use crate::wire::MessagesRequest;

/// How the names of content blocks begin.
const BLOCK: &str = "block:";
/// How the names of tool types begin.
const TOOL: &str = "tool:";
/// No type of the API's own tools is longer; what a caller made up is for the upstream to refuse.
const LONGEST: usize = 64;
/// Every target understands these.
const CORE: &[&str] = &["model", "messages", "max_tokens", "stream"];

/// Parameters that a target does not understand. Empty for most: then nothing of a request is read.
#[derive(Debug, Clone, Default)]
pub struct Unsupported {
    fields: Vec<String>,
    blocks: Vec<String>,
    tools: Vec<WildMatch>,
}

impl Unsupported {
    /// Whether tools of a type are among it.
    pub fn has_tool(&self, kind: &str) -> bool {
        self.tools.iter().any(|tool| tool.matches(kind))
    }

    /// Whether content blocks of a type are among it.
    pub fn has_block(&self, kind: &str) -> bool {
        self.blocks.iter().any(|block| block == kind)
    }

    /// And these, as the config names them. Fails with the number of the first that is none, and why.
    pub fn with(&self, names: &[String]) -> Result<Self, (usize, String)> {
        let mut all = self.clone();
        for (n, name) in names.iter().enumerate() {
            match (name.strip_prefix(BLOCK), name.strip_prefix(TOOL)) {
                (Some("" | "text"), _) | (_, Some("")) => {
                    return Err((n, format!("`{name}` is understood by every target")));
                }
                (Some(block), _) => add(&mut all.blocks, block),
                (_, Some(tool)) => all.tools.push(WildMatch::new(tool)),
                _ if CORE.contains(&name.as_str()) => {
                    return Err((n, format!("`{name}` is understood by every target")));
                }
                _ if name.is_empty() || name.contains([':', '/', '.', '*']) => {
                    let message = format!(
                        "`{name}` is neither a field of a request (`top_k`) nor a content block (`block:image`) nor a type of tools (`tool:web_search_*`)"
                    );
                    return Err((n, message));
                }
                _ => add(&mut all.fields, name),
            }
        }
        Ok(all)
    }

    /// It understands everything.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.blocks.is_empty() && self.tools.is_empty()
    }

    /// What a request asks for and the target does not understand, each once: `top_k`,
    /// `block:image`, `tool:web_search_20250305`.
    pub fn of(&self, request: &MessagesRequest) -> Vec<String> {
        let document = request.document();
        let fields = self.fields.iter().filter(|field| document.has(field));
        let mut found: Vec<String> = fields.cloned().collect();
        if !self.blocks.is_empty() {
            let messages: Vec<Block> = listed(request, "messages");
            let is_used = |kind: &&String| messages.iter().any(|block| block.has(kind));
            let used = self.blocks.iter().filter(is_used);
            found.extend(used.map(|kind| format!("{BLOCK}{kind}")));
        }
        if !self.tools.is_empty() {
            let tools: Vec<Tool> = listed(request, "tools");
            let kinds = tools.into_iter().filter_map(|tool| tool.kind);
            let kinds: BTreeSet<String> = kinds.filter(|kind| kind.len() <= LONGEST).collect();
            let lacks = |kind: &&String| self.tools.iter().any(|tool| tool.matches(kind));
            found.extend(kinds.iter().filter(lacks).map(|kind| format!("{TOOL}{kind}")));
        }
        found
    }
}

/// Each once: a provider and its target may name the same.
fn add(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|known| known == name) {
        names.push(name.to_owned());
    }
}

/// What stands in a list of the request; what is no such list is for the upstream to refuse.
fn listed<T: DeserializeOwned>(request: &MessagesRequest, field: &str) -> Vec<T> {
    let text = request.document().field(field).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// A content block, or a message: whatever has a content.
#[derive(Deserialize)]
struct Block {
    #[serde(rename = "type")]
    kind: Option<String>,
    content: Option<Content>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Blocks(Vec<Block>),
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Tool {
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl Block {
    fn has(&self, kind: &str) -> bool {
        let within = match &self.content {
            Some(Content::Blocks(blocks)) => blocks.iter().any(|block| block.has(kind)),
            Some(Content::Other(_)) | None => false,
        };
        within || self.kind.as_deref() == Some(kind)
    }
}

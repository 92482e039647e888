//! Images that a tool gives the model: blocks for the upstream, a word for the caller, and the block again
//! when the word comes back, as long as the gateway keeps the file.
use std::borrow::Cow;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::policy::published::{self, Published};

/// What the API takes of one image, as base64.
const MAX_IMAGE: usize = 5 << 20;
/// So much of images comes back in one request, as base64; bodies may have 32 MiB.
const MAX_HISTORY: usize = 16 << 20;
/// What the API takes.
const TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/webp", "image/gif"];
/// What stands for an image where only texts may.
const WORD: &str = "(image)";

/// The images of one request.
pub struct Images<'a> {
    /// Where they are kept; none if the request goes to an upstream that takes no images.
    kept: Option<&'a Published>,
    left: usize,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    source: Option<Source>,
}

#[derive(Deserialize)]
struct Source {
    media_type: Option<String>,
    data: Option<String>,
}

impl<'a> Images<'a> {
    /// For a request to upstreams that take images or do not.
    pub fn new(kept: &'a Published, are_taken: bool) -> Self {
        Self { kept: are_taken.then_some(kept), left: MAX_HISTORY }
    }

    /// The blocks of a result as an upstream takes them. An image that the gateway keeps is written
    /// as [`Images::put_back`] will write it.
    pub fn for_upstream(&self, content: String) -> String {
        if !content.contains("\"image\"") {
            return content;
        }
        let Ok(blocks) = serde_json::from_str::<Vec<&RawValue>>(&content) else { return content };
        let mut name = None;
        let written: Vec<String> = blocks
            .iter()
            .map(|raw| {
                let Some(block) = read(raw) else { return raw.get().to_owned() };
                name = block.text.as_deref().and_then(address).or(name.take());
                match &*block.kind {
                    "image" => self.image(raw, &block, name.as_deref()),
                    _ => raw.get().to_owned(),
                }
            })
            .collect();
        format!("[{}]", written.join(","))
    }

    fn image(&self, raw: &RawValue, block: &Block<'_>, name: Option<&str>) -> String {
        let Some(source) = &block.source else { return raw.get().to_owned() };
        let Some(data) = &source.data else {
            // the upstream fetches it itself
            return if self.kept.is_some() { raw.get().to_owned() } else { word() };
        };
        let is_type = source.media_type.as_deref().is_some_and(|kind| TYPES.contains(&kind));
        if self.kept.is_none() || data.len() > MAX_IMAGE || !is_type {
            return word();
        }
        match name.and_then(|name| self.found(name)) {
            Some((kind, kept)) if kept == *data => written(&kind, &kept),
            _ => raw.get().to_owned(),
        }
    }

    /// Images back in the place of their word; `None` if there is none in this result of a tool, as
    /// the caller sent it.
    pub fn put_back(&mut self, content: &str) -> Option<String> {
        if !content.contains(WORD) {
            return None;
        }
        let blocks: Vec<&RawValue> = serde_json::from_str(content).ok()?;
        let mut name = None;
        let mut has_image = false;
        let mut all = Vec::with_capacity(blocks.len());
        for raw in blocks {
            let text = read(raw).and_then(|block| block.text);
            name = text.as_deref().and_then(address).or(name);
            let image = match text.as_deref() {
                Some(WORD) => name.as_deref().and_then(|name| self.taken(name)),
                _ => None,
            };
            has_image |= image.is_some();
            all.push(image.unwrap_or_else(|| raw.get().to_owned()));
        }
        has_image.then(|| format!("[{}]", all.join(",")))
    }

    /// An image, if there is room for it.
    fn taken(&mut self, name: &str) -> Option<String> {
        let (kind, data) = self.found(name)?;
        self.left = self.left.checked_sub(data.len())?;
        Some(written(&kind, &data))
    }

    /// Media type and base64 of a file that is an image.
    fn found(&self, name: &str) -> Option<(String, String)> {
        let (kind, file) = self.kept?.find(name, Instant::now())?;
        // what is too large is not encoded first
        let fits = file.len() <= MAX_IMAGE / 4 * 3 && TYPES.contains(&kind.as_str());
        fits.then(|| (kind, BASE64.encode(file)))
    }
}

fn read<'a>(raw: &'a RawValue) -> Option<Block<'a>> {
    serde_json::from_str(raw.get()).ok()
}

fn written(kind: &str, data: &str) -> String {
    let source = json!({"type": "base64", "media_type": kind, "data": data});
    json!({"type": "image", "source": source}).to_string()
}

fn word() -> String {
    json!({"type": "text", "text": WORD}).to_string()
}

/// The name of the last file of ours that a text has the address of.
fn address(text: &str) -> Option<String> {
    let (_, name) = text.rsplit_once(published::PATH)?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let name: String = name.chars().take_while(|c| is_name(*c)).collect();
    (!name.is_empty()).then_some(name)
}

//! Images in tool results: blocks for the upstream, placeholders for the caller, and the way back.
//!
//! The gateway restores a placeholder as long as it keeps the file. The placeholder names the file,
//! so the restored image is the very same: `(image <name>)`. An image without a kept file is
//! `(image)` and stays a placeholder.
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::json;
use serde_json::value::RawValue;

use crate::plugin_host::published::{self, Published};
use crate::policy::ToolOutput;
use crate::wire::content::{Block, Source};

/// The maximum size of one image in the API, as base64.
const MAX_IMAGE: usize = 5 << 20;
/// The maximum size of all restored images in one request, as base64. Bodies may have 32 MiB.
const MAX_HISTORY: usize = 16 << 20;
/// The media types that the API accepts.
const TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/webp", "image/gif"];
/// The placeholder of an image, around the name of its file.
const WORD: (&str, &str) = ("(image ", ")");
/// The placeholder of an image without a file.
const NAMELESS: &str = "(image)";

/// The images of one request.
pub(crate) struct Images<'a> {
    kept: &'a Published,
    /// Whether the request's upstreams accept images.
    are_taken: bool,
    left: usize,
}

/// The media type and content of a file that an upstream would accept as an image.
type File = (String, Bytes);

impl<'a> Images<'a> {
    /// Creates the images of a request. `are_taken` says whether its upstreams accept images.
    pub(crate) fn new(kept: &'a Published, are_taken: bool) -> Self {
        Self { kept, are_taken, left: MAX_HISTORY }
    }

    /// Returns the blocks of a result in the upstream's form. An image with a kept file is written
    /// in the same way as [`Images::put_back`] writes it.
    pub(crate) fn for_upstream(&self, content: String) -> String {
        let written = self.rewritten(&content, |raw, source, file| {
            let kind = source.media_type().unwrap_or_default();
            let kind = &*kind;
            match &source.data() {
                _ if !self.are_taken => word(file),
                // the upstream fetches the image itself
                None => raw.get().to_owned(),
                Some(data) if data.len() > MAX_IMAGE || !TYPES.contains(&kind) => word(file),
                Some(data) if file.is_some() => written(kind, data),
                Some(_) => raw.get().to_owned(),
            }
        });
        written.unwrap_or(content)
    }

    /// Returns the result for the caller, with a placeholder for every image.
    pub(crate) fn for_caller<'o>(&self, output: &'o ToolOutput) -> Cow<'o, ToolOutput> {
        match self.rewritten(&output.blocks(), |_, _, file| word(file)) {
            None => Cow::Borrowed(output),
            Some(blocks) => {
                let mut shown = ToolOutput::new(blocks);
                (shown.is_error, shown.code) = (output.is_error, output.code.clone());
                Cow::Owned(shown)
            }
        }
    }

    /// Returns the blocks with every image replaced by the result of `of`, which receives the name
    /// of the file with this very image. Returns `None` if there is no image.
    fn rewritten(
        &self,
        content: &str,
        of: impl Fn(&RawValue, &Source<'_>, Option<&str>) -> String,
    ) -> Option<String> {
        if !content.contains("\"image\"") {
            return None;
        }
        let raw: Vec<&RawValue> = serde_json::from_str(content).ok()?;
        let blocks: Vec<Option<Block<'_>>> = raw.iter().map(|raw| Block::of(raw)).collect();
        let texts: Vec<_> = blocks.iter().flatten().filter_map(Block::text).collect();
        let named = texts.iter().flat_map(|text| names(text));
        let named = named.filter_map(|name| Some((name, self.found(name)?)));
        let files: BTreeMap<&str, File> = named.collect();
        let written = raw.iter().zip(&blocks).map(|(raw, block)| {
            let image = block.filter(|block| block.is("image"));
            match image.and_then(|image| image.source()) {
                Some(source) => of(raw, &source, file_of(&source, &files)),
                None => raw.get().to_owned(),
            }
        });
        let written: Vec<String> = written.collect();
        Some(format!("[{}]", written.join(",")))
    }

    /// Restores the images of a tool result that the caller sent back. Returns `None` if it has
    /// none.
    pub(crate) fn put_back(&mut self, content: &str) -> Option<String> {
        if !self.are_taken || !content.contains(WORD.0) {
            return None;
        }
        let blocks: Vec<&RawValue> = serde_json::from_str(content).ok()?;
        let mut has_image = false;
        let mut all = Vec::with_capacity(blocks.len());
        for raw in blocks {
            let text = Block::of(raw).and_then(|block| block.text());
            let name = text.as_deref().and_then(|text| {
                text.strip_prefix(WORD.0).and_then(|rest| rest.strip_suffix(WORD.1))
            });
            let image = name.and_then(|name| self.taken(name));
            has_image |= image.is_some();
            all.push(image.map_or(Cow::Borrowed(raw.get()), Cow::Owned));
        }
        has_image.then(|| format!("[{}]", all.join(",")))
    }

    /// Returns an image if the size limit allows it. The size is checked before the image is
    /// encoded.
    fn taken(&mut self, name: &str) -> Option<String> {
        let (kind, file) = self.found(name)?;
        self.left = self.left.checked_sub(base64::encoded_len(file.len(), true)?)?;
        Some(written(&kind, &BASE64.encode(file)))
    }

    fn found(&self, name: &str) -> Option<File> {
        let (kind, file) = self.kept.find(name, Instant::now())?;
        let fits = file.len() <= MAX_IMAGE / 4 * 3 && TYPES.contains(&kind.as_str());
        fits.then_some((kind, file))
    }
}

/// Returns the name of the file with this very image. Base64 that has more than one valid form does
/// not count, because the restored image could differ.
fn file_of<'n>(source: &Source<'_>, files: &BTreeMap<&'n str, File>) -> Option<&'n str> {
    let image = BASE64.decode(&*source.data()?).ok()?;
    let media_type = source.media_type()?;
    let is_it = |(kind, file): &File| media_type == **kind && image == *file;
    files.iter().find(|(_, file)| is_it(file)).map(|(name, _)| *name)
}

fn written(kind: &str, data: &str) -> String {
    let source = json!({"type": "base64", "media_type": kind, "data": data});
    json!({"type": "image", "source": source}).to_string()
}

fn word(file: Option<&str>) -> String {
    let text = file.map(|name| format!("{}{name}{}", WORD.0, WORD.1));
    json!({"type": "text", "text": text.as_deref().unwrap_or(NAMELESS)}).to_string()
}

/// Returns the names of published files that a text links to.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let is_other = |c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_';
    let rests = text.split(published::PATH).skip(1);
    rests.map(move |rest| rest.split(is_other).next().unwrap_or_default())
}

#[cfg(test)]
mod tests;

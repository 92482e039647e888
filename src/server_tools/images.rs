//! Images that a tool gives the model: blocks for the upstream, a word for the caller, and the block again
//! when the word comes back, as long as the gateway keeps the file.
//!
//! The word names the file, so that what comes back is the very image: `(image <name>)`. One that the
//! gateway keeps no file of is `(image)`, and stays that.
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

/// What the API takes of one image, as base64.
const MAX_IMAGE: usize = 5 << 20;
/// So much of images comes back in one request, as base64; bodies may have 32 MiB.
const MAX_HISTORY: usize = 16 << 20;
/// What the API takes.
const TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/webp", "image/gif"];
/// What stands for an image where only texts may, around the name of its file.
const WORD: (&str, &str) = ("(image ", ")");
/// The same for one without a file.
const NAMELESS: &str = "(image)";

/// The images of one request.
pub struct Images<'a> {
    kept: &'a Published,
    /// The request goes to upstreams that take images.
    are_taken: bool,
    left: usize,
}

/// Media type and content of a file that an upstream would take as an image.
type File = (String, Bytes);

impl<'a> Images<'a> {
    /// For a request to upstreams that take images or do not.
    pub fn new(kept: &'a Published, are_taken: bool) -> Self {
        Self { kept, are_taken, left: MAX_HISTORY }
    }

    /// The blocks of a result as an upstream takes them. An image that the gateway keeps is written
    /// as [`Images::put_back`] will write it.
    pub fn for_upstream(&self, content: String) -> String {
        let written = self.rewritten(&content, |raw, source, file| {
            let kind = source.media_type().unwrap_or_default();
            let kind = &*kind;
            match &source.data() {
                _ if !self.are_taken => word(file),
                // the upstream fetches it itself
                None => raw.get().to_owned(),
                Some(data) if data.len() > MAX_IMAGE || !TYPES.contains(&kind) => word(file),
                Some(data) if file.is_some() => written(kind, data),
                Some(_) => raw.get().to_owned(),
            }
        });
        written.unwrap_or(content)
    }

    /// The same result as the caller sees it, with a word for every image.
    pub fn for_caller<'o>(&self, output: &'o ToolOutput) -> Cow<'o, ToolOutput> {
        match self.rewritten(&output.blocks(), |_, _, file| word(file)) {
            None => Cow::Borrowed(output),
            Some(blocks) => {
                let mut shown = ToolOutput::new(blocks);
                (shown.is_error, shown.code) = (output.is_error, output.code.clone());
                Cow::Owned(shown)
            }
        }
    }

    /// The blocks with another in the place of every image, which is told the name of the file that
    /// is this very image; `None` if there is none.
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

    /// Images back in the place of their words; `None` if there is none in this result of a tool, as
    /// the caller sent it.
    pub fn put_back(&mut self, content: &str) -> Option<String> {
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

    /// An image, if there is room for it. What does not fit is not encoded first.
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

/// The name of the file that is this image, and no other. Base64 that could be written in another way is
/// not what would come back.
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

/// The names of the files of ours that a text has the addresses of.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let is_other = |c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_';
    let rests = text.split(published::PATH).skip(1);
    rests.map(move |rest| rest.split(is_other).next().unwrap_or_default())
}

#[cfg(test)]
mod tests;

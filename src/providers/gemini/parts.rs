//! Blocks of a conversation as parts. A block that cannot be carried becomes a visible line.
use std::borrow::Cow;

use super::body::{Media, Part, PartBody};
use super::config::Backend;
use super::encode::Encoder;
use crate::providers::translate::conversation::{Block, BlockBody, Content, Source};
use crate::providers::translate::texts;

/// The beginning of addresses of the Files API.
const FILES: &str = "https://generativelanguage.googleapis.com/";
const PDF: &str = "application/pdf";

/// The media types of images by the end of their address.
const IMAGES: [(&str, &str); 7] = [
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("webp", "image/webp"),
    ("gif", "image/gif"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
];

impl<'a> Encoder<'a> {
    /// Returns a block as parts.
    pub(super) fn parts(&mut self, block: &'a Block<'a>, place: &str) -> Vec<Part<'a>> {
        self.note_cache(block.cache_control, place);
        let body = match &block.body {
            BlockBody::Text(text) if text.is_empty() => return Vec::new(),
            BlockBody::Image(source) => self.media(source, image_type).map(PartBody::Media),
            BlockBody::Document { source: Source::Content(content), title, context } => {
                return self.document(content, title.as_deref(), context.as_deref(), place);
            }
            BlockBody::Document { source: Source::Text(_), .. } => text_of(block),
            BlockBody::Document { source, .. } => {
                self.media(source, document_type).map(PartBody::Media)
            }
            _ => text_of(block),
        };
        if block.has_citations && !matches!(block.body, BlockBody::Text(_)) {
            self.drop_content("citations", place, "the upstream cites no documents");
        }
        match body {
            Some(body) => vec![Part::of(body)],
            None => vec![self.left_out(block, place)],
        }
    }

    /// Returns media; `None` if the upstream cannot receive them.
    fn media(
        &self,
        source: &'a Source<'a>,
        type_of: fn(&str) -> Option<&'static str>,
    ) -> Option<Media<'a>> {
        let inline = |mime_type: &'a str, data: &'a str| Media::InlineData {
            mime_type: mime_type.into(),
            data: data.into(),
        };
        match source {
            Source::Base64 { media_type, data } => Some(inline(media_type, data)),
            Source::Url(url) => match self.terms.fetched.get(&**url) {
                Some((media_type, data)) => Some(inline(media_type, data)),
                None if self.takes_address(url) => {
                    let mime_type = Cow::Borrowed(type_of(url)?);
                    Some(Media::FileData { mime_type, file_uri: url.clone() })
                }
                None => None,
            },
            Source::Text(_) | Source::Content(_) | Source::File | Source::Other => None,
        }
    }

    /// Returns whether the upstream reads media from an address itself.
    fn takes_address(&self, url: &str) -> bool {
        if url.starts_with("gs://") {
            return true;
        }
        let is_file = url.starts_with(FILES);
        let is_studio = self.terms.backend == Backend::Studio;
        is_studio
            && (is_file || (url.starts_with("https://") && self.terms.family.takes_addresses()))
    }

    fn document(
        &mut self,
        content: &'a Content<'a>,
        title: Option<&str>,
        context: Option<&str>,
        place: &str,
    ) -> Vec<Part<'a>> {
        let head = texts::document(title, context, "");
        let mut parts: Vec<Part<'a>> = Vec::new();
        if !head.is_empty() {
            parts.push(Part::text(head));
        }
        for (n, block) in content.0.iter().enumerate() {
            parts.extend(self.parts(block, &format!("{place}/source/content/{n}")));
        }
        parts
    }

    fn left_out(&mut self, block: &'a Block<'a>, place: &str) -> Part<'a> {
        let (kind, title) = match &block.body {
            BlockBody::Image(_) => ("image", None),
            BlockBody::Document { title, .. } => ("document", title.as_deref()),
            BlockBody::Other(kind) => (&**kind, None),
            _ => ("unknown", None),
        };
        self.drop_content(format!("block:{kind}"), place, "the upstream takes no such block");
        Part::text(texts::placeholder(kind, title))
    }
}

fn text_of<'a>(block: &'a Block<'a>) -> Option<PartBody<'a>> {
    let text = block.as_text()?;
    // the upstream refuses an empty text
    Some(PartBody::Text(if text.is_empty() { Cow::Borrowed("[empty]") } else { text }))
}

/// Returns the media type of an image by its address; `None` if the address does not say it.
fn image_type(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let (_, end) = path.rsplit_once('.')?;
    let end = end.to_ascii_lowercase();
    IMAGES.iter().find(|(known, _)| *known == end).map(|(_, kind)| *kind)
}

/// Returns the media type of a document by its address. In the Messages API only PDF documents have one.
fn document_type(_: &str) -> Option<&'static str> {
    Some(PDF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_address_tells_the_type_of_an_image() {
        let types = ["https://x/a.PNG?s=.jpg", "gs://b/a.jpeg#x", "https://x/a", "https://x.gif/a"];
        let expected = [Some("image/png"), Some("image/jpeg"), None, None];
        assert_eq!(types.map(image_type), expected);
    }
}

//! Blocks of a conversation as parts. A block that cannot be carried becomes a visible line.
use std::borrow::Cow;

use super::body::{Media, Part, PartBody};
use super::config::Backend;
use super::encode::Encoder;
use crate::providers::translate::conversation::{Block, BlockBody, Content, Source};
use crate::providers::translate::media::{self, Lack, Wanted};
use crate::providers::translate::texts;

/// The beginning of addresses of the Files API.
const FILES: &str = "https://generativelanguage.googleapis.com/";
const PDF: &str = "application/pdf";
/// The reason for a URL without an outcome.
const NOT_FETCHED: &str = "the upstream does not read this URL, and the gateway fetches none";
/// The images that the upstream takes as content.
const IMAGE_TYPES: &[&str] =
    &["image/jpeg", "image/png", "image/gif", "image/webp", "image/heic", "image/heif"];

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
            BlockBody::Image(source) => self.image(source),
            BlockBody::Document { source: Source::Content(content), title, context } => {
                return self.document(content, title.as_deref(), context.as_deref(), place);
            }
            BlockBody::Document { source: Source::Text(_), .. } => text_of(block),
            BlockBody::Document { source, title, context } => {
                self.document_file(source, title.as_deref(), context.as_deref())
            }
            _ => text_of(block),
        };
        if block.has_citations && !matches!(block.body, BlockBody::Text(_)) {
            self.drop_content("citations", place, "the upstream cites no documents");
        }
        match body {
            Ok(body) => vec![Part::of(body)],
            Err(Lack::Counterpart) => vec![self.left_out(block, place)],
            Err(Lack::Content) => vec![self.unfetched(block, place, NOT_FETCHED)],
            Err(Lack::Use(reason)) => vec![self.unfetched(block, place, &reason)],
        }
    }

    fn image(&mut self, source: &'a Source<'a>) -> Result<PartBody<'a>, Lack> {
        let media = match source {
            Source::Base64 { media_type, data } => inline(media_type, data),
            Source::Url(url) => match image_type(url).filter(|_| self.takes_address(url)) {
                Some(kind) => address(kind, url),
                None => return self.content(url, Wanted::Image(IMAGE_TYPES)),
            },
            _ => return Err(Lack::Counterpart),
        };
        Ok(PartBody::Media(media))
    }

    /// Returns a document that is a file or at a URL.
    fn document_file(
        &mut self,
        source: &'a Source<'a>,
        title: Option<&str>,
        context: Option<&str>,
    ) -> Result<PartBody<'a>, Lack> {
        let media = match source {
            Source::Base64 { media_type, data } => inline(media_type, data),
            // the API's documents with a URL are PDF documents
            Source::Url(url) if self.takes_address(url) && !media::needs_content(url) => {
                address(PDF, url)
            }
            Source::Url(url) => {
                return Ok(match self.content(url, Wanted::Document)? {
                    PartBody::Text(text) => {
                        PartBody::Text(texts::document(title, context, &text).into())
                    }
                    file => file,
                });
            }
            _ => return Err(Lack::Counterpart),
        };
        Ok(PartBody::Media(media))
    }

    /// Returns the content of a URL, or notes that it has to be fetched.
    fn content(&mut self, url: &str, wanted: Wanted) -> Result<PartBody<'a>, Lack> {
        let found = media::content(self.terms.fetched, url, wanted);
        if found == Err(Lack::Content) {
            self.missing.push(url.to_owned());
        }
        Ok(match found? {
            media::Content::File { media_type, data } => PartBody::Media(inline(media_type, data)),
            media::Content::Text(text) => PartBody::Text(text.into()),
        })
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
        let (kind, title) = block.kind_and_title();
        self.drop_content(format!("block:{kind}"), place, "the upstream takes no such block");
        Part::text(texts::placeholder(kind, title))
    }

    /// Reports a block whose URL has no content for the upstream, and returns the line in its place.
    fn unfetched(&mut self, block: &'a Block<'a>, place: &str, reason: &str) -> Part<'a> {
        let (kind, title) = block.kind_and_title();
        self.drop_unfetched(format!("block:{kind}"), format!("{place}/source/url"), reason);
        Part::text(texts::unfetched(kind, title, reason))
    }
}

fn inline<'a>(mime_type: &'a str, data: &'a str) -> Media<'a> {
    Media::InlineData { mime_type: mime_type.into(), data: data.into() }
}

fn address<'a>(mime_type: &'static str, url: &Cow<'a, str>) -> Media<'a> {
    Media::FileData { mime_type: mime_type.into(), file_uri: url.clone() }
}

fn text_of<'a>(block: &'a Block<'a>) -> Result<PartBody<'a>, Lack> {
    let text = block.as_text().ok_or(Lack::Counterpart)?;
    // the upstream refuses an empty text
    Ok(PartBody::Text(if text.is_empty() { Cow::Borrowed("[empty]") } else { text }))
}

/// Returns the media type of an image by its address; `None` if the address does not say it.
fn image_type(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let (_, end) = path.rsplit_once('.')?;
    let end = end.to_ascii_lowercase();
    IMAGES.iter().find(|(known, _)| *known == end).map(|(_, kind)| *kind)
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

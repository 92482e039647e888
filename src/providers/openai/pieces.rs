//! Blocks of the user and of results as pieces, which both APIs can receive. A block that cannot be carried
//! becomes a visible line.
use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::providers::openai::draft::Draft;
use crate::providers::openai::media::MediaUrl;
use crate::providers::openai::profile::{CacheForm, Media};
use crate::providers::translate::conversation::{self as asked, Block, BlockBody, Source};
use crate::providers::translate::media::{self, Content, IMAGES, Lack, Wanted};
use crate::providers::translate::texts;

/// The reason for a URL without an outcome.
const NOT_FETCHED: &str = "the server takes no URL, and the gateway fetches none";
/// The name of a document without a title.
pub(super) const UNTITLED: &str = "document.pdf";

/// A piece of a message.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    pub(super) body: PieceBody<'a>,
    pub(super) mark: Option<Mark<'a>>,
}

/// The kinds of pieces.
#[derive(Debug)]
pub(super) enum PieceBody<'a> {
    Text(Cow<'a, str>),
    Image(MediaUrl<'a>),
    File { name: Cow<'a, str>, data: MediaUrl<'a> },
}

/// The end of a part of the prompt that the server may cache.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mark<'a> {
    /// The client's own `cache_control`.
    Control(&'a RawValue),
    /// A breakpoint in OpenAI's form.
    Breakpoint,
}

impl<'a> Piece<'a> {
    pub(super) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self { body: PieceBody::Text(text.into()), mark: None }
    }

    /// Sets a mark; without one, the piece keeps its own.
    pub(super) fn set_mark(&mut self, mark: Option<Mark<'a>>) {
        self.mark = mark.or(self.mark.take());
    }
}

impl<'a> Draft<'a> {
    /// Returns the pieces of a block.
    pub(super) fn pieces(&mut self, block: &'a Block<'a>, place: &str) -> Vec<Piece<'a>> {
        let mut before = None;
        let body = match &block.body {
            BlockBody::Text(text) if text.is_empty() => return Vec::new(),
            BlockBody::Image(source) => self.image(source),
            BlockBody::Document { source: Source::Content(content), title, context } => {
                let (title, context) = (title.as_deref(), context.as_deref());
                return self.document_content(content, texts::document(title, context, ""), place);
            }
            BlockBody::Document { source, title, context }
                if !matches!(source, Source::Text(_)) =>
            {
                let context = context.as_deref().filter(|context| !context.is_empty());
                before = context.map(Piece::text);
                self.document(source, title.as_deref())
            }
            _ => block.as_text().map(PieceBody::Text).ok_or(Lack::Counterpart),
        };
        if block.has_citations {
            self.drop_content("citations", place, "the server cites nothing");
        }
        let piece = match body {
            Ok(body) => Piece { body, mark: self.mark(block) },
            Err(Lack::Counterpart) => Piece::text(self.left_out(block, place)),
            Err(Lack::Content) => Piece::text(self.unfetched(block, place, NOT_FETCHED)),
            Err(Lack::Use(reason)) => Piece::text(self.unfetched(block, place, &reason)),
        };
        before.into_iter().chain([piece]).collect()
    }

    /// Reports a block without a counterpart, and returns the line in its place.
    pub(super) fn left_out(&mut self, block: &Block<'_>, place: &str) -> String {
        let (kind, title) = block.kind_and_title();
        self.drop_content(format!("block:{kind}"), place, "the server takes no such block");
        texts::placeholder(kind, title)
    }

    /// Reports a block whose URL has no content for the server, and returns the line in its place.
    fn unfetched(&mut self, block: &Block<'_>, place: &str, reason: &str) -> String {
        let (kind, title) = block.kind_and_title();
        self.drop_unfetched(format!("block:{kind}"), format!("{place}/source/url"), reason);
        texts::unfetched(kind, title, reason)
    }

    fn image(&mut self, source: &'a Source<'a>) -> Result<PieceBody<'a>, Lack> {
        match (source, self.profile.images) {
            (_, Media::None) => Err(Lack::Counterpart),
            (Source::Base64 { media_type, data }, _) => {
                Ok(PieceBody::Image(MediaUrl::data(media_type, data)))
            }
            (Source::Url(url), Media::Url) => Ok(PieceBody::Image(MediaUrl::Address(url.clone()))),
            (Source::Url(url), Media::Inline) => match self.content(url, Wanted::Image(IMAGES))? {
                Content::File { media_type, data } => {
                    Ok(PieceBody::Image(MediaUrl::data(media_type, data)))
                }
                Content::Text(_) => Err(Lack::Counterpart),
            },
            _ => Err(Lack::Counterpart),
        }
    }

    /// Returns a document that is a file or at a URL. A server that takes no PDF documents still takes a text.
    fn document(
        &mut self,
        source: &'a Source<'a>,
        title: Option<&'a str>,
    ) -> Result<PieceBody<'a>, Lack> {
        let name = title.filter(|title| !title.is_empty()).unwrap_or(UNTITLED).into();
        match (source, self.rules.pdf) {
            (Source::Base64 { .. }, Media::None) => Err(Lack::Counterpart),
            (Source::Base64 { media_type, data }, _) => {
                Ok(PieceBody::File { name, data: MediaUrl::data(media_type, data) })
            }
            (Source::Url(url), Media::Url) if !media::needs_content(url) => {
                Ok(PieceBody::File { name, data: MediaUrl::Address(url.clone()) })
            }
            // the content is a PDF document unless the address says that it is a text
            (Source::Url(url), Media::None) if !media::needs_content(url) => Err(Lack::Counterpart),
            (Source::Url(url), taken) => {
                let takes_pdf = taken != Media::None;
                let wanted = if takes_pdf { Wanted::Document } else { Wanted::Text };
                Ok(match self.content(url, wanted)? {
                    Content::File { media_type, data } => {
                        PieceBody::File { name, data: MediaUrl::data(media_type, data) }
                    }
                    Content::Text(text) => {
                        PieceBody::Text(texts::document(title, None, text).into())
                    }
                })
            }
            _ => Err(Lack::Counterpart),
        }
    }

    /// Returns the content of a URL, or notes that it has to be fetched.
    fn content(&mut self, url: &str, wanted: Wanted) -> Result<Content<'a>, Lack> {
        let found = media::content(self.fetched, url, wanted);
        if found == Err(Lack::Content) {
            self.missing.push(url.to_owned());
        }
        found
    }

    fn document_content(
        &mut self,
        content: &'a asked::Content<'a>,
        head: String,
        place: &str,
    ) -> Vec<Piece<'a>> {
        let mut pieces = Vec::new();
        if !head.is_empty() {
            pieces.push(Piece::text(head));
        }
        for (n, block) in content.0.iter().enumerate() {
            pieces.extend(self.pieces(block, &format!("{place}/source/content/{n}")));
        }
        pieces
    }

    /// Returns the cache mark of a block. Reports one that the server cannot have.
    pub(super) fn mark(&mut self, block: &'a Block<'a>) -> Option<Mark<'a>> {
        let control = block.cache_control.filter(|control| control.get() != "null")?;
        match self.rules.cache {
            CacheForm::Control => Some(Mark::Control(control)),
            CacheForm::Breakpoints if self.facts.takes_breakpoints => {
                self.has_breakpoints = true;
                Some(Mark::Breakpoint)
            }
            CacheForm::Breakpoints | CacheForm::None => {
                self.drop_hint("cache_control", "");
                None
            }
        }
    }
}

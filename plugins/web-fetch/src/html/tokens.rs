//! Reads a page tag by tag, by the rules of the HTML standard, and keeps the attributes that matter.
use std::borrow::Cow;
use std::convert::Infallible;
use std::ops::Range;

use html5gum::emitters::Emitter;
use html5gum::{Error, State, Tokenizer};

/// The attributes that are kept.
const ATTRIBUTES: [&str; 42] = [
    "alt",
    "alttext",
    "aria-hidden",
    "charset",
    "checked",
    "class",
    "colspan",
    "content",
    "data-actualsrc",
    "data-echo",
    "data-full-src",
    "data-hi-res-src",
    "data-image",
    "data-lang",
    "data-language",
    "data-lazy",
    "data-lazy-src",
    "data-lazy-srcset",
    "data-original",
    "data-original-src",
    "data-src",
    "data-srcset",
    "height",
    "hidden",
    "href",
    "http-equiv",
    "id",
    "lang",
    "name",
    "property",
    "rel",
    "role",
    "rowspan",
    "src",
    "srcset",
    "start",
    "style",
    "title",
    "type",
    "value",
    "width",
    "xml:lang",
];
/// The largest size in bytes of a tag's name. No known name is longer.
const MAX_NAME: usize = 64;

/// A tag with its attributes.
#[derive(Default)]
pub(super) struct Tag {
    pub(super) name: Vec<u8>,
    pub(super) is_end: bool,
    /// The tag ends with `/>`.
    pub(super) is_closed: bool,
    values: Vec<u8>,
    attributes: Vec<(&'static str, Range<usize>)>,
}

impl Tag {
    /// Returns the value of an attribute.
    pub(super) fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let found = self.attributes.iter().find(|(known, _)| *known == name);
        found.map(|(_, range)| String::from_utf8_lossy(&self.values[range.clone()]))
    }

    /// Returns the first of some attributes that has a value.
    pub(super) fn first(&self, names: &[&str]) -> Option<Cow<'_, str>> {
        let mut values = names.iter().filter_map(|name| self.get(name));
        values.find(|value| !value.trim().is_empty())
    }

    /// Returns whether the tag has none of the attributes that are kept.
    pub(super) fn is_bare(&self) -> bool {
        self.attributes.is_empty()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.attributes.iter().any(|(known, _)| *known == name)
    }

    fn clear(&mut self) {
        self.name.clear();
        self.values.clear();
        self.attributes.clear();
        (self.is_end, self.is_closed) = (false, false);
    }
}

/// The receiver of a page's tags and text.
pub(super) trait Receiver {
    /// Receives a tag. Returns how the text after it is read; `None` means as before.
    fn tag(&mut self, tag: &Tag) -> Option<State>;
    fn text(&mut self, text: &[u8]);
    /// Returns whether `<![CDATA[` begins text here, as in XML.
    fn has_cdata(&self) -> bool;
}

/// Sends the tags and the text of a page to a receiver.
pub(super) fn read(html: &str, receiver: &mut impl Receiver) {
    let emitter = Tokens {
        receiver,
        tag: Tag::default(),
        attribute: Vec::new(),
        kept: None,
        last_start: Vec::new(),
    };
    match Tokenizer::new_with_emitter(html, emitter).finish() {
        Ok(()) => {}
        Err(never) => match never {},
    }
}

struct Tokens<'r, R> {
    receiver: &'r mut R,
    tag: Tag,
    /// The name of the attribute that is being read.
    attribute: Vec<u8>,
    /// The name of this attribute, once its value begins, if it is kept.
    kept: Option<&'static str>,
    last_start: Vec<u8>,
}

impl<R: Receiver> Tokens<'_, R> {
    /// Ends the attribute that is being read.
    fn end_attribute(&mut self) {
        self.name_attribute();
        if let (Some(name), false) = (self.kept.take(), self.tag.is_end) {
            let start = self.tag.attributes.last().map_or(0, |(_, range)| range.end);
            // the first of two attributes with the same name counts
            match self.tag.has(name) {
                true => self.tag.values.truncate(start),
                false => self.tag.attributes.push((name, start..self.tag.values.len())),
            }
        }
        self.attribute.clear();
    }

    fn name_attribute(&mut self) {
        if self.kept.is_none() && !self.attribute.is_empty() {
            let found = ATTRIBUTES.binary_search_by(|known| known.as_bytes().cmp(&self.attribute));
            self.kept = found.ok().map(|at| ATTRIBUTES[at]);
        }
    }

    fn begin(&mut self) {
        self.tag.clear();
        self.attribute.clear();
        self.kept = None;
    }
}

impl<R: Receiver> Emitter for Tokens<'_, R> {
    type Token = Infallible;

    fn pop_token(&mut self) -> Option<Infallible> {
        None
    }

    fn should_emit_errors(&mut self) -> bool {
        false
    }

    fn emit_string(&mut self, text: &[u8]) {
        self.receiver.text(text);
    }

    fn init_start_tag(&mut self) {
        self.begin();
    }

    fn init_end_tag(&mut self) {
        self.begin();
        self.tag.is_end = true;
    }

    fn push_tag_name(&mut self, name: &[u8]) {
        let room = MAX_NAME.saturating_sub(self.tag.name.len());
        self.tag.name.extend_from_slice(&name[..name.len().min(room)]);
    }

    fn set_self_closing(&mut self) {
        self.tag.is_closed = true;
    }

    fn init_attribute(&mut self) {
        self.end_attribute();
    }

    fn push_attribute_name(&mut self, name: &[u8]) {
        let room = MAX_NAME.saturating_sub(self.attribute.len());
        self.attribute.extend_from_slice(&name[..name.len().min(room)]);
    }

    fn init_attribute_value(&mut self) {
        self.name_attribute();
    }

    fn push_attribute_value(&mut self, value: &[u8]) {
        self.name_attribute();
        if self.kept.is_some() {
            self.tag.values.extend_from_slice(value);
        }
    }

    fn emit_current_tag(&mut self) -> Option<State> {
        self.end_attribute();
        if !self.tag.is_end {
            self.last_start.clone_from(&self.tag.name);
        }
        self.receiver.tag(&self.tag)
    }

    fn current_is_appropriate_end_tag_token(&mut self) -> bool {
        self.tag.is_end && !self.last_start.is_empty() && self.last_start == self.tag.name
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&mut self) -> bool {
        self.receiver.has_cdata()
    }

    fn set_last_start_tag(&mut self, _: Option<&[u8]>) {}
    fn emit_eof(&mut self) {}
    fn emit_error(&mut self, _: Error) {}
    fn init_comment(&mut self) {}
    fn emit_current_comment(&mut self) {}
    fn emit_current_doctype(&mut self) {}
    fn set_force_quirks(&mut self) {}
    fn push_comment(&mut self, _: &[u8]) {}
    fn push_doctype_name(&mut self, _: &[u8]) {}
    fn init_doctype(&mut self) {}
    fn set_doctype_public_identifier(&mut self, _: &[u8]) {}
    fn set_doctype_system_identifier(&mut self, _: &[u8]) {}
    fn push_doctype_public_identifier(&mut self, _: &[u8]) {}
    fn push_doctype_system_identifier(&mut self, _: &[u8]) {}
}

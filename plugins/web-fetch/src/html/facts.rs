//! Facts of a page beside its text: the title, the base of its links, a refresh, frames, scripts.
use crate::html::names::Kind;
use crate::html::tokens::Tag;

/// The largest size in bytes of a title.
const MAX_TITLE: usize = 4 << 10;
/// The most addresses of one sort.
const MAX_ADDRESSES: usize = 10;

/// The facts of a page.
#[derive(Default)]
pub(crate) struct Facts {
    title: Vec<u8>,
    is_titled: bool,
    /// The title that the page has for other sites.
    pub(super) other_title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) base: Option<String>,
    /// The content of a refresh.
    pub(super) refresh: Option<String>,
    /// The content of a refresh for readers without scripts.
    pub(super) plain_refresh: Option<String>,
    /// The addresses of frames, as the page writes them.
    pub(super) frames: Vec<String>,
    /// The addresses of the page's content in other forms.
    pub(super) others: Vec<String>,
    /// The page has scripts.
    pub(super) has_scripts: bool,
    /// A script moves the parts that arrive late.
    pub(super) is_streamed: bool,
}

impl Facts {
    /// Returns the page's title.
    pub(super) fn title(&self) -> Option<String> {
        let title = String::from_utf8_lossy(&self.title);
        let words: Vec<_> = title.split_whitespace().collect();
        Some(words.join(" ")).filter(|title| !title.is_empty())
    }

    pub(super) fn add_title(&mut self, text: &[u8]) {
        if !self.is_titled && self.title.len() + text.len() <= MAX_TITLE {
            self.title.extend_from_slice(text);
        }
    }

    pub(super) fn add_script(&mut self, text: &[u8]) {
        self.is_streamed |= text.starts_with(b"$RC") || text.starts_with(b"$RS");
    }

    /// Ends a bare text. The first title counts.
    pub(super) fn end_raw(&mut self) {
        self.is_titled |= !self.title.trim_ascii().is_empty();
    }

    /// Notes the facts of a tag.
    pub(super) fn see(&mut self, tag: &Tag, kind: Kind, in_noscript: bool) {
        match kind {
            Kind::Meta => self.see_meta(tag, in_noscript),
            Kind::Base if self.base.is_none() => {
                self.base = tag.get("href").map(|href| href.trim().to_owned());
            }
            Kind::LinkTo => self.see_link(tag),
            Kind::Frame => self.see_frame(tag),
            Kind::Raw => match &tag.name[..] {
                b"script" => self.has_scripts = true,
                b"iframe" => self.see_frame(tag),
                _ => {}
            },
            _ => {}
        }
    }

    fn see_meta(&mut self, tag: &Tag, in_noscript: bool) {
        let Some(content) = tag.get("content") else { return };
        let is_refresh =
            tag.get("http-equiv").is_some_and(|name| name.trim().eq_ignore_ascii_case("refresh"));
        if is_refresh {
            let refresh = match in_noscript {
                true => &mut self.plain_refresh,
                false => &mut self.refresh,
            };
            refresh.get_or_insert_with(|| content.into_owned());
            return;
        }
        let Some(name) = tag.first(&["name", "property"]) else { return };
        let content: Vec<_> = content.split_whitespace().collect();
        let content = content.join(" ");
        match &name.to_ascii_lowercase()[..] {
            "description" | "og:description" if !content.is_empty() => {
                self.description.get_or_insert(content);
            }
            "og:title" if !content.is_empty() => {
                self.other_title.get_or_insert(content);
            }
            _ => {}
        }
    }

    fn see_link(&mut self, tag: &Tag) {
        let rel = tag.get("rel").unwrap_or_default().to_ascii_lowercase();
        let mut words = rel.split_whitespace();
        let is_other = words.clone().any(|word| word == "alternate")
            && !words.any(|word| word == "stylesheet")
            && tag.has("type");
        let is_amp = rel == "amphtml";
        if let (true, Some(href)) = (is_other || is_amp, tag.get("href")) {
            add(&mut self.others, &href);
        }
    }

    fn see_frame(&mut self, tag: &Tag) {
        if let Some(source) = tag.first(&["src", "data-src"]) {
            add(&mut self.frames, &source);
        }
    }
}

fn add(list: &mut Vec<String>, address: &str) {
    let address = address.trim();
    if list.len() < MAX_ADDRESSES && !list.iter().any(|known| known == address) {
        list.push(address.to_owned());
    }
}

//! The plain text of a page, for pages that the conversion cannot handle. It is not recursive.
use dom_query::{Document, NodeRef};

/// The elements with their own lines.
const BLOCKS: [&str; 31] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "br",
    "dd",
    "div",
    "dl",
    "dt",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "li",
    "main",
    "nav",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "tr",
    "ul",
];
/// The elements without readable text.
const HIDDEN: [&str; 7] = ["head", "script", "style", "noscript", "template", "svg", "iframe"];

/// The elements that close each other or hold no others: they do not nest, however many there are.
const FLAT: [&str; 30] = [
    "area", "base", "body", "br", "col", "dd", "dt", "embed", "head", "hr", "html", "img", "input",
    "li", "link", "meta", "optgroup", "option", "p", "param", "path", "source", "tbody", "td",
    "tfoot", "th", "thead", "tr", "track", "wbr",
];

/// Returns the apparent depth of a page's elements, by its tags alone: a tree of a million levels
/// takes too long to build.
pub fn nesting(html: &str) -> usize {
    let (mut deepest, mut level) = (0_usize, 0_usize);
    for piece in Pieces(html) {
        let Piece::Tag { name, is_end } = piece else { continue };
        if FLAT.iter().any(|flat| name.eq_ignore_ascii_case(flat)) {
            continue;
        }
        level = if is_end { level.saturating_sub(1) } else { level + 1 };
        deepest = deepest.max(level);
    }
    deepest
}

/// Returns the page without nesting: its title, its words, and its line breaks.
pub fn flat(html: &str) -> String {
    let mut flat = String::with_capacity(html.len() / 2);
    let mut hidden: Option<&str> = None;
    for piece in Pieces(html) {
        let (name, is_end) = match piece {
            Piece::Tag { name, is_end } => (name, is_end),
            Piece::Text(text) => {
                if hidden.is_none() {
                    flat.push_str(text);
                }
                continue;
            }
        };
        let is = |other: &&str| name.eq_ignore_ascii_case(other);
        match hidden {
            Some(open) if is_end && is(&open) => hidden = None,
            None if !is_end && HIDDEN[1..].iter().any(is) => hidden = Some(name),
            None if is(&"title") && is_end => flat.push_str("</title>"),
            None if is(&"title") => flat.push_str("<title>"),
            None if BLOCKS.iter().any(is) => flat.push_str("<br>"),
            _ => {}
        }
    }
    flat
}

/// The elements in which a tag is text, and which have no readable text.
const RAW: [&str; 4] = ["script", "style", "textarea", "iframe"];

/// The pieces of a page, cut at its tags; comments are skipped.
struct Pieces<'a>(&'a str);

enum Piece<'a> {
    Text(&'a str),
    Tag { name: &'a str, is_end: bool },
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        loop {
            let rest = self.0;
            if rest.is_empty() {
                return None;
            }
            let Some(behind) = rest.strip_prefix('<') else {
                let end = rest.find('<').unwrap_or(rest.len());
                self.0 = &rest[end..];
                return Some(Piece::Text(&rest[..end]));
            };
            if let Some(comment) = behind.strip_prefix("!--") {
                self.0 = comment.find("-->").map_or("", |end| &comment[end + 3..]);
                continue;
            }
            let end = behind.find('>').unwrap_or(behind.len());
            self.0 = behind.get(end + 1..).unwrap_or("");
            let tag = &behind[..end];
            let is_end = tag.starts_with('/');
            let name = tag.trim_start_matches('/');
            let length =
                name.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'-').count();
            let name = &name[..length];
            if !is_end && RAW.iter().any(|raw| name.eq_ignore_ascii_case(raw)) {
                self.0 = from_end_tag(self.0, name);
            }
            if !name.is_empty() {
                return Some(Piece::Tag { name, is_end });
            }
        }
    }
}

/// Returns the rest of a text from the end tag of such an element.
fn from_end_tag<'a>(text: &'a str, name: &str) -> &'a str {
    let mut ends = text.match_indices("</").map(|(at, _)| &text[at..]);
    let fits = |rest: &&str| {
        let found = rest.as_bytes().get(2..2 + name.len());
        found.is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
    };
    ends.find(fits).unwrap_or("")
}

/// Returns words and lines.
pub fn text(document: &Document) -> String {
    let mut lines = Lines::default();
    let mut node = Some(document.root());
    while let Some(here) = node {
        let name = here.node_name().map(|name| name.to_string()).unwrap_or_default();
        if BLOCKS.contains(&name.as_str()) {
            lines.end();
        }
        if here.is_text() {
            lines.push(&here.immediate_text());
        }
        let inner = if HIDDEN.contains(&name.as_str()) { None } else { here.first_child() };
        node = inner.or_else(|| following(here, &mut lines));
    }
    lines.end();
    lines.whole
}

/// Returns the next node outside this one.
fn following<'a>(mut here: NodeRef<'a>, lines: &mut Lines) -> Option<NodeRef<'a>> {
    loop {
        if let Some(next) = here.next_sibling() {
            return Some(next);
        }
        here = here.parent()?;
        let is_block = here.node_name().is_some_and(|name| BLOCKS.contains(&name.as_ref()));
        if is_block {
            lines.end();
        }
    }
}

#[derive(Default)]
struct Lines {
    whole: String,
    line: String,
    /// Whether a space separates the last piece from the next one.
    is_apart: bool,
}

impl Lines {
    fn push(&mut self, text: &str) {
        self.is_apart |= text.starts_with(char::is_whitespace);
        for word in text.split_whitespace() {
            if self.is_apart && !self.line.is_empty() {
                self.line.push(' ');
            }
            self.line.push_str(word);
            self.is_apart = true;
        }
        if !text.trim().is_empty() {
            self.is_apart = text.ends_with(char::is_whitespace);
        }
    }

    fn end(&mut self) {
        if !self.line.is_empty() {
            if !self.whole.is_empty() {
                self.whole.push('\n');
            }
            self.whole.push_str(&self.line);
            self.line.clear();
        }
        self.is_apart = false;
    }
}

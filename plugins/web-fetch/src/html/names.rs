//! The elements of HTML, and the way in which each one is read.

/// The way in which an element is read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Inline,
    Block,
    Paragraph,
    Heading1,
    Heading2,
    Heading3,
    Heading4,
    Heading5,
    Heading6,
    Pre,
    Quote,
    List,
    Ordered,
    Item,
    Definitions,
    Term,
    Definition,
    Table,
    Caption,
    Head,
    Section,
    Row,
    Cell,
    HeadCell,
    /// Text and elements in a table that are in none of its cells.
    Stray,
    Noscript,
    Main,
    Article,
    Bold,
    Italic,
    Code,
    Strike,
    Sup,
    Sub,
    Link,
    Image,
    Source,
    Picture,
    Break,
    Rule,
    Input,
    Meta,
    Base,
    LinkTo,
    Title,
    /// An element with bare text for programs, such as `script`.
    Raw,
    /// An element with bare text for readers.
    RawPre,
    /// An element of another language: `svg`.
    Foreign,
    Frame,
    /// `html`, `head`, `body` and others that change nothing.
    Ignored,
}

/// The numbers of [`Kind::from_number`].
const KINDS: [Kind; 28] = [
    Kind::Inline,
    Kind::Block,
    Kind::Paragraph,
    Kind::Heading1,
    Kind::Heading2,
    Kind::Heading3,
    Kind::Heading4,
    Kind::Heading5,
    Kind::Heading6,
    Kind::Pre,
    Kind::Quote,
    Kind::List,
    Kind::Ordered,
    Kind::Item,
    Kind::Definitions,
    Kind::Term,
    Kind::Definition,
    Kind::Table,
    Kind::Caption,
    Kind::Head,
    Kind::Section,
    Kind::Row,
    Kind::Cell,
    Kind::HeadCell,
    Kind::Stray,
    Kind::Noscript,
    Kind::Main,
    Kind::Article,
];

impl Kind {
    /// Returns the kind with a number on the tape.
    pub(super) fn from_number(number: u8) -> Self {
        KINDS.get(usize::from(number)).copied().unwrap_or(Self::Block)
    }

    /// Returns whether the element flows within a line.
    pub(super) fn is_inline(self) -> bool {
        matches!(
            self,
            Self::Inline
                | Self::Bold
                | Self::Italic
                | Self::Code
                | Self::Strike
                | Self::Sup
                | Self::Sub
                | Self::Link
                | Self::Picture
        )
    }

    /// Returns whether the element is a part of a table, outside of its cells.
    pub(super) fn is_of_table(self) -> bool {
        matches!(self, Self::Table | Self::Head | Self::Section | Self::Row)
    }

    /// Returns whether the element is a cell.
    pub(super) fn is_cell(self) -> bool {
        matches!(self, Self::Cell | Self::HeadCell)
    }

    /// Returns the level of a heading.
    pub(super) fn level(self) -> Option<usize> {
        let first = Self::Heading1 as usize;
        let is_heading = (Self::Heading1 as u8..=Self::Heading6 as u8).contains(&(self as u8));
        is_heading.then(|| self as usize - first + 1)
    }

    /// Returns whether a search for an open element ends at this one.
    pub(super) fn is_boundary(self) -> bool {
        self.is_cell() || matches!(self, Self::Table | Self::Caption | Self::Noscript | Self::Stray)
    }
}

/// An element by its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element {
    name: &'static str,
    pub(super) kind: Kind,
    traits: u8,
}

/// The element has no end tag.
const VOID: u8 = 1;
/// The element's start closes an open paragraph.
const ENDS_P: u8 = 2;
/// The element stays in effect until its own end tag, whichever elements around it end.
const LASTS: u8 = 4;
/// The element has no readable text.
const NOISE: u8 = 8;
/// The element leads to other pages.
const AROUND: u8 = 16;

impl Element {
    pub(super) fn is_void(self) -> bool {
        self.traits & VOID != 0
    }

    pub(super) fn ends_paragraph(self) -> bool {
        self.traits & ENDS_P != 0
    }

    pub(super) fn lasts(self) -> bool {
        self.traits & LASTS != 0
    }

    pub(super) fn is_noise(self) -> bool {
        self.traits & NOISE != 0
    }

    pub(super) fn is_around(self) -> bool {
        self.traits & AROUND != 0
    }
}

/// The number of an element that is in no list.
pub(super) const UNKNOWN: u8 = u8::MAX;

/// Returns the number of an element: two elements with one number have the same name.
pub(super) fn number(name: &[u8]) -> u8 {
    let found = ELEMENTS.binary_search_by(|element| element.name.as_bytes().cmp(name));
    found.ok().and_then(|at| u8::try_from(at).ok()).unwrap_or(UNKNOWN)
}

/// Returns the element with a number.
pub(super) fn element(number: u8) -> Element {
    let unknown = Element { name: "", kind: Kind::Inline, traits: 0 };
    ELEMENTS.get(usize::from(number)).copied().unwrap_or(unknown)
}

const fn is(name: &'static str, kind: Kind, traits: u8) -> Element {
    Element { name, kind, traits }
}

/// All elements, in the order of their names.
static ELEMENTS: [Element; 137] = [
    is("a", Kind::Link, LASTS),
    is("abbr", Kind::Inline, 0),
    is("address", Kind::Block, ENDS_P),
    is("amp-img", Kind::Image, VOID),
    is("annotation", Kind::Inline, NOISE),
    is("annotation-xml", Kind::Inline, NOISE),
    is("area", Kind::Ignored, VOID),
    is("article", Kind::Article, ENDS_P),
    is("aside", Kind::Block, ENDS_P | AROUND),
    is("audio", Kind::Inline, NOISE),
    is("b", Kind::Bold, LASTS),
    is("base", Kind::Base, VOID),
    is("bdi", Kind::Inline, 0),
    is("bdo", Kind::Inline, 0),
    is("bgsound", Kind::Ignored, VOID),
    is("big", Kind::Inline, 0),
    is("blockquote", Kind::Quote, ENDS_P),
    is("body", Kind::Ignored, 0),
    is("br", Kind::Break, VOID),
    is("button", Kind::Block, NOISE),
    is("canvas", Kind::Inline, NOISE),
    is("caption", Kind::Caption, 0),
    is("center", Kind::Block, ENDS_P),
    is("cite", Kind::Inline, 0),
    is("code", Kind::Code, LASTS),
    is("col", Kind::Ignored, VOID),
    is("colgroup", Kind::Ignored, 0),
    is("data", Kind::Inline, 0),
    is("datalist", Kind::Inline, NOISE),
    is("dd", Kind::Definition, ENDS_P),
    is("del", Kind::Strike, 0),
    is("details", Kind::Block, ENDS_P),
    is("dfn", Kind::Inline, 0),
    is("dialog", Kind::Block, ENDS_P | NOISE),
    is("dir", Kind::List, ENDS_P),
    is("div", Kind::Block, ENDS_P),
    is("dl", Kind::Definitions, ENDS_P),
    is("dt", Kind::Term, ENDS_P),
    is("em", Kind::Italic, LASTS),
    is("embed", Kind::Ignored, VOID),
    is("fieldset", Kind::Block, ENDS_P),
    is("figcaption", Kind::Block, ENDS_P),
    is("figure", Kind::Block, ENDS_P),
    is("font", Kind::Inline, 0),
    is("footer", Kind::Block, ENDS_P | AROUND),
    is("form", Kind::Block, ENDS_P),
    is("frame", Kind::Frame, VOID),
    is("frameset", Kind::Ignored, 0),
    is("h1", Kind::Heading1, ENDS_P),
    is("h2", Kind::Heading2, ENDS_P),
    is("h3", Kind::Heading3, ENDS_P),
    is("h4", Kind::Heading4, ENDS_P),
    is("h5", Kind::Heading5, ENDS_P),
    is("h6", Kind::Heading6, ENDS_P),
    is("head", Kind::Ignored, 0),
    is("header", Kind::Block, ENDS_P),
    is("hgroup", Kind::Block, ENDS_P),
    is("hr", Kind::Rule, VOID | ENDS_P),
    is("html", Kind::Ignored, 0),
    is("i", Kind::Italic, LASTS),
    is("iframe", Kind::Raw, 0),
    is("image", Kind::Image, VOID),
    is("img", Kind::Image, VOID),
    is("input", Kind::Input, VOID),
    is("ins", Kind::Inline, 0),
    is("kbd", Kind::Code, 0),
    is("keygen", Kind::Ignored, VOID),
    is("label", Kind::Inline, 0),
    is("legend", Kind::Block, ENDS_P),
    is("li", Kind::Item, ENDS_P),
    is("link", Kind::LinkTo, VOID),
    is("listing", Kind::Pre, ENDS_P),
    is("main", Kind::Main, ENDS_P),
    is("map", Kind::Inline, 0),
    is("mark", Kind::Inline, 0),
    is("math", Kind::Inline, 0),
    is("menu", Kind::List, ENDS_P),
    is("meta", Kind::Meta, VOID),
    is("meter", Kind::Inline, NOISE),
    is("nav", Kind::Block, ENDS_P | AROUND),
    is("nobr", Kind::Inline, 0),
    is("noembed", Kind::Raw, 0),
    is("noframes", Kind::Raw, 0),
    is("noscript", Kind::Noscript, 0),
    is("object", Kind::Inline, NOISE),
    is("ol", Kind::Ordered, ENDS_P),
    is("optgroup", Kind::Inline, NOISE),
    is("option", Kind::Inline, NOISE),
    is("output", Kind::Inline, 0),
    is("p", Kind::Paragraph, ENDS_P),
    is("param", Kind::Ignored, VOID),
    is("picture", Kind::Picture, 0),
    is("plaintext", Kind::RawPre, ENDS_P),
    is("pre", Kind::Pre, ENDS_P),
    is("progress", Kind::Inline, NOISE),
    is("q", Kind::Inline, 0),
    is("rb", Kind::Inline, 0),
    is("rp", Kind::Inline, 0),
    is("rt", Kind::Inline, 0),
    is("rtc", Kind::Inline, 0),
    is("ruby", Kind::Inline, 0),
    is("s", Kind::Strike, LASTS),
    is("samp", Kind::Code, 0),
    is("script", Kind::Raw, 0),
    is("search", Kind::Block, ENDS_P | AROUND),
    is("section", Kind::Block, ENDS_P),
    is("select", Kind::Inline, NOISE),
    is("slot", Kind::Inline, 0),
    is("small", Kind::Inline, 0),
    is("source", Kind::Source, VOID),
    is("span", Kind::Inline, 0),
    is("strike", Kind::Strike, LASTS),
    is("strong", Kind::Bold, LASTS),
    is("style", Kind::Raw, 0),
    is("sub", Kind::Sub, 0),
    is("summary", Kind::Block, ENDS_P),
    is("sup", Kind::Sup, 0),
    is("svg", Kind::Foreign, 0),
    is("table", Kind::Table, ENDS_P),
    is("tbody", Kind::Section, 0),
    is("td", Kind::Cell, 0),
    is("template", Kind::Inline, NOISE),
    is("textarea", Kind::Raw, 0),
    is("tfoot", Kind::Section, 0),
    is("th", Kind::HeadCell, 0),
    is("thead", Kind::Head, 0),
    is("time", Kind::Inline, 0),
    is("title", Kind::Title, 0),
    is("tr", Kind::Row, 0),
    is("track", Kind::Ignored, VOID),
    is("tt", Kind::Code, LASTS),
    is("u", Kind::Inline, 0),
    is("ul", Kind::List, ENDS_P),
    is("var", Kind::Inline, 0),
    is("video", Kind::Inline, NOISE),
    is("wbr", Kind::Ignored, VOID),
    is("xmp", Kind::RawPre, ENDS_P),
];

#[cfg(test)]
mod tests {
    use super::{ELEMENTS, Kind, element, number};

    #[test]
    fn every_element_is_found_by_its_name() {
        for known in &ELEMENTS {
            let found = element(number(known.name.as_bytes()));
            assert_eq!((found.name, found.kind), (known.name, known.kind));
        }
        assert_eq!(element(number(b"my-card")).kind, Kind::Inline);
    }

    #[test]
    fn kinds_on_the_tape_are_read_as_they_were_written() {
        for number in 0..28 {
            assert_eq!(Kind::from_number(number) as u8, number);
        }
    }
}

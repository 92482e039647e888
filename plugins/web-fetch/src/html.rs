//! Converts HTML to Markdown: the article alone if there is one, else the whole page.
mod builder;
mod code;
mod facts;
mod line;
mod markdown;
mod names;
mod out;
mod pick;
mod picture;
mod refresh;
mod signs;
mod table;
mod tags;
mod tape;
mod tokens;
mod wordless;

use url::Url;

use crate::cut::Window;
use builder::Builder;
use facts::Facts;
use line::Links;
use markdown::Writer;
use out::Out;
use pick::Parts;
use tape::Tape;

pub(crate) use refresh::{Patience, Refresh, parse as parse_refresh};
pub(crate) use wordless::Wordless;

/// The language of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    Html,
    /// XHTML: an element may end with its start tag.
    Xml,
}

/// A page as a tape, with its facts. Its text is not needed any longer.
pub(crate) struct Parsed {
    tape: Tape,
    facts: Facts,
}

/// A page that has been read.
pub(crate) struct Read {
    pub(crate) title: Option<String>,
    pub(crate) window: Window,
    /// The place to which the page sends its readers.
    pub(crate) refresh: Option<Refresh>,
    /// The reason why the page has no words.
    pub(crate) wordless: Option<Wordless>,
}

/// Parses a page, in a time and memory that grow with its size alone.
pub(crate) fn parse(html: &str, syntax: Syntax) -> Parsed {
    let mut page = Builder::default();
    page.is_xml = syntax == Syntax::Xml;
    tokens::read(html, &mut page);
    page.finish();
    let Builder { tape, facts, .. } = page;
    Parsed { tape, facts }
}

/// Reads the part of a page that is in a window. The page is at an address.
pub(crate) fn read(page: Parsed, at: &Url, window: Window) -> Read {
    let Parsed { mut tape, facts } = page;
    let mut parts = pick::pick(&mut tape);
    let base = facts.base.as_deref().and_then(|base| at.join(base).ok());
    let base = base.filter(|base| matches!(base.scheme(), "http" | "https"));
    let base = base.unwrap_or_else(|| at.clone());
    let wordless = wordless::reason(&tape, &facts, &mut parts, &base);
    let patience = if wordless.is_some() { Patience::Any } else { Patience::Short };
    let refresh = refresh::find(&facts, &base, patience);
    let heading = parts.heading.take();
    let title = facts.title().or(facts.other_title).or(heading);
    let mut writer = Writer::new(&tape, Links::new(&tape, base), Out::new(window));
    write(&mut writer, &parts, wordless.is_some());
    Read { title, window: writer.finish().finish(), refresh, wordless }
}

/// Writes the page's own text, and the parts that a script would move into it. Of a page without
/// words, writes the hidden parts.
fn write(writer: &mut Writer<'_>, parts: &Parts, is_wordless: bool) {
    if !is_wordless {
        writer.write(parts.own, parts.left_out);
    }
    for part in &parts.streamed {
        writer.write(*part, tape::HIDDEN);
    }
    if is_wordless {
        for part in &parts.hidden {
            writer.write(*part, 0);
        }
    }
}

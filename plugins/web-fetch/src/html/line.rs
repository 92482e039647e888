//! A line of text with emphasis, code, links and pictures, as Markdown.
use std::cell::Cell;
use std::fmt::Write as _;
use std::mem;

use url::Url;

use crate::html::tape::{BOLD, CODE, ITALIC, STRIKE, SUB, SUP, Tape};

/// The size in bytes of a line that is not kept any longer.
const MAX_LINE: usize = 64 << 10;
/// The bytes by which whole addresses may be longer than those of the page.
const MAX_GROWTH: usize = 4 << 20;
/// The longest address that is written.
const MAX_URL: usize = 2000;
/// The order in which marks hold each other.
const ORDER: [u8; 6] = [STRIKE, BOLD, ITALIC, SUP, SUB, CODE];

/// The addresses of a page's links and pictures.
pub(super) struct Links<'t> {
    tape: &'t Tape,
    base: Url,
    /// The last link, and its whole address.
    last: (u32, Option<String>),
    /// The link of an earlier block.
    spent: u32,
    /// The link of the last pictures, and their number.
    pictures: (u32, usize),
    /// The bytes by which whole addresses may still be longer than those of the page.
    room: Cell<usize>,
}

impl<'t> Links<'t> {
    pub(super) fn new(tape: &'t Tape, base: Url) -> Self {
        let (last, pictures) = ((0, None), (0, 0));
        Self { tape, base, last, spent: 0, pictures, room: Cell::new(MAX_GROWTH) }
    }

    /// Returns the link if it leads to a page, and no earlier block has it.
    fn current(&mut self, link: u32) -> u32 {
        if link == 0 || link == self.spent {
            return 0;
        }
        if self.last.0 != link {
            self.last = (link, self.whole(self.tape.string(link)));
        }
        if self.last.1.is_some() { link } else { 0 }
    }

    /// Returns the whole address of a picture.
    pub(super) fn picture(&self, source: u32) -> Option<String> {
        let is_embedded = |url: &String| url.starts_with("mailto:") || url.starts_with("tel:");
        self.whole(self.tape.string(source)).filter(|url| !is_embedded(url))
    }

    /// Returns the whole address; the page's own one after so many that they would fill the memory.
    fn whole(&self, address: &str) -> Option<String> {
        let url = whole(&self.base, address)?;
        let growth = url.len().saturating_sub(address.len());
        match self.room.get().checked_sub(growth) {
            Some(room) => {
                self.room.set(room);
                Some(url)
            }
            None => Some(address.to_owned()),
        }
    }

    pub(super) fn string(&self, number: u32) -> &'t str {
        self.tape.string(number)
    }
}

fn whole(base: &Url, address: &str) -> Option<String> {
    if address.is_empty() || address.len() > MAX_URL {
        return None;
    }
    let url = base.join(address).ok()?;
    let is_known = matches!(url.scheme(), "http" | "https" | "mailto" | "tel");
    let url = String::from(url);
    let is_balanced = || {
        let mut depth = 0_i32;
        let never_below = url.bytes().all(|byte| {
            depth += i32::from(byte == b'(') - i32::from(byte == b')');
            depth >= 0
        });
        never_below && depth == 0
    };
    if !is_known || url.len() > MAX_URL {
        None
    } else if is_balanced() {
        Some(url)
    } else {
        Some(url.replace('(', "%28").replace(')', "%29"))
    }
}

/// The way in which a line break is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Breaks {
    #[default]
    Lines,
    /// A heading has one line.
    Spaces,
    /// A cell has one line, with tags for breaks.
    Tags,
}

/// A line that is being written.
#[derive(Default)]
pub(super) struct Line {
    text: String,
    breaks: Breaks,
    marks: u8,
    link: u32,
    /// The whole address of the link.
    url: String,
    /// The code that is being written.
    code: String,
    /// The beginning of the line was taken away.
    has_begun: bool,
    /// A space stands before the next word.
    has_gap: bool,
    /// Line breaks stand before the next word.
    has_break: bool,
}

impl Line {
    pub(super) fn new(breaks: Breaks) -> Self {
        Self { breaks, ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.code.is_empty() && !self.has_begun
    }

    /// Returns whether the line is too long to be kept.
    pub(super) fn is_long(&self) -> bool {
        self.text.len() + self.code.len() > MAX_LINE
    }

    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Takes the beginning of the line away. Code that is too long is written as several ones.
    pub(super) fn take(&mut self) -> String {
        if !self.code.is_empty() {
            let code = mem::take(&mut self.code);
            push_code(&mut self.text, &code);
            self.text.push('\n');
        }
        self.has_begun = true;
        mem::take(&mut self.text)
    }

    /// Adds text. White space becomes one space.
    pub(super) fn push(&mut self, links: &mut Links<'_>, marks: u8, link: u32, text: &str) {
        let link = links.current(link);
        // a note is a link, and not a power
        let marks = if link == 0 { marks } else { marks & !(SUP | SUB) };
        let is_space = |c: char| c.is_whitespace();
        self.has_gap |= text.starts_with(is_space);
        let mut words = text.split(is_space).filter(|word| !word.is_empty()).peekable();
        while let Some(word) = words.next() {
            self.word(links, marks, link, word);
            self.has_gap = words.peek().is_some();
        }
        self.has_gap |= text.ends_with(is_space) && !self.is_empty();
    }

    fn word(&mut self, links: &mut Links<'_>, marks: u8, link: u32, word: &str) {
        let is_invisible = |c: char| matches!(c, '\u{ad}' | '\u{200b}' | '\u{feff}');
        if word.chars().all(is_invisible) {
            return;
        }
        self.switch(links, marks, link);
        let is_first = self.is_empty();
        let target = if marks & CODE != 0 { &mut self.code } else { &mut self.text };
        if is_first && marks == 0 && link == 0 && is_sign(word) {
            target.push('\\');
        }
        match word.contains(is_invisible) {
            true => target.extend(word.chars().filter(|c| !is_invisible(*c))),
            false => target.push_str(word),
        }
    }

    /// Ends marks and begins others. The space between words stands outside of both.
    fn switch(&mut self, links: &mut Links<'_>, marks: u8, link: u32) {
        if (marks, link) == (self.marks, self.link) {
            return self.gap();
        }
        let is_other = |mark: &u8| (self.marks ^ marks) & *mark != 0;
        let kept = match link == self.link {
            true => ORDER.iter().position(is_other).unwrap_or(ORDER.len()),
            false => 0,
        };
        for mark in ORDER[kept..].iter().rev() {
            if self.marks & mark != 0 {
                self.end(*mark);
            }
        }
        if self.link != link {
            self.end_link(links);
        }
        self.marks &= ORDER[..kept].iter().fold(0, |all, mark| all | mark);
        self.gap();
        if self.link != link && link != 0 {
            self.text.push('[');
            self.url.clone_from(links.last.1.as_ref().unwrap_or(&String::new()));
        }
        self.link = link;
        for mark in &ORDER[kept..] {
            if marks & mark != 0 {
                self.text.push_str(sign(*mark).0);
            }
        }
        self.marks = marks;
    }

    fn end(&mut self, mark: u8) {
        match mark {
            CODE => {
                let code = mem::take(&mut self.code);
                push_code(&mut self.text, &code);
            }
            _ => self.text.push_str(sign(mark).1),
        }
    }

    fn end_link(&mut self, links: &mut Links<'_>) {
        if self.link != 0 {
            let _ = write!(self.text, "]({})", self.url);
            links.spent = self.link;
        }
    }

    /// Writes the space or the line break before a word.
    fn gap(&mut self) {
        let (has_gap, has_break) = (mem::take(&mut self.has_gap), mem::take(&mut self.has_break));
        if self.is_empty() {
            return;
        }
        if self.marks & CODE != 0 {
            self.code.push_str(if has_gap || has_break { " " } else { "" });
        } else if has_break {
            self.text.push_str(match self.breaks {
                Breaks::Lines => "  \n",
                Breaks::Spaces => " ",
                Breaks::Tags => "<br>",
            });
        } else if has_gap && !self.text.ends_with(' ') {
            self.text.push(' ');
        }
    }

    pub(super) fn line_break(&mut self) {
        self.has_break = true;
    }

    /// Adds text that is Markdown, outside of any mark.
    pub(super) fn raw(&mut self, links: &mut Links<'_>, text: &str) {
        self.switch(links, 0, 0);
        self.text.push_str(text);
    }

    /// Adds a box of a task list.
    pub(super) fn check(&mut self, links: &mut Links<'_>, is_on: bool) {
        self.raw(links, if is_on { "[x] " } else { "[ ] " });
    }

    /// Adds an end tag, without the break before it.
    pub(super) fn raw_end(&mut self, links: &mut Links<'_>, tag: &str) {
        (self.has_gap, self.has_break) = (false, false);
        self.raw(links, tag);
    }

    /// Begins a block of its own, unless one has just begun.
    pub(super) fn block_break(&mut self) {
        let is_begun = ["- ", ". ", "<td>", "<th>"].iter().any(|end| self.text.ends_with(end));
        self.has_break |= !is_begun;
    }

    pub(super) fn picture(&mut self, links: &mut Links<'_>, link: u32, picture: Picture<'_>) {
        let is_same_link = links.pictures.0 == link;
        links.pictures = (link, if is_same_link { links.pictures.1 + 1 } else { 1 });
        let link = if links.pictures.1 > 2 { 0 } else { links.current(link) };
        self.switch(links, 0, link);
        let _ = write!(self.text, "![{}]({})", picture.words, picture.url);
    }

    /// Ends the line and returns its text.
    pub(super) fn finish(&mut self, links: &mut Links<'_>) -> String {
        (self.has_gap, self.has_break) = (false, false);
        // a link around a picture alone stands again at its words
        let is_picture = self.link != 0 && self.text.ends_with(')') && self.text.starts_with("[!");
        let spent = links.spent;
        self.switch(links, 0, 0);
        if is_picture {
            links.spent = spent;
        }
        (self.breaks, self.has_begun) = (Breaks::Lines, false);
        mem::take(&mut self.text)
    }

    pub(super) fn set_breaks(&mut self, breaks: Breaks) {
        self.breaks = breaks;
    }
}

/// A picture with its words.
pub(super) struct Picture<'t> {
    pub(super) url: String,
    pub(super) words: &'t str,
}

fn sign(mark: u8) -> (&'static str, &'static str) {
    match mark {
        STRIKE => ("~~", "~~"),
        BOLD => ("**", "**"),
        ITALIC => ("*", "*"),
        SUP => ("<sup>", "</sup>"),
        SUB => ("<sub>", "</sub>"),
        _ => ("", ""),
    }
}

/// Returns whether a first word of a text would be read as a sign of Markdown.
fn is_sign(word: &str) -> bool {
    let is_heading = word.len() <= 6 && word.bytes().all(|byte| byte == b'#');
    let is_rule = word.len() >= 3 && word.bytes().all(|b| b == b'-' || b == b'*' || b == b'=');
    is_heading
        || is_rule
        || matches!(word, "-" | "+" | "*")
        || word.starts_with('>')
        || word.starts_with("```")
        || word.starts_with("~~~")
}

/// Adds code between as many backticks as its own do not close.
pub(super) fn push_code(text: &mut String, code: &str) {
    let fence = "`".repeat(longest_run(code) + 1);
    let fence = if code.contains('`') { &fence } else { "`" };
    let pad = if code.starts_with('`') || code.ends_with('`') { " " } else { "" };
    let _ = write!(text, "{fence}{pad}{code}{pad}{fence}");
}

/// Returns the length of the longest run of backticks.
fn longest_run(code: &str) -> usize {
    let runs = code.split(|c| c != '`').map(str::len);
    runs.max().unwrap_or_default()
}

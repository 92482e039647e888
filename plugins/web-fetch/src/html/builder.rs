//! Makes a tape of a page: closes elements as browsers do, in a time that grows with the page alone.
use std::mem;

use crate::html::facts::Facts;
use crate::html::names::Kind;
use crate::html::tape::{self, Empty, Start, Tape};

/// The largest number of open elements, as in browsers. Deeper elements become a row.
const MAX_DEPTH: usize = 512;
/// The largest number of formats in effect.
const MAX_FORMATS: usize = 48;
/// An element without a record on the tape.
const NO_PLACE: u32 = u32::MAX;

/// The element is in a `noscript`.
pub(super) const IN_NOSCRIPT: u8 = 1;
/// The element is in one without readable text.
pub(super) const IN_NOISE: u8 = 2;
/// White space counts in the element.
pub(super) const IN_PRE: u8 = 4;

/// The table has heads, or a caption.
const HEADS: u8 = 1;
/// The table has cells with large blocks in them.
const BLOCKS: u8 = 2;
/// The table has a row with several cells.
const COLUMNS: u8 = 4;
/// The page says that the table arranges blocks.
pub(super) const ARRANGES: u8 = 8;

/// An open element.
#[derive(Clone, Copy)]
pub(super) struct Open {
    /// The number of its name.
    pub(super) number: u8,
    pub(super) kind: Kind,
    /// The kind of the nearest element that is not within a line: itself, or one around it.
    pub(super) ground: Kind,
    /// The marks of its text, those of elements around it included.
    pub(super) marks: u8,
    pub(super) within: u8,
    /// The contents of a table, and of a row.
    pub(super) seen: u8,
    at: u32,
}

/// The wish for a new open element.
#[derive(Clone, Copy)]
pub(super) struct Opening {
    pub(super) number: u8,
    pub(super) start: Start,
    pub(super) marks: u8,
    pub(super) within: u8,
}

impl Opening {
    pub(super) fn new(number: u8, kind: Kind) -> Self {
        let start = Start { kind, flags: 0, first: 0, second: 0 };
        Self { number, start, marks: 0, within: 0 }
    }
}

/// A format that lasts until its end tag.
#[derive(Clone, Copy)]
pub(super) enum Format {
    /// A cell begins: formats before it are not in effect in it.
    Cell,
    Mark {
        number: u8,
        mark: u8,
    },
    /// A link, by the number of its address; 0 if it has none.
    Link(u32),
}

/// The page, as far as it has been read.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) tape: Tape,
    pub(super) facts: Facts,
    pub(super) is_xml: bool,
    pub(super) stack: Vec<Open>,
    /// The number of open paragraphs.
    pub(super) paragraphs: usize,
    formats: Vec<Format>,
    /// The marks of the formats in effect.
    format_marks: u8,
    /// The link in effect.
    pub(super) link: u32,
    text: Vec<u8>,
    /// The bare text of an element that is being read.
    pub(super) raw: Option<Kind>,
    /// The depth in an element of another language.
    pub(super) foreign: usize,
    /// The depth in elements of HTML in it.
    pub(super) foreign_html: usize,
    /// The number of open elements beyond the largest depth.
    pub(super) beyond: usize,
    /// The next line break begins a `pre`, and does not count.
    pub(super) is_pre_start: bool,
    /// The depth of an element that names the language of code, and that language.
    pub(super) hint: Option<(usize, u32)>,
    /// The pictures of a `picture`.
    pub(super) picture: Option<String>,
}

impl Builder {
    pub(super) fn top(&self) -> Option<&Open> {
        self.stack.last()
    }

    pub(super) fn is_within(&self, flag: u8) -> bool {
        self.top().is_some_and(|top| top.within & flag != 0)
    }

    /// Returns the kind of the nearest element that is not within a line.
    pub(super) fn ground(&self) -> Kind {
        self.top().map_or(Kind::Block, |top| top.ground)
    }

    pub(super) fn push_text(&mut self, text: &[u8]) {
        for piece in text.chunks(tape::MAX_TEXT) {
            self.text.extend_from_slice(piece);
            if self.text.len() > tape::MAX_TEXT {
                self.flush();
            }
        }
    }

    /// Writes the text so far to the tape.
    pub(super) fn flush(&mut self) {
        if self.text.is_empty() {
            return;
        }
        let mut bytes = mem::take(&mut self.text);
        // the receiver may cut a text within a character
        let whole = match std::str::from_utf8(&bytes) {
            Err(e) if e.error_len().is_none() => e.valid_up_to(),
            _ => bytes.len(),
        };
        let marks = self.format_marks | self.top().map_or(0, |top| top.marks);
        let text = String::from_utf8_lossy(&bytes[..whole]);
        let is_blank = text.bytes().all(|b| b.is_ascii_whitespace());
        if self.is_within(IN_NOISE) || (is_blank && self.ground().is_of_table()) {
        } else if self.ground().is_of_table() {
            let stray = Opening::new(0, Kind::Stray).start;
            let at = self.tape.open(stray);
            self.tape.text(marks, self.link, &text);
            self.tape.close(at, 0, Empty::Dropped);
        } else {
            self.tape.text(marks, self.link, &text);
        }
        drop(text);
        bytes.drain(..whole);
        self.text = bytes;
    }

    /// Opens an element. One beyond the largest depth only separates blocks.
    pub(super) fn push(&mut self, opening: Opening) {
        self.flush();
        let Opening { number, start, marks, within } = opening;
        let kind = start.kind;
        if self.stack.len() >= MAX_DEPTH {
            if !kind.is_inline() {
                self.tape.split();
            }
            self.beyond += usize::from(!is_implied(kind));
            return;
        }
        let outer = self.top().copied();
        let (outer_marks, outer_within) = outer.map_or((0, 0), |top| (top.marks, top.within));
        let within = within | outer_within;
        let is_recorded = within & IN_NOISE == 0 && (!kind.is_inline() || start.flags != 0);
        let at = if is_recorded { self.open_record(start) } else { NO_PLACE };
        let ground = match outer {
            Some(outer) if kind.is_inline() => outer.ground,
            None if kind.is_inline() => Kind::Block,
            _ => kind,
        };
        let marks = marks | outer_marks;
        self.paragraphs += usize::from(kind == Kind::Paragraph);
        self.stack.push(Open { number, kind, ground, marks, within, seen: 0, at });
        if kind.is_cell() || kind == Kind::Caption {
            self.formats.push(Format::Cell);
            self.format_marks = 0;
        }
    }

    fn open_record(&mut self, start: Start) -> u32 {
        let bit = match start.kind {
            Kind::HeadCell | Kind::Caption | Kind::Head => HEADS,
            Kind::Table | Kind::Pre | Kind::Quote | Kind::Main | Kind::Article => BLOCKS,
            kind if kind.level().is_some() => BLOCKS,
            _ => 0,
        };
        if bit != 0 {
            self.see(Kind::Table, bit);
        }
        if start.kind.is_cell() {
            self.see_cell();
        }
        self.tape.open(start)
    }

    /// Notes a fact of the nearest open element of a kind.
    pub(super) fn see(&mut self, kind: Kind, bit: u8) {
        if let Some(open) = self.stack.iter_mut().rev().find(|open| open.kind == kind) {
            open.seen |= bit;
        }
    }

    /// Notes a cell in its row, and a second one in the table.
    fn see_cell(&mut self) {
        let Some(row) = self.stack.iter_mut().rev().find(|open| open.kind == Kind::Row) else {
            return;
        };
        let is_second = row.seen != 0;
        row.seen = 1;
        if is_second {
            self.see(Kind::Table, COLUMNS);
        }
    }

    /// Closes the innermost open element.
    pub(super) fn pop(&mut self) {
        self.flush();
        let Some(open) = self.stack.pop() else { return };
        self.paragraphs -= usize::from(open.kind == Kind::Paragraph);
        self.hint = self.hint.filter(|(depth, _)| *depth < self.stack.len());
        if open.kind.is_cell() || open.kind == Kind::Caption {
            let cell = self.formats.iter().rposition(|format| matches!(format, Format::Cell));
            self.formats.truncate(cell.unwrap_or(0));
            self.update_formats();
        }
        if open.at == NO_PLACE {
            return;
        }
        let is_data = open.seen & HEADS != 0
            || (open.seen & COLUMNS != 0 && open.seen & (BLOCKS | ARRANGES) == 0);
        let flags = match open.kind {
            Kind::Table if !is_data => tape::LAYOUT,
            _ => 0,
        };
        let empty = match open.kind.is_cell() {
            true => Empty::Kept,
            false => Empty::Dropped,
        };
        self.tape.close(open.at, flags, empty);
    }

    /// Closes all elements down to a number of open ones.
    pub(super) fn pop_to(&mut self, depth: usize) {
        while self.stack.len() > depth {
            self.pop();
        }
    }

    /// Returns the place of the innermost open element of which `fits` is true, unless a cell, a
    /// table or a `noscript` lies between.
    pub(super) fn find(&self, fits: impl Fn(&Open) -> bool) -> Option<usize> {
        for (at, open) in self.stack.iter().enumerate().rev() {
            if fits(open) {
                return Some(at);
            }
            if open.kind.is_boundary() {
                return None;
            }
        }
        None
    }

    /// Returns the place of the innermost open element of a kind.
    pub(super) fn find_kind(&self, kind: Kind) -> Option<usize> {
        self.stack.iter().rposition(|open| open.kind == kind)
    }

    pub(super) fn add_format(&mut self, format: Format) {
        self.flush();
        if self.formats.len() >= MAX_FORMATS + MAX_DEPTH {
            return;
        }
        let in_cell = self.formats.iter().rev().take_while(|f| !matches!(f, Format::Cell)).count();
        if in_cell >= MAX_FORMATS {
            self.formats.remove(self.formats.len() - in_cell);
        }
        self.formats.push(format);
        self.update_formats();
    }

    /// Ends the last format of which `fits` is true, within the cell. Returns false if there is none.
    pub(super) fn end_format(&mut self, fits: impl Fn(Format) -> bool) -> bool {
        let in_cell = self.formats.iter().enumerate().rev();
        let mut in_cell = in_cell.take_while(|(_, format)| !matches!(format, Format::Cell));
        let Some((at, _)) = in_cell.find(|(_, format)| fits(**format)) else { return false };
        self.flush();
        self.formats.remove(at);
        self.update_formats();
        true
    }

    fn update_formats(&mut self) {
        let in_cell = self.formats.iter().rev().take_while(|f| !matches!(f, Format::Cell));
        let marks = in_cell.map(|format| match format {
            Format::Mark { mark, .. } => *mark,
            Format::Link(_) | Format::Cell => 0,
        });
        self.format_marks = marks.fold(0, |all, mark| all | mark);
        let links = self.formats.iter().rev().filter_map(|format| match format {
            Format::Link(link) => Some(*link),
            _ => None,
        });
        self.link = links.take(1).next().unwrap_or(0);
    }

    /// Ends the page.
    pub(super) fn finish(&mut self) {
        self.pop_to(0);
        self.flush();
    }
}

/// Returns whether pages leave out the end tags of a kind.
pub(super) fn is_implied(kind: Kind) -> bool {
    let is_of_list = matches!(kind, Kind::Item | Kind::Term | Kind::Definition | Kind::Paragraph);
    is_of_list || kind.is_cell() || matches!(kind, Kind::Row | Kind::Section | Kind::Head)
}

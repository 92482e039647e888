//! A page as a tape of records, in the order of the page. It is about as long as the page itself.

use crate::html::names::Kind;

/// The size of a piece of the tape. A page of any size grows the tape without a copy.
const PIECE: usize = 1 << PIECE_BITS;
const PIECE_BITS: u32 = 18;
/// The largest text of one record.
pub(super) const MAX_TEXT: usize = 16 << 10;
/// The most bytes of a record beside its text.
const MAX_RECORD: usize = 40;

const END_OF_PIECE: u8 = 0;
const OPEN: u8 = 1;
const CLOSE: u8 = 2;
const TEXT: u8 = 3;
const BREAK: u8 = 4;
const RULE: u8 = 5;
const IMAGE: u8 = 6;
const CHECK: u8 = 7;
const SPLIT: u8 = 8;
const LANGUAGE: u8 = 9;

/// The marks of a text.
pub(super) const BOLD: u8 = 1;
pub(super) const ITALIC: u8 = 2;
pub(super) const STRIKE: u8 = 4;
pub(super) const CODE: u8 = 8;
pub(super) const SUP: u8 = 16;
pub(super) const SUB: u8 = 32;

/// The page hides the element.
pub(super) const HIDDEN: u8 = 1;
/// The element leads to other pages.
pub(super) const AROUND: u8 = 2;
/// The element's class says that it is not the page's own text.
pub(super) const UNLIKELY: u8 = 4;
/// A script of the page shows the element in another place.
pub(super) const STREAMED: u8 = 8;
/// The table arranges blocks and holds no data.
pub(super) const LAYOUT: u8 = 16;

/// The beginning of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) kind: Kind,
    pub(super) flags: u8,
    /// A number of the element: columns of a cell, the first number of a list, the number of an item.
    pub(super) first: u32,
    /// Another number of the element: rows of a cell; 1 if an item has a number.
    pub(super) second: u32,
}

/// A record with its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record<'t> {
    /// An element begins. `end` is the place after its `Close`.
    Open {
        start: Start,
        end: u32,
    },
    Close,
    /// `link` is the number of a string; 0 if there is none.
    Text {
        marks: u8,
        link: u32,
        text: &'t str,
    },
    Break,
    Rule,
    /// `source` and `words` are numbers of strings.
    Image {
        link: u32,
        source: u32,
        words: u32,
    },
    /// A box of a task list.
    Check {
        is_on: bool,
    },
    /// A block ends here without an element.
    Split,
    /// The language of the code around it, as the number of a string.
    Language(u32),
}

/// The records and the strings of a page.
#[derive(Default)]
pub(super) struct Tape {
    pieces: Vec<Vec<u8>>,
    strings: String,
    /// The end of each string. String 0 is empty.
    ends: Vec<u32>,
}

impl Tape {
    /// Returns the place of the next record.
    pub(super) fn here(&self) -> u32 {
        let Some(last) = self.pieces.last() else { return 0 };
        place(self.pieces.len() - 1, last.len())
    }

    /// Keeps a string and returns its number.
    pub(super) fn keep(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        self.strings.push_str(text);
        self.ends.push(number(self.strings.len()));
        number(self.ends.len())
    }

    /// Returns a string by its number.
    pub(super) fn string(&self, number: u32) -> &str {
        let Some(at) = (number as usize).checked_sub(1) else { return "" };
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        self.ends.get(at).map_or("", |end| &self.strings[start..*end as usize])
    }

    /// Begins an element and returns its place.
    pub(super) fn open(&mut self, start: Start) -> u32 {
        let piece = self.room(MAX_RECORD);
        let at = piece.len();
        piece.extend([OPEN, start.kind as u8, start.flags, 0, 0, 0, 0]);
        push_number(piece, start.first);
        push_number(piece, start.second);
        place(self.pieces.len() - 1, at)
    }

    /// Ends the element that begins at `at`, with more flags. An element without content leaves no
    /// record if `is_kept` says so.
    pub(super) fn close(&mut self, at: u32, flags: u8, empty: Empty) {
        let (piece, offset) = split(at);
        if empty == Empty::Dropped && piece + 1 == self.pieces.len() {
            let size = 7 + number_size(&self.pieces[piece], offset + 7);
            if self.pieces[piece].len() == offset + size {
                self.pieces[piece].truncate(offset);
                return;
            }
        }
        self.room(MAX_RECORD).push(CLOSE);
        let end = self.here().to_le_bytes();
        let record = &mut self.pieces[piece][offset..];
        record[2] |= flags;
        record[3..7].copy_from_slice(&end);
    }

    /// Takes a flag from the element that begins at a place.
    pub(super) fn clear_flag(&mut self, at: u32, flag: u8) {
        let (mut piece, mut offset) = split(at);
        if self.pieces.get(piece).is_some_and(|bytes| bytes[offset] == END_OF_PIECE) {
            (piece, offset) = (piece + 1, 0);
        }
        if let Some(flags) = self.pieces.get_mut(piece).and_then(|bytes| bytes.get_mut(offset + 2))
        {
            *flags &= !flag;
        }
    }

    pub(super) fn text(&mut self, marks: u8, link: u32, text: &str) {
        let mut rest = text;
        while !rest.is_empty() {
            let taken = &rest[..rest.floor_char_boundary(MAX_TEXT)];
            rest = &rest[taken.len()..];
            let piece = self.room(MAX_RECORD + taken.len());
            piece.extend([TEXT, marks]);
            push_number(piece, link);
            push_number(piece, number(taken.len()));
            piece.extend_from_slice(taken.as_bytes());
        }
    }

    pub(super) fn image(&mut self, link: u32, source: u32, words: u32) {
        let piece = self.room(MAX_RECORD);
        piece.push(IMAGE);
        for value in [link, source, words] {
            push_number(piece, value);
        }
    }

    pub(super) fn line_break(&mut self) {
        self.room(MAX_RECORD).push(BREAK);
    }

    pub(super) fn rule(&mut self) {
        self.room(MAX_RECORD).push(RULE);
    }

    pub(super) fn split(&mut self) {
        self.room(MAX_RECORD).push(SPLIT);
    }

    pub(super) fn check(&mut self, is_on: bool) {
        self.room(MAX_RECORD).extend([CHECK, u8::from(is_on)]);
    }

    pub(super) fn language(&mut self, name: u32) {
        let piece = self.room(MAX_RECORD);
        piece.push(LANGUAGE);
        push_number(piece, name);
    }

    /// Returns the records from one place to another.
    pub(super) fn read(&self, from: u32, to: u32) -> Records<'_> {
        Records { tape: self, at: from, to }
    }

    /// Returns a piece with room for a record.
    fn room(&mut self, size: usize) -> &mut Vec<u8> {
        let is_full = self.pieces.last().is_none_or(|last| last.len() + size + 1 > PIECE);
        if is_full {
            if let Some(last) = self.pieces.last_mut() {
                last.push(END_OF_PIECE);
            }
            self.pieces.push(Vec::with_capacity(PIECE));
        }
        let last = self.pieces.len() - 1;
        &mut self.pieces[last]
    }
}

/// Whether an element without content leaves a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Empty {
    Kept,
    Dropped,
}

/// A reader of records.
#[derive(Clone)]
pub(super) struct Records<'t> {
    tape: &'t Tape,
    at: u32,
    to: u32,
}

impl<'t> Records<'t> {
    /// Returns the place of the next record.
    pub(super) fn here(&self) -> u32 {
        self.at
    }

    /// Goes on at a place, such as the end of an element.
    pub(super) fn go_to(&mut self, at: u32) {
        self.at = at;
    }
}

impl<'t> Iterator for Records<'t> {
    type Item = Record<'t>;

    fn next(&mut self) -> Option<Record<'t>> {
        if self.at >= self.to {
            return None;
        }
        let (mut piece, mut offset) = split(self.at);
        if *self.tape.pieces.get(piece)?.get(offset)? == END_OF_PIECE {
            (piece, offset) = (piece + 1, 0);
        }
        let bytes = self.tape.pieces.get(piece)?;
        let op = *bytes.get(offset)?;
        offset += 1;
        let record = match op {
            OPEN => {
                let end = u32::from_le_bytes(bytes.get(offset + 2..offset + 6)?.try_into().ok()?);
                let (kind, flags) = (Kind::from_number(bytes[offset]), bytes[offset + 1]);
                offset += 6;
                let first = read_number(bytes, &mut offset);
                let second = read_number(bytes, &mut offset);
                Record::Open { start: Start { kind, flags, first, second }, end }
            }
            TEXT => {
                let marks = bytes[offset];
                offset += 1;
                let link = read_number(bytes, &mut offset);
                let length = read_number(bytes, &mut offset) as usize;
                let text = std::str::from_utf8(bytes.get(offset..offset + length)?).ok()?;
                offset += length;
                Record::Text { marks, link, text }
            }
            IMAGE => Record::Image {
                link: read_number(bytes, &mut offset),
                source: read_number(bytes, &mut offset),
                words: read_number(bytes, &mut offset),
            },
            CHECK => {
                offset += 1;
                Record::Check { is_on: bytes[offset - 1] != 0 }
            }
            LANGUAGE => Record::Language(read_number(bytes, &mut offset)),
            BREAK => Record::Break,
            RULE => Record::Rule,
            SPLIT => Record::Split,
            _ => Record::Close,
        };
        self.at = place(piece, offset);
        Some(record)
    }
}

fn place(piece: usize, offset: usize) -> u32 {
    number((piece << PIECE_BITS) + offset)
}

fn split(at: u32) -> (usize, usize) {
    ((at >> PIECE_BITS) as usize, at as usize & (PIECE - 1))
}

fn number(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// Writes a number in groups of seven bits.
fn push_number(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn read_number(bytes: &[u8], offset: &mut usize) -> u32 {
    let (mut value, mut shift) = (0, 0);
    while let Some(byte) = bytes.get(*offset) {
        *offset += 1;
        value |= u32::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 || shift > 28 {
            break;
        }
    }
    value
}

/// Returns the size of the two numbers of an element.
fn number_size(bytes: &[u8], at: usize) -> usize {
    let mut offset = at;
    read_number(bytes, &mut offset);
    read_number(bytes, &mut offset);
    offset - at
}

//! One validating pass over JSON text: finds the entries of one level, checks everything below it.
//!
//! No tree is built and nothing is allocated for the levels below; nesting is kept in a bit stack,
//! so that depth costs no call stack.
use wide::u8x16;

use crate::error::{Error, Result};

/// Deeper JSON than this is refused: no real request comes near it.
pub const MAX_DEPTH: usize = 512;

/// A half-open byte range of the scanned text; bodies are far below 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// The bytes it names.
    pub fn of(self, text: &[u8]) -> &[u8] {
        &text[self.start as usize..self.end as usize]
    }
}

/// One member of an object or element of an array, as it stands in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// White space before the key (before the value in an array) starts here.
    pub lead: u32,
    /// The key with its quotes; empty in arrays.
    pub key: Span,
    /// The value.
    pub value: Span,
    /// White space behind the value ends here, at the `,` or the closing bracket.
    pub tail: u32,
}

/// Checks that `text` is one well-formed JSON object and returns its members in order.
pub fn object(text: &[u8]) -> Result<Vec<Entry>> {
    utf8(text)?;
    let mut scanner = Scanner { text, at: 0 };
    scanner.space();
    if scanner.peek() != Some(b'{') {
        return Err(Error::invalid(match scanner.peek() {
            None => "the request body is empty; it must be a JSON object".to_owned(),
            Some(_) => "the request body is not a JSON object".to_owned(),
        }));
    }
    let entries = scanner.level()?;
    scanner.space();
    match scanner.peek() {
        None => Ok(entries),
        Some(_) => Err(scanner.wrong("the end of the text")),
    }
}

/// Checks that `text` is exactly one well-formed JSON value.
pub fn value(text: &[u8]) -> Result<()> {
    utf8(text)?;
    let mut scanner = Scanner { text, at: 0 };
    scanner.space();
    scanner.skip()?;
    scanner.space();
    match scanner.peek() {
        None => Ok(()),
        Some(_) => Err(scanner.wrong("the end of the text")),
    }
}

/// The members or elements of the object or array `text`, which has been validated before.
pub(super) fn level(text: &[u8]) -> Result<Vec<Entry>> {
    let mut scanner = Scanner { text, at: 0 };
    scanner.space();
    scanner.level()
}

fn utf8(text: &[u8]) -> Result<()> {
    // twice as fast where it holds, and the first byte that is none ends it
    if text.is_ascii() {
        return Ok(());
    }
    match std::str::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(e) => Err(Error::invalid(format!(
            "the JSON is not UTF-8: invalid byte at offset {}",
            e.valid_up_to()
        ))),
    }
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    #[cold]
    fn wrong(&self, expected: &str) -> Error {
        let before = &self.text[..self.at.min(self.text.len())];
        let line = memchr::memchr_iter(b'\n', before).count() + 1;
        let column = before.len() - memchr::memrchr(b'\n', before).map_or(0, |n| n + 1) + 1;
        Error::invalid(match self.peek() {
            None => format!("the JSON ends early at byte {}: expected {expected}", self.at),
            Some(_) => format!(
                "the JSON is malformed at line {line}, column {column} (byte {}): expected {expected}",
                self.at
            ),
        })
    }

    /// Reads the bracket at the cursor, its entries, and its end.
    fn level(&mut self) -> Result<Vec<Entry>> {
        let is_object = match self.peek() {
            Some(b'{') => true,
            Some(b'[') => false,
            _ => return Err(self.wrong("an object or an array")),
        };
        let close = if is_object { b'}' } else { b']' };
        self.at += 1;
        let mut entries = Vec::with_capacity(if is_object { 12 } else { 4 });
        let lead = self.at;
        self.space();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(entries);
        }
        self.at = lead;
        loop {
            entries.push(self.entry(is_object)?);
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b) if b == close => break,
                _ => return Err(self.wrong("`,` or a closing bracket")),
            }
        }
        self.at += 1;
        Ok(entries)
    }

    fn entry(&mut self, is_object: bool) -> Result<Entry> {
        let lead = self.at;
        self.space();
        let mut key = Span::default();
        if is_object {
            let start = self.at;
            self.key()?;
            key = Span::new(start, self.at);
            self.colon()?;
        }
        let start = self.at;
        self.skip()?;
        let value = Span::new(start, self.at);
        self.space();
        Ok(Entry { lead: lead as u32, key, value, tail: self.at as u32 })
    }

    fn key(&mut self) -> Result<()> {
        if self.peek() != Some(b'"') {
            return Err(self.wrong("a key in double quotes"));
        }
        self.string()
    }

    fn colon(&mut self) -> Result<()> {
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.wrong("`:`"));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// Checks one value of any depth and moves behind it.
    fn skip(&mut self) -> Result<()> {
        let mut open = Brackets::default();
        loop {
            let is_whole = match self.peek() {
                Some(b'"') => self.string().map(|()| true)?,
                Some(b'{') => self.opens(&mut open, true)?,
                Some(b'[') => self.opens(&mut open, false)?,
                Some(b'-' | b'0'..=b'9') => self.number().map(|()| true)?,
                Some(b't') => self.word(b"true").map(|()| true)?,
                Some(b'f') => self.word(b"false").map(|()| true)?,
                Some(b'n') => self.word(b"null").map(|()| true)?,
                _ => return Err(self.wrong("a value")),
            };
            if is_whole && self.closes(&mut open)? {
                return Ok(());
            }
        }
    }

    /// Enters a bracket; `true` if it closed at once, and so was a whole value.
    fn opens(&mut self, open: &mut Brackets, is_object: bool) -> Result<bool> {
        self.at += 1;
        self.space();
        if self.peek() == Some(if is_object { b'}' } else { b']' }) {
            self.at += 1;
            return Ok(true);
        }
        if !open.push(is_object) {
            return Err(Error::invalid(format!(
                "the JSON is nested deeper than {MAX_DEPTH} levels at byte {}",
                self.at
            )));
        }
        if is_object {
            self.key()?;
            self.colon()?;
        }
        Ok(false)
    }

    /// Behind a value: closes what ends here; `true` once the outermost value is complete.
    fn closes(&mut self, open: &mut Brackets) -> Result<bool> {
        while let Some(is_object) = open.top() {
            self.space();
            match self.peek() {
                Some(b',') => return self.next_value(is_object),
                Some(b'}') if is_object => open.pop(),
                Some(b']') if !is_object => open.pop(),
                _ => return Err(self.wrong("`,` or a closing bracket")),
            }
            self.at += 1;
        }
        Ok(true)
    }

    /// Moves from a comma to the value behind it, which is still to be checked.
    fn next_value(&mut self, is_object: bool) -> Result<bool> {
        self.at += 1;
        self.space();
        if is_object {
            self.key()?;
            self.colon()?;
        }
        Ok(false)
    }

    /// Checks the string at the cursor: escapes are known, control characters are escaped.
    fn string(&mut self) -> Result<()> {
        self.at += 1;
        while let Some(block) = self.text[self.at..].first_chunk::<BLOCK>() {
            if self.block(block)? {
                return Ok(());
            }
        }
        loop {
            self.at += plain(&self.text[self.at..]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.wrong("an escaped control character")),
                None => return Err(self.wrong("`\"`")),
            }
        }
    }

    /// Moves through a block of a string; `true` behind the quote that ends it.
    ///
    /// Prose has an escape every twenty bytes or so: all that is special in a block is found at
    /// once, and a short escape does not make the search begin anew.
    fn block(&mut self, block: &[u8; BLOCK]) -> Result<bool> {
        let mut special = special_bytes(block);
        while special != 0 {
            let at = special.trailing_zeros() as usize;
            match block[at] {
                b'"' => {
                    self.at += at + 1;
                    return Ok(true);
                }
                b'\\' => match block.get(at + 1) {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                        // this one and the escaped one, which may look special
                        special &= (!1 << at) << 1;
                    }
                    _ => {
                        self.at += at;
                        return self.escape().map(|()| false);
                    }
                },
                _ => {
                    self.at += at;
                    return Err(self.wrong("an escaped control character"));
                }
            }
        }
        self.at += BLOCK;
        Ok(false)
    }

    fn escape(&mut self) -> Result<()> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                let digits = self.text.get(self.at + 1..self.at + 5);
                if !digits.is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.wrong("four hex digits behind `\\u`"));
                }
                self.at += 5;
            }
            _ => return Err(self.wrong("a known escape")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.wrong("a digit")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(())
    }

    fn some_digits(&mut self) -> Result<()> {
        if !self.peek().is_some_and(|b| b.is_ascii_digit()) {
            return Err(self.wrong("a digit"));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<()> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.wrong("a value"));
        }
        self.at += word.len();
        Ok(())
    }
}

/// How many bytes of a string are looked at together.
const BLOCK: usize = 64;

/// A bit for each byte that is a quote, a backslash or a control character.
fn special_bytes(block: &[u8; BLOCK]) -> u64 {
    let mut bits = 0;
    for (n, lane) in block.as_chunks::<16>().0.iter().enumerate() {
        let lane = u8x16::new(*lane);
        let is_control = lane.min(u8x16::splat(0x1f)).simd_eq(lane);
        let special =
            lane.simd_eq(u8x16::splat(b'"')) | lane.simd_eq(u8x16::splat(b'\\')) | is_control;
        bits |= u64::from(special.to_bitmask()) << (16 * n);
    }
    bits
}

/// How many bytes from the front are plain string content; for the end of a text, less than a block.
fn plain(text: &[u8]) -> usize {
    let special = text.iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20);
    special.unwrap_or(text.len())
}

/// The open brackets of a value, a bit each.
#[derive(Default)]
struct Brackets {
    bits: [u64; MAX_DEPTH / 64],
    depth: usize,
}

impl Brackets {
    fn push(&mut self, is_object: bool) -> bool {
        if self.depth == MAX_DEPTH {
            return false;
        }
        let mask = 1 << (self.depth % 64);
        let word = &mut self.bits[self.depth / 64];
        *word = if is_object { *word | mask } else { *word & !mask };
        self.depth += 1;
        true
    }

    fn pop(&mut self) {
        self.depth -= 1;
    }

    fn top(&self) -> Option<bool> {
        let last = self.depth.checked_sub(1)?;
        Some(self.bits[last / 64] & (1 << (last % 64)) != 0)
    }
}

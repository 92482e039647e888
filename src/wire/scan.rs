//! One validating pass over JSON text: finds the entries of one level and checks everything below it.
//!
//! It builds no tree and allocates nothing for lower levels. A bit stack holds the nesting, so that
//! depth costs no call stack.
use crate::error::{Error, Result};
use crate::wire::block::{self, BLOCK, LANE};

/// The maximum nesting. Deeper JSON is rejected: no real request comes near it.
pub(crate) const MAX_DEPTH: usize = 512;

/// A half-open byte range of the scanned text; bodies are far below 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// Returns the bytes of the span.
    pub(crate) fn of(self, text: &[u8]) -> &[u8] {
        &text[self.start as usize..self.end as usize]
    }
}

/// One member of an object or element of an array, by its position in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The start of the white space before the key (before the value in an array).
    pub lead: u32,
    /// The key with its quotes; empty in arrays.
    pub key: Span,
    /// The value.
    pub value: Span,
    /// The end of the white space after the value, at the `,` or the closing bracket.
    pub tail: u32,
}

/// Returns whether a JSON text is this string, with or without escapes. Without escapes it only compares.
pub(crate) fn is_string(json: &[u8], text: &str) -> bool {
    let inner = json.strip_prefix(b"\"").and_then(|json| json.strip_suffix(b"\""));
    inner == Some(text.as_bytes())
        || (inner.is_some_and(|inner| inner.contains(&b'\\'))
            && serde_json::from_slice::<String>(json).is_ok_and(|decoded| decoded == text))
}

/// Checks that `text` is one well-formed JSON object and returns its members in order.
pub(crate) fn object(text: &[u8]) -> Result<Vec<Entry>> {
    whole(text, Scanner::object)
}

/// Checks that `text` is exactly one well-formed JSON value.
pub(crate) fn value(text: &[u8]) -> Result<()> {
    whole(text, |scanner| {
        scanner.space();
        scanner.skip()
    })
}

/// Reads all of `text` with `read`. Checks for valid UTF-8 only if a byte is not ASCII.
fn whole<'a, T>(text: &'a [u8], read: impl FnOnce(&mut Scanner<'a>) -> Result<T>) -> Result<T> {
    let mut scanner = Scanner { text, at: 0, is_ascii: true };
    let found = read(&mut scanner).and_then(|found| {
        scanner.space();
        match scanner.peek() {
            None => Ok(found),
            Some(_) => Err(scanner.wrong("the end of the text")),
        }
    });
    // another encoding may be the reason for an error in the JSON
    if found.is_err() || !scanner.is_ascii {
        utf8(text)?;
    }
    found
}

fn utf8(text: &[u8]) -> Result<()> {
    simdutf8::compat::from_utf8(text).map(drop).map_err(|e| {
        Error::invalid(format!("the JSON is not UTF-8: invalid byte at offset {}", e.valid_up_to()))
    })
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    /// Whether no byte above 0x7f was found; outside of strings there can be none.
    is_ascii: bool,
}

impl Scanner<'_> {
    fn object(&mut self) -> Result<Vec<Entry>> {
        self.space();
        match self.peek() {
            Some(b'{') => self.level(),
            None => Err(Error::invalid("the request body is empty; it must be a JSON object")),
            Some(_) => Err(Error::invalid("the request body is not a JSON object")),
        }
    }

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

    /// Checks one value of any depth and moves past it.
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

    /// Enters a bracket. Returns `true` if it closed at once and so was a whole value.
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

    /// Closes the brackets that end after a value. Returns `true` once the outermost value is complete.
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

    /// Moves from a comma to the next value, which is not checked yet.
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
        // a short string, such as a key, is read without a whole block
        if let Some(lane) = self.text[self.at..].first_chunk::<LANE>() {
            let special = block::special_in_lane(lane);
            if special != 0 && lane.get(special.trailing_zeros() as usize) == Some(&b'"') {
                self.at += special.trailing_zeros() as usize + 1;
                return Ok(());
            }
        }
        while let Some(block) = self.text[self.at..].first_chunk::<BLOCK>() {
            // once a text has bytes that are not ASCII, further ones need no check
            let known = if self.is_ascii { 0 } else { block::high(block) };
            match block::special(block) & !known {
                0 => self.at += BLOCK,
                special if self.block(block, special)? => return Ok(()),
                _ => {}
            }
        }
        loop {
            let plain = plain(&self.text[self.at..]);
            self.is_ascii &= plain.is_ascii();
            self.at += plain.len();
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escapes()?,
                Some(_) => return Err(self.wrong("an escaped control character")),
                None => return Err(self.wrong("`\"`")),
            }
        }
    }

    /// Moves through a block of a string, or to the first escape that needs a closer look. Returns
    /// `true` after the quote that ends the string.
    ///
    /// Prose has an escape about every twenty bytes, code even more; none of them causes a branch.
    fn block(&mut self, block: &[u8; BLOCK], special: u64) -> Result<bool> {
        let quotes = block::equal(block, b'"');
        let slashes = block::equal(block, b'\\');
        let escaped = block::escaped(slashes);
        let ends = quotes & !escaped;
        // all bytes before the end of the string
        let inside = ends.wrapping_sub(1) & !ends;
        let unknown = escaped & !(quotes | slashes | block::equal(block, b'n')) & inside;
        let rest = special & !(quotes | slashes) & inside;
        if unknown | rest != 0 && self.look(block, unknown, rest)? {
            return Ok(false);
        }
        match ends {
            // a backslash at the end is left to the next block, together with the byte it escapes
            0 => self.at += BLOCK - ((slashes & !escaped) >> 63) as usize,
            _ => self.at += ends.trailing_zeros() as usize + 1,
        }
        Ok(ends != 0)
    }

    /// Checks the rarer escapes, bytes that are not ASCII, and unescaped control characters. Returns
    /// `true` if it moved past an escape of more than one byte.
    fn look(&mut self, block: &[u8; BLOCK], mut unknown: u64, rest: u64) -> Result<bool> {
        let high = block::high(block);
        self.is_ascii &= high & rest == 0;
        while let Some(b'/' | b'b' | b'f' | b'r' | b't') =
            block.get(unknown.trailing_zeros() as usize)
        {
            unknown &= unknown - 1;
        }
        let controls = rest & !high;
        match (unknown | controls).trailing_zeros() {
            u64::BITS => Ok(false),
            first if unknown & 1 << first == 0 => {
                self.at += first as usize;
                Err(self.wrong("an escaped control character"))
            }
            first => {
                self.at += first as usize - 1;
                self.escapes().map(|()| true)
            }
        }
    }

    /// Reads a row of escapes: `\\u…` escapes often follow each other.
    fn escapes(&mut self) -> Result<()> {
        while self.peek() == Some(b'\\') {
            self.escape()?;
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<()> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                let digits = self.text.get(self.at + 1..self.at + 5);
                if !digits.is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.wrong("four hex digits after `\\u`"));
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

/// Returns the plain string content at the front, for a rest of text shorter than a block.
fn plain(text: &[u8]) -> &[u8] {
    let special = text.iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20);
    &text[..special.unwrap_or(text.len())]
}

/// The open brackets of a value, one bit each.
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

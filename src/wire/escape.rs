//! The text of a JSON string without its escapes, and the positions of both in each other.
use std::borrow::Cow;

use memchr::memchr;

use crate::wire::layers::Change;

/// The replacement for an escape that is no character (a lone surrogate).
const NO_CHARACTER: char = char::REPLACEMENT_CHARACTER;

/// Returns the text between the quotes of a JSON string that is known to be valid; borrowed if it has no
/// escapes. A lone surrogate reads as U+FFFD.
pub(crate) fn unescaped(inner: &[u8]) -> Cow<'_, str> {
    let mut text = Vec::new();
    let mut done = 0;
    for (change, letter) in Escapes::of(inner) {
        text.reserve(inner.len() - done);
        text.extend_from_slice(&inner[done..change.before.start]);
        text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        done = change.before.end;
    }
    if done == 0 {
        return match simdutf8::basic::from_utf8(inner) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(inner),
        };
    }
    text.extend_from_slice(&inner[done..]);
    match simdutf8::basic::from_utf8(&text) {
        Ok(text) => Cow::Owned(text.to_owned()),
        Err(_) => Cow::Owned(String::from_utf8_lossy(&text).into_owned()),
    }
}

/// Returns the escapes between the quotes of a JSON string, as changes of the text.
pub(crate) fn escapes(inner: &[u8]) -> impl Iterator<Item = Change> {
    Escapes::of(inner).map(|(change, _)| change)
}

struct Escapes<'a> {
    inner: &'a [u8],
    at: usize,
}

impl<'a> Escapes<'a> {
    fn of(inner: &'a [u8]) -> Self {
        Self { inner, at: 0 }
    }

    /// Returns the code unit of `\uXXXX` at a position.
    fn unit(&self, at: usize) -> Option<u16> {
        let [b'\\', b'u', digits @ ..] = self.inner.get(at..at + 6)? else { return None };
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }

    /// Returns the character of the escape at a position, and the escape's length.
    fn read(&self, at: usize) -> (char, usize) {
        let Some(first) = self.unit(at) else {
            let letter = match self.inner.get(at + 1) {
                Some(b'n') => '\n',
                Some(b't') => '\t',
                Some(b'r') => '\r',
                Some(b'b') => '\u{8}',
                Some(b'f') => '\u{c}',
                Some(other) if other.is_ascii() => char::from(*other),
                _ => NO_CHARACTER,
            };
            return (letter, 2.min(self.inner.len() - at));
        };
        let pair = [Some(first), self.unit(at + 6)];
        let units = pair.into_iter().flatten();
        match char::decode_utf16(units).next() {
            Some(Ok(letter)) => (letter, 6 * letter.len_utf16()),
            _ => (NO_CHARACTER, 6),
        }
    }
}

impl Iterator for Escapes<'_> {
    type Item = (Change, char);

    fn next(&mut self) -> Option<(Change, char)> {
        let start = self.at + memchr(b'\\', &self.inner[self.at..])?;
        let (letter, len) = self.read(start);
        self.at = start + len;
        Some((Change { before: start..self.at, after: letter.len_utf8() }, letter))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::layers::move_back;

    #[test]
    fn text_without_escapes_is_borrowed() {
        assert!(matches!(unescaped("Flut – 5 €".as_bytes()), Cow::Borrowed("Flut – 5 €")));
    }

    #[test]
    fn each_escape_is_its_character() {
        for (json, text) in [
            (r"a\nb\t\r\b\f\/\\\u0041", "a\nb\t\r\u{8}\u{c}/\\A"),
            (r"\ud83d\ude00!", "😀!"),
            (r"\uD83D\uDE00", "😀"),
            // half a character, also before another escape
            (r"a\ud83dz", "a\u{fffd}z"),
            (r"\ud83d\n", "\u{fffd}\n"),
            (r"\ud83dA", "\u{fffd}A"),
            (r"\ude00\ud83d", "\u{fffd}\u{fffd}"),
            (r"\\n", r"\n"),
        ] {
            assert_eq!(unescaped(json.as_bytes()), text, "{json}");
        }
    }

    #[test]
    fn a_place_in_the_text_is_found_in_the_json() {
        let json = r"a\n\ud83d\ude00bc\t";
        let text = unescaped(json.as_bytes());
        let at = text.find("bc").unwrap();
        let mut ranges = [1..2, at..at + 2];
        move_back(&mut ranges, escapes(json.as_bytes()));
        assert_eq!(ranges.map(|range| &json[range]), [r"\n", "bc"]);
    }

    proptest! {
        #[test]
        fn reading_agrees_with_serde(text in "\\PC*|[\\x00-\\x7f]*|[\\n\"\\\\a-c😀é]*") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(unescaped(&json.as_bytes()[1..json.len() - 1]), &*text);
        }

        #[test]
        fn every_character_is_found_where_it_stands(text in "[\\n\"\\\\a-c😀é\\x01]{0,12}") {
            let json = serde_json::to_string(&text).unwrap();
            let inner = &json[1..json.len() - 1];
            let mut ranges: Vec<_> =
                text.char_indices().map(|(at, c)| at..at + c.len_utf8()).collect();
            move_back(&mut ranges, escapes(inner.as_bytes()));
            let read: String =
                ranges.iter().map(|range| unescaped(inner[range.clone()].as_bytes())).collect();
            prop_assert_eq!(read, text);
        }
    }
}

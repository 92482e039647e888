//! Finds the entries of one level of JSON text that was validated before, without a second check of it.
use memchr::memchr;

use crate::error::{Error, Result};
use crate::wire::scan::{Entry, Span};

/// Returns the members or elements of the object or array `text`, which is known to be valid.
pub(super) fn level(text: &[u8]) -> Result<Vec<Entry>> {
    Skim::new(text).entries().ok_or_else(|| Error::invalid("the JSON is malformed"))
}

/// Returns the position after the quote that ends a string; `at` is inside of it, at its start.
fn end_of_string(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        // escapes are frequent, such as those of line ends, and quotes are not
        let quote = at + memchr(b'"', text.get(at..)?)?;
        let escapes = text[at..quote].iter().rev().take_while(|byte| **byte == b'\\').count();
        at = quote + 1;
        if escapes % 2 == 0 {
            return Some(at);
        }
    }
}

/// A position in a text that is known to be valid.
pub(super) struct Skim<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Skim<'a> {
    /// Begins at the start of a text.
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Moves to the next value and past it, and returns its text.
    pub(super) fn taken(&mut self) -> Option<&'a [u8]> {
        self.space();
        let start = self.at;
        self.value()?;
        self.text.get(start..self.at)
    }

    /// Moves to the next byte that is no space, and returns it.
    pub(super) fn ahead(&mut self) -> Option<u8> {
        self.space();
        self.peek()
    }

    /// Moves past the next byte that is no space, and returns it.
    pub(super) fn step(&mut self) -> Option<u8> {
        self.space();
        self.next()
    }

    fn entries(&mut self) -> Option<Vec<Entry>> {
        self.space();
        let is_object = self.next()? == b'{';
        let mut entries = Vec::new();
        loop {
            let lead = self.at;
            self.space();
            if let (b'}' | b']', true) = (self.peek()?, entries.is_empty()) {
                return Some(entries);
            }
            let mut key = Span::default();
            if is_object {
                let start = self.at;
                self.value()?;
                key = Span::new(start, self.at);
                self.space();
                self.next()?;
                self.space();
            }
            let start = self.at;
            self.value()?;
            let value = Span::new(start, self.at);
            self.space();
            entries.push(Entry { lead: lead as u32, key, value, tail: self.at as u32 });
            if self.next()? != b',' {
                return Some(entries);
            }
        }
    }

    /// Moves past a value of any depth.
    fn value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => self.at = end_of_string(self.text, self.at + 1)?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                _ => self.word(),
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Moves past a number, `true`, `false` or `null`.
    fn word(&mut self) {
        while let Some(b'+' | b'-' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z') = self.peek() {
            self.at += 1;
        }
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::wire::scan;

    /// Returns keys and values of a level, as their texts.
    fn found(text: &str) -> Vec<(&str, &str)> {
        let entries = level(text.as_bytes()).unwrap();
        let part = |span: Span| &text[span.start as usize..span.end as usize];
        entries.iter().map(|entry| (part(entry.key), part(entry.value))).collect()
    }

    #[test]
    fn entries_of_a_level_are_found_whatever_they_hold() {
        assert_eq!(found("[]"), []);
        assert_eq!(found(" { } "), []);
        assert_eq!(
            found(r#"{"a":1, "b\"" : [ {"c":"}"} , -1.5e+3 ],"d":{},"e":"\\","f":null }"#),
            [
                (r#""a""#, "1"),
                (r#""b\"""#, r#"[ {"c":"}"} , -1.5e+3 ]"#),
                (r#""d""#, "{}"),
                (r#""e""#, r#""\\""#),
                (r#""f""#, "null"),
            ]
        );
        assert_eq!(
            found("[true,[[]],\"\u{e9}\"]"),
            [("", "true"), ("", "[[]]"), ("", "\"\u{e9}\"")]
        );
    }

    #[test]
    fn text_that_ends_early_is_an_error_and_no_panic() {
        for text in ["", "{", "[1", "{\"a", "{\"a\"", "{\"a\":", "[\"\\", "[}"] {
            let _ = level(text.as_bytes());
        }
        assert!(level(b"{\"a\":").is_err());
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            Just(Value::Null),
            "[a-z\"\\\\\\n{}\\[\\],:é]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-z\"\\\\]{0,3}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_scanner(value in tree(), is_pretty in any::<bool>()) {
            let whole = json!({"first": value, "rest": [1, "x"]});
            let text = if is_pretty { serde_json::to_string_pretty(&whole).unwrap() } else { whole.to_string() };
            prop_assert_eq!(level(text.as_bytes()).unwrap(), scan::object(text.as_bytes()).unwrap());
        }
    }
}

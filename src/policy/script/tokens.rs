//! The strings of a JSON text in one pass, and the same text with some of them replaced.
use std::collections::HashSet;
use std::ops::Range;

use memchr::memchr2;

/// A part of a JSON text that matters to its strings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// The start of an object.
    Object,
    /// The end of an object.
    End,
    /// A string with its quotes.
    String { range: Range<usize>, is_key: bool },
}

/// Returns the tokens of a JSON text that is known to be valid.
pub(super) fn of(json: &[u8]) -> impl Iterator<Item = Token> {
    Tokens { json, at: 0, open: Vec::new(), is_key: false }
}

struct Tokens<'a> {
    json: &'a [u8],
    at: usize,
    /// The open brackets: whether each is an object's.
    open: Vec<bool>,
    is_key: bool,
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        loop {
            let byte = *self.json.get(self.at)?;
            let start = self.at;
            self.at += 1;
            match byte {
                b'"' => {
                    self.at = end_of_string(self.json, self.at);
                    return Some(Token::String { range: start..self.at, is_key: self.is_key });
                }
                b'{' => {
                    self.open.push(true);
                    self.is_key = true;
                    return Some(Token::Object);
                }
                b'[' => {
                    self.open.push(false);
                    self.is_key = false;
                }
                b'}' => {
                    self.is_key = false;
                    self.open.pop();
                    return Some(Token::End);
                }
                b']' => {
                    self.is_key = false;
                    self.open.pop();
                }
                b':' => self.is_key = false,
                b',' => self.is_key = self.open.last() == Some(&true),
                _ => {}
            }
        }
    }
}

/// Returns the position after the quote that ends a string; `at` is inside of it.
fn end_of_string(json: &[u8], mut at: usize) -> usize {
    while let Some(found) = json.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if json.get(at) == Some(&b'"') {
            return at + 1;
        }
        at += 2;
    }
    json.len()
}

/// A JSON text of which some strings are replaced. Two names of one object never become the same.
pub(super) struct Rewriting<'a> {
    json: &'a [u8],
    edits: Vec<(Range<usize>, Vec<u8>)>,
    open: Vec<Names>,
}

/// The names of the members of an open object.
#[derive(Default)]
struct Names {
    kept: Vec<Range<usize>>,
    /// The indexes of the edits that replace names.
    changed: Vec<usize>,
}

impl<'a> Rewriting<'a> {
    pub(super) fn of(json: &'a [u8]) -> Self {
        Self { json, edits: Vec::new(), open: Vec::new() }
    }

    /// Adds the next token, and the JSON of the string that replaces it.
    pub(super) fn add(&mut self, token: Token, new: Option<Vec<u8>>) {
        match token {
            Token::Object => self.open.push(Names::default()),
            Token::End => {
                if let Some(names) = self.open.pop() {
                    self.distinguish(&names);
                }
            }
            Token::String { range, is_key } => {
                if let Some(names) = self.open.last_mut().filter(|_| is_key) {
                    match &new {
                        Some(_) => names.changed.push(self.edits.len()),
                        None => names.kept.push(range.clone()),
                    }
                }
                self.edits.extend(new.map(|new| (range, new)));
            }
        }
    }

    /// Numbers new names that the object has already.
    fn distinguish(&mut self, names: &Names) {
        if names.changed.is_empty() {
            return;
        }
        let mut taken: HashSet<Vec<u8>> =
            names.kept.iter().map(|range| self.json[range.clone()].to_vec()).collect();
        for edit in &names.changed {
            let Some((_, name)) = self.edits.get_mut(*edit) else { continue };
            let plain = name.clone();
            let mut number = 2;
            while !taken.insert(name.clone()) {
                let end = plain.len().saturating_sub(1);
                *name = [&plain[..end], format!(" ({number})\"").as_bytes()].concat();
                number += 1;
            }
        }
    }

    /// Returns the new text; `None` if nothing changed.
    pub(super) fn finish(self) -> Option<Vec<u8>> {
        if self.edits.is_empty() {
            return None;
        }
        let mut out = Vec::with_capacity(self.json.len());
        let mut done = 0;
        for (range, new) in &self.edits {
            out.extend_from_slice(&self.json[done..range.start]);
            out.extend_from_slice(new);
            done = range.end;
        }
        out.extend_from_slice(&self.json[done..]);
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a text in which every string with an `x` is `"#"`.
    fn rewritten(json: &str) -> Option<String> {
        let mut strings = Rewriting::of(json.as_bytes());
        for token in of(json.as_bytes()) {
            let new = match &token {
                Token::String { range, .. } if json[range.clone()].contains('x') => {
                    Some(b"\"#\"".to_vec())
                }
                _ => None,
            };
            strings.add(token, new);
        }
        strings.finish().map(|json| String::from_utf8(json).unwrap())
    }

    #[test]
    fn every_string_is_found_at_every_depth() {
        for (json, expected) in [
            (r#""x""#, r##""#""##),
            (
                r#"{"a": ["x", {"b":"x"}], "c" : "y\"x\\"}"#,
                r##"{"a": ["#", {"b":"#"}], "c" : "#"}"##,
            ),
            (r#"{"x":1,"a":{"x":[]}}"#, r##"{"#":1,"a":{"#":[]}}"##),
        ] {
            assert_eq!(rewritten(json).as_deref(), Some(expected), "{json}");
        }
        assert_eq!(rewritten(r#"{"a":[1,true,null,"b"]}"#), None);
    }

    #[test]
    fn names_that_would_be_the_same_are_numbered() {
        assert_eq!(
            rewritten(r##"{"x1":1,"#":2,"x2":{"x":3},"b":["x"],"x3":4}"##).as_deref(),
            Some(r##"{"# (2)":1,"#":2,"# (3)":{"#":3},"b":["#"],"# (4)":4}"##)
        );
    }

    #[test]
    fn keys_are_distinguished_from_values() {
        let json = br#"{"k":"v","l":["w",{"m":"x"},"y"],"n":"z"}"#;
        let keys: Vec<&[u8]> = of(json)
            .filter_map(|token| match token {
                Token::String { range, is_key: true } => Some(&json[range]),
                _ => None,
            })
            .collect();
        assert_eq!(keys, [&b"\"k\""[..], b"\"l\"", b"\"m\"", b"\"n\""]);
    }
}

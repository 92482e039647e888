//! Cuts a part of a long text: from a cursor, at most a number of characters, to the end of a
//! block.
use tidegate_sdk::{Problem, Result};
use unicode_segmentation::GraphemeCursor;

/// A part, and the start of the next one.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// The text of the part.
    pub text: String,
    /// The cursor of the next part, in characters of the whole text; `None` at the end.
    pub next: Option<usize>,
}

/// The window of a text that a call returns. A text of any size passes through it.
#[derive(Debug, Clone)]
pub struct Window {
    /// The start of the window, in characters of the whole text.
    cursor: usize,
    /// The largest number of characters of the part.
    most: usize,
    /// The number of characters before the window.
    before: usize,
    text: String,
    /// The number of characters of `text`.
    chars: usize,
}

impl Window {
    /// Makes an empty window.
    pub fn new(cursor: usize, most: usize) -> Self {
        Self { cursor, most, before: 0, text: String::new(), chars: 0 }
    }

    /// Returns whether more text would change nothing.
    pub fn is_full(&self) -> bool {
        // one character more than wanted proves that there is more
        self.chars > self.most
    }

    /// Adds the next piece of the text.
    pub fn push(&mut self, piece: &str) {
        let mut rest = piece;
        if self.before < self.cursor {
            let Some((at, _)) = rest.char_indices().nth(self.cursor - self.before) else {
                self.before += rest.chars().count();
                return;
            };
            self.before = self.cursor;
            rest = &rest[at..];
        }
        let room = (self.most + 1).saturating_sub(self.chars);
        let end = rest.char_indices().nth(room).map_or(rest.len(), |(at, _)| at);
        self.text.push_str(&rest[..end]);
        self.chars += rest[..end].chars().count();
    }

    /// Returns the part. It ends with a block (a blank line) if one ends in its second half, else
    /// with a line, else with a word, else with the last whole character at the limit.
    ///
    /// Fails if the text ends before the cursor.
    pub fn part(self) -> Result<Part> {
        if self.chars == 0 && self.cursor > 0 {
            return Err(beyond(self.cursor, self.before));
        }
        let Some((end, _)) = self.text.char_indices().nth(self.most) else {
            return Ok(Part { text: self.text.trim_end().to_owned(), next: None });
        };
        let window = &self.text[..end];
        let half = window.len() / 2;
        let ends = [last(window, "\n\n"), last(window, "\n"), last(window, " ")];
        let whole = || whole_character(&self.text, end).filter(|end| *end > half);
        let end = ends.into_iter().flatten().find(|end| *end > half).or_else(whole).unwrap_or(end);
        let taken = &self.text[..end];
        let next = self.cursor + taken.chars().count();
        Ok(Part { text: taken.trim_end().to_owned(), next: Some(next) })
    }
}

/// Returns the end of the last occurrence.
fn last(window: &str, what: &str) -> Option<usize> {
    window.rfind(what).map(|at| at + what.len())
}

/// Returns the last place up to `end` that does not part a letter from its accents.
fn whole_character(text: &str, end: usize) -> Option<usize> {
    let mut cursor = GraphemeCursor::new(end, text.len(), true);
    match cursor.is_boundary(text, 0) {
        Ok(true) => Some(end),
        _ => cursor.prev_boundary(text, 0).ok().flatten(),
    }
}

fn beyond(cursor: usize, all: usize) -> Problem {
    let message = format!(
        "`cursor` is {cursor}, but the text has {all} characters: use the `next_cursor` of a result"
    );
    Problem::new("invalid_tool_input", message)
}

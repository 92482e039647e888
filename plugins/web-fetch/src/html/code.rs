//! The text of code, as the page has it.
use crate::html::tape::{HIDDEN, Record, Records, STREAMED};

/// Code, and the number of its language's name.
#[derive(Default)]
pub(super) struct Code {
    pub(super) text: String,
    pub(super) language: u32,
    /// The number of open elements in the code.
    depth: usize,
    /// A line in an element of its own ends with it.
    is_line_over: bool,
}

impl Code {
    /// Reads the text of a `pre`.
    pub(super) fn read(mut records: Records<'_>) -> Self {
        let mut code = Self::default();
        while let Some(record) = records.next() {
            match record {
                Record::Open { start, end } if start.flags & (HIDDEN | STREAMED) != 0 => {
                    records.go_to(end);
                }
                Record::Close if code.depth == 0 => break,
                record => code.add(record),
            }
        }
        code
    }

    fn add(&mut self, record: Record<'_>) {
        match record {
            Record::Open { start, .. } => {
                self.depth += 1;
                self.is_line_over |= !start.kind.is_inline() && !self.text.is_empty();
            }
            Record::Close => {
                self.depth -= 1;
                self.is_line_over = true;
            }
            Record::Text { text, .. } => {
                if std::mem::take(&mut self.is_line_over) && !self.text.ends_with('\n') {
                    self.text.push('\n');
                }
                self.text.push_str(text);
            }
            Record::Break => self.text.push('\n'),
            Record::Language(language) => self.language = language,
            _ => {}
        }
    }
}

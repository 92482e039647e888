//! The text of code, as the page has it.
use crate::html::tape::{HIDDEN, Record, Records, STREAMED};

/// Code, and the number of its language's name.
#[derive(Default)]
pub(super) struct Code {
    pub(super) text: String,
    pub(super) language: u32,
}

impl Code {
    /// Reads the text of a `pre`.
    pub(super) fn read(mut records: Records<'_>) -> Self {
        let mut code = Self::default();
        let mut depth = 1_usize;
        // a line in an element of its own ends with it
        let mut is_line_over = false;
        while let Some(record) = records.next() {
            match record {
                Record::Open { start, end } if start.flags & (HIDDEN | STREAMED) != 0 => {
                    records.go_to(end);
                }
                Record::Open { start, .. } => {
                    depth += 1;
                    is_line_over |= !start.kind.is_inline() && !code.text.is_empty();
                }
                Record::Close => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                    is_line_over = true;
                }
                Record::Text { text, .. } => {
                    if std::mem::take(&mut is_line_over) && !code.text.ends_with('\n') {
                        code.text.push('\n');
                    }
                    code.text.push_str(text);
                }
                Record::Break => code.text.push('\n'),
                Record::Language(language) => code.language = language,
                _ => {}
            }
        }
        code
    }
}

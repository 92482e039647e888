//! The text of code, as the page has it.
use crate::html::tape::{HIDDEN, Record, Records, STREAMED};

/// Facts of code that stand before it.
#[derive(Default)]
pub(super) struct Code {
    /// The number of the language's name.
    pub(super) language: u32,
    /// The length of the longest run of backticks.
    pub(super) run: usize,
    pub(super) is_blank: bool,
}

impl Code {
    /// Reads the facts of a `pre`.
    pub(super) fn of(records: Records<'_>) -> Self {
        let mut code = Self { is_blank: true, ..Self::default() };
        let mut run = 0;
        let text = |text: &str| {
            code.is_blank &= text.trim().is_empty();
            for byte in text.bytes() {
                run = (run + 1) * usize::from(byte == b'`');
                code.run = code.run.max(run);
            }
        };
        let language = each(records, text);
        code.language = language;
        code
    }
}

/// Reads the text of a `pre` piece by piece. Returns the number of the language's name.
pub(super) fn each(mut records: Records<'_>, piece: impl FnMut(&str)) -> u32 {
    let mut reader = Reader {
        piece,
        language: 0,
        depth: 0,
        is_empty: true,
        ends_line: false,
        is_line_over: false,
    };
    while let Some(record) = records.next() {
        match record {
            Record::Open { start, end } if start.flags & (HIDDEN | STREAMED) != 0 => {
                records.go_to(end);
            }
            Record::Close if reader.depth == 0 => break,
            record => reader.add(record),
        }
    }
    reader.language
}

struct Reader<P> {
    piece: P,
    language: u32,
    /// The number of open elements in the code.
    depth: usize,
    is_empty: bool,
    /// The last piece ends a line.
    ends_line: bool,
    /// A line in an element of its own ends with it.
    is_line_over: bool,
}

impl<P: FnMut(&str)> Reader<P> {
    fn add(&mut self, record: Record<'_>) {
        match record {
            Record::Open { start, .. } => {
                self.depth += 1;
                self.is_line_over |= !start.kind.is_inline() && !self.is_empty;
            }
            Record::Close => {
                self.depth -= 1;
                self.is_line_over = true;
            }
            Record::Text { text, .. } => {
                if std::mem::take(&mut self.is_line_over) && !self.ends_line {
                    self.push("\n");
                }
                self.push(text);
            }
            Record::Break => self.push("\n"),
            Record::Language(language) => self.language = language,
            _ => {}
        }
    }

    fn push(&mut self, text: &str) {
        (self.piece)(text);
        (self.is_empty, self.ends_line) = (false, text.ends_with('\n'));
    }
}

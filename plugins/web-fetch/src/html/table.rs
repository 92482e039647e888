//! Tables: cells that span columns or rows are repeated, so that each one is under its head.
use std::fmt::Write as _;
use std::rc::Rc;

use crate::html::code;
use crate::html::line::{Breaks, Line, Links, Picture, push_code};
use crate::html::names::Kind;
use crate::html::tape::{HIDDEN, Record, Records, STREAMED, Start};

/// The largest number of columns.
const MAX_COLUMNS: usize = 1000;

/// The room for repeated cells in a page.
pub(super) struct Budget {
    bytes: usize,
    /// The cells that stay empty, but keep the others under their heads.
    blanks: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: 1 << 20, blanks: 500_000 }
    }
}

impl Budget {
    /// Takes the bytes of cells with the same text. Returns the number of cells that there is room
    /// for.
    fn take(&mut self, text: &str, cells: usize) -> usize {
        let each = text.len() + 8;
        let cells = cells.min(self.bytes / each);
        self.bytes -= cells * each;
        cells
    }

    /// Takes empty cells. Returns their number.
    fn take_blanks(&mut self, cells: usize) -> usize {
        let cells = cells.min(self.blanks);
        self.blanks -= cells;
        cells
    }
}

/// A cell that goes on in the next rows.
#[derive(Clone)]
struct Hanging {
    text: Rc<str>,
    rows: u32,
}

/// A table that is being read.
#[derive(Default)]
struct Table {
    /// Text in the table outside of its cells.
    before: Vec<String>,
    caption: String,
    /// The row of heads, and the number of its columns.
    head: Option<(String, usize)>,
    rows: String,
    columns: usize,
    hanging: Vec<Option<Hanging>>,
    is_head: bool,
}

/// The row that is being read.
#[derive(Default)]
struct Row {
    text: String,
    cells: Vec<Cell>,
}

/// A cell of a row. Its text ends at `end`, and begins at the end of the cell before.
struct Cell {
    end: u32,
    columns: u16,
    rows: u16,
    is_head: bool,
}

impl Row {
    fn push(&mut self, text: &str, start: Start) {
        self.text.push_str(text);
        self.cells.push(Cell {
            end: u32::try_from(self.text.len()).unwrap_or(u32::MAX),
            columns: u16::try_from(start.first).unwrap_or(u16::MAX),
            rows: u16::try_from(start.second).unwrap_or(u16::MAX),
            is_head: start.kind == Kind::HeadCell,
        });
    }

    /// Returns the cells with their texts.
    fn cells(&self) -> impl Iterator<Item = (&Cell, &str)> {
        let mut start = 0;
        self.cells.iter().map(move |cell| {
            let end = cell.end as usize;
            (cell, &self.text[std::mem::replace(&mut start, end)..end])
        })
    }

    fn clear(&mut self) {
        self.text.clear();
        self.cells.clear();
    }
}

/// Reads a table. Returns its blocks.
pub(super) fn read(
    mut records: Records<'_>,
    links: &mut Links<'_>,
    budget: &mut Budget,
) -> Vec<String> {
    let mut table = Table::default();
    let mut row = Row::default();
    let mut open = vec![Kind::Table];
    while let Some(record) = records.next() {
        match record {
            Record::Open { start, end } if start.flags & (HIDDEN | STREAMED) != 0 => {
                records.go_to(end);
            }
            Record::Open { start, .. } if start.kind.is_of_table() => {
                table.start(start.kind);
                open.push(start.kind);
            }
            Record::Open { start, end } => {
                let text = cell_text(records.clone(), end, links);
                records.go_to(end);
                match start.kind {
                    Kind::Cell | Kind::HeadCell => row.push(&text, start),
                    Kind::Caption => table.caption = text,
                    _ => table.before.push(text),
                }
            }
            Record::Close => match open.pop() {
                Some(Kind::Row) => {
                    table.row(&row, budget);
                    row.clear();
                }
                Some(kind @ (Kind::Head | Kind::Section)) => table.end(kind),
                _ => break,
            },
            _ => {}
        }
    }
    table.blocks()
}

impl Table {
    fn start(&mut self, kind: Kind) {
        if kind != Kind::Row {
            self.hanging.clear();
            self.is_head = kind == Kind::Head;
        }
    }

    fn end(&mut self, kind: Kind) {
        self.hanging.clear();
        self.is_head &= kind != Kind::Head;
    }

    fn row(&mut self, row: &Row, budget: &mut Budget) {
        let mut full = row.cells().filter(|(_, text)| !text.is_empty()).peekable();
        let is_head = self.is_head || (full.peek().is_some() && full.all(|(cell, _)| cell.is_head));
        let is_first = self.rows.is_empty() && self.head.is_none();
        let start = self.rows.len();
        let columns = self.write(row, budget);
        let is_blank = self.rows[start..].bytes().all(|byte| matches!(byte, b' ' | b'|'));
        if is_blank {
            return self.rows.truncate(start);
        }
        self.columns = self.columns.max(columns);
        match is_first && is_head {
            true => self.head = Some((self.rows.split_off(start), columns)),
            false => self.rows.push('\n'),
        }
    }

    /// Writes the cells of a row into their columns, between cells of the rows above. Returns the
    /// number of columns.
    fn write(&mut self, row: &Row, budget: &mut Budget) -> usize {
        let mut columns = 0;
        self.rows.push('|');
        for (cell, text) in row.cells() {
            self.continue_hanging(&mut columns, budget);
            let hanging = (cell.rows != 1).then(|| {
                // 0 means all rows of the section
                let rows = cell.rows.checked_sub(1).map_or(u32::MAX, u32::from);
                Hanging { text: text.into(), rows }
            });
            let more = usize::from(cell.columns).min(MAX_COLUMNS.saturating_sub(columns));
            let more = more.saturating_sub(1);
            let repeated = budget.take(text, more);
            let blanks = budget.take_blanks(more - repeated);
            let texts = std::iter::repeat_n(text, 1 + repeated);
            for text in texts.chain(std::iter::repeat_n("", blanks)) {
                self.hang(columns, hanging.as_ref());
                self.cell(text);
                columns += 1;
            }
        }
        self.continue_hanging(&mut columns, budget);
        columns
    }

    fn cell(&mut self, text: &str) {
        let _ = write!(self.rows, " {text} |");
    }

    /// Lets a cell go on in a column of the next rows.
    fn hang(&mut self, column: usize, hanging: Option<&Hanging>) {
        if let Some(hanging) = hanging {
            self.hanging.resize(self.hanging.len().max(column + 1), None);
            self.hanging[column] = Some(hanging.clone());
        }
    }

    /// Writes the cells of the rows above that go on at a column.
    fn continue_hanging(&mut self, column: &mut usize, budget: &mut Budget) {
        while let Some(place @ Some(_)) = self.hanging.get_mut(*column) {
            let Some(mut hanging) = place.take() else { return };
            if budget.take(&hanging.text, 1) == 0 {
                hanging.text = "".into();
            }
            if hanging.text.is_empty() && budget.take_blanks(1) == 0 {
                return self.hanging.clear();
            }
            hanging.rows -= 1;
            let text = Rc::clone(&hanging.text);
            *place = (hanging.rows > 0).then_some(hanging);
            self.cell(&text);
            *column += 1;
        }
    }

    fn blocks(self) -> Vec<String> {
        let mut blocks = self.before;
        blocks.push(self.caption);
        if !self.rows.is_empty() || self.head.is_some() {
            let (mut text, columns) = self.head.unwrap_or(("|".to_owned(), 0));
            text.reserve_exact(self.rows.len() + 10 * self.columns);
            text.push_str(&"  |".repeat(self.columns - columns));
            text.push_str("\n|");
            text.push_str(&" --- |".repeat(self.columns));
            text.push('\n');
            text.push_str(self.rows.trim_end());
            text.truncate(text.trim_end().len());
            blocks.push(text);
        }
        blocks.retain(|block| !block.is_empty());
        blocks
    }
}

/// Returns the content of a cell in one line. A table in a cell stays HTML.
fn cell_text(mut records: Records<'_>, end: u32, links: &mut Links<'_>) -> String {
    let mut line = Line::new(Breaks::Tags);
    let mut open = Vec::new();
    while records.here() < end {
        let Some(record) = records.next() else { break };
        match record {
            Record::Open { start, end } if is_hidden(start.kind, start.flags) => {
                records.go_to(end);
            }
            Record::Open { start, end } => match start.kind {
                Kind::Pre => {
                    code_lines(records.clone(), &mut line, links);
                    records.go_to(end);
                }
                kind => {
                    begin(kind, &open, &mut line, links);
                    open.push((kind, start.first.cast_signed()));
                }
            },
            Record::Close => {
                let Some((kind, _)) = open.pop() else { break };
                finish(kind, &mut line, links);
                if kind == Kind::Item
                    && let Some((Kind::Ordered, next)) = open.last_mut()
                {
                    *next = next.saturating_add(1);
                }
            }
            Record::Text { marks, link, text } => line.push(links, marks, link, text),
            Record::Image { link, source, words } => {
                if let Some(url) = links.picture(source) {
                    let words = links.string(words);
                    line.picture(links, link, Picture { url, words });
                }
            }
            Record::Check { is_on } => line.check(links, is_on),
            Record::Break | Record::Split | Record::Rule => line.line_break(),
            Record::Language(_) => {}
        }
    }
    let text = line.finish(links);
    if text.contains('|') { text.replace('|', "\\|") } else { text }
}

fn is_hidden(kind: Kind, flags: u8) -> bool {
    flags & (HIDDEN | STREAMED) != 0 || kind == Kind::Noscript
}

/// Begins an element in a cell.
fn begin(kind: Kind, open: &[(Kind, i32)], line: &mut Line, links: &mut Links<'_>) {
    match kind {
        Kind::Table => {
            line.line_break();
            line.raw(links, "<table>");
        }
        Kind::Row => line.raw(links, "<tr>"),
        Kind::Cell => line.raw(links, "<td>"),
        Kind::HeadCell => line.raw(links, "<th>"),
        Kind::Item => {
            line.line_break();
            let marker = match open.last() {
                Some((Kind::Ordered, next)) => format!("{next}. "),
                _ => "- ".to_owned(),
            };
            line.raw(links, &marker);
        }
        Kind::Head | Kind::Section => {}
        _ if kind.is_inline() => {}
        _ => line.block_break(),
    }
}

fn finish(kind: Kind, line: &mut Line, links: &mut Links<'_>) {
    match kind {
        Kind::Table => line.raw_end(links, "</table>"),
        Kind::Row => line.raw_end(links, "</tr>"),
        Kind::Cell => line.raw_end(links, "</td>"),
        Kind::HeadCell => line.raw_end(links, "</th>"),
        Kind::Head | Kind::Section => {}
        _ if kind.is_inline() => {}
        _ => line.line_break(),
    }
}

/// Writes each line of code as code of its own.
fn code_lines(records: Records<'_>, line: &mut Line, links: &mut Links<'_>) {
    let mut code = String::new();
    code::each(records, |piece| code.push_str(piece));
    for text in code.trim_end().split('\n') {
        line.line_break();
        let mut span = String::new();
        if !text.trim().is_empty() {
            push_code(&mut span, text);
        }
        line.raw(links, &span);
    }
    line.line_break();
}

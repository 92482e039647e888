//! Tables: cells that span columns or rows are repeated, so that each one is under its head.
use std::fmt::Write as _;
use std::rc::Rc;

use crate::html::code::Code;
use crate::html::line::{Breaks, Line, Links, Picture, push_code};
use crate::html::names::Kind;
use crate::html::tape::{HIDDEN, Record, Records, STREAMED};

/// The largest number of columns.
const MAX_COLUMNS: usize = 1000;

/// The bytes that repeated cells may take in a page.
pub(super) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(1 << 20)
    }
}

impl Budget {
    /// Takes the bytes of a repeated cell. Returns false if there are too few left.
    fn take(&mut self, text: &str) -> bool {
        let left = self.0.checked_sub(text.len() + 8);
        self.0 = left.unwrap_or(0);
        left.is_some()
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
    head: Option<Vec<Rc<str>>>,
    rows: String,
    has_rows: bool,
    columns: usize,
    hanging: Vec<Option<Hanging>>,
    is_head: bool,
}

/// A cell of the row that is being read.
struct Cell {
    text: Rc<str>,
    columns: u32,
    rows: u32,
    is_head: bool,
}

/// Reads a table. Returns its blocks.
pub(super) fn read(
    mut records: Records<'_>,
    links: &mut Links<'_>,
    budget: &mut Budget,
) -> Vec<String> {
    let mut table = Table::default();
    let mut row: Vec<Cell> = Vec::new();
    let mut open = vec![Kind::Table];
    while let Some(record) = records.next() {
        match record {
            Record::Open { start, end } if start.flags & (HIDDEN | STREAMED) != 0 => {
                records.go_to(end);
            }
            Record::Open { start, end } => match start.kind {
                Kind::Head | Kind::Section | Kind::Row => {
                    if start.kind != Kind::Row {
                        table.hanging.clear();
                        table.is_head = start.kind == Kind::Head;
                    }
                    open.push(start.kind);
                }
                kind => {
                    let text = cell_text(records.clone(), end, links);
                    records.go_to(end);
                    match kind {
                        Kind::Cell | Kind::HeadCell => row.push(Cell {
                            text: text.into(),
                            columns: start.first,
                            rows: start.second,
                            is_head: kind == Kind::HeadCell,
                        }),
                        Kind::Caption => table.caption = text,
                        _ => table.before.push(text),
                    }
                }
            },
            Record::Close => match open.pop() {
                Some(Kind::Row) => table.row(std::mem::take(&mut row), budget),
                Some(Kind::Head | Kind::Section) => {
                    table.hanging.clear();
                    table.is_head = false;
                }
                _ => break,
            },
            _ => {}
        }
    }
    table.blocks()
}

impl Table {
    fn row(&mut self, cells: Vec<Cell>, budget: &mut Budget) {
        let full = || cells.iter().filter(|cell| !cell.text.is_empty());
        let is_head = self.is_head || (full().next().is_some() && full().all(|cell| cell.is_head));
        let row = self.placed(cells, budget);
        if row.iter().all(|cell| cell.is_empty()) {
            return;
        }
        self.columns = self.columns.max(row.len());
        let is_first = !self.has_rows && self.head.is_none();
        if is_first && is_head {
            self.head = Some(row);
            return;
        }
        self.has_rows = true;
        write_row(&mut self.rows, &row, row.len());
    }

    /// Puts the cells of a row into their columns, between cells of the rows above.
    fn placed(&mut self, cells: Vec<Cell>, budget: &mut Budget) -> Vec<Rc<str>> {
        let mut row = Vec::with_capacity(cells.len());
        for cell in cells {
            self.continue_hanging(&mut row, budget);
            for n in 0..cell.columns {
                let is_repeated = n > 0;
                if row.len() >= MAX_COLUMNS || (is_repeated && !budget.take(&cell.text)) {
                    break;
                }
                if cell.rows != 1 {
                    self.hanging.resize(self.hanging.len().max(row.len() + 1), None);
                    // 0 means all rows of the section
                    let rows = cell.rows.checked_sub(1).unwrap_or(u32::MAX);
                    self.hanging[row.len()] = Some(Hanging { text: Rc::clone(&cell.text), rows });
                }
                row.push(Rc::clone(&cell.text));
            }
        }
        self.continue_hanging(&mut row, budget);
        row
    }

    fn continue_hanging(&mut self, row: &mut Vec<Rc<str>>, budget: &mut Budget) {
        while let Some(place @ Some(_)) = self.hanging.get_mut(row.len()) {
            let Some(hanging) = place else { return };
            if !budget.take(&hanging.text) {
                return self.hanging.clear();
            }
            row.push(Rc::clone(&hanging.text));
            hanging.rows -= 1;
            if hanging.rows == 0 {
                *place = None;
            }
        }
    }

    fn blocks(self) -> Vec<String> {
        let mut blocks = self.before;
        blocks.push(self.caption);
        if self.has_rows || self.head.is_some() {
            let mut text = String::with_capacity(self.rows.len() + 256);
            write_row(&mut text, self.head.as_deref().unwrap_or_default(), self.columns);
            text.push('|');
            text.push_str(&" --- |".repeat(self.columns));
            text.push('\n');
            text.push_str(&self.rows);
            blocks.push(text.trim_end().to_owned());
        }
        blocks.retain(|block| !block.is_empty());
        blocks
    }
}

fn write_row(text: &mut String, row: &[Rc<str>], columns: usize) {
    text.push('|');
    for n in 0..columns {
        let _ = write!(text, " {} |", row.get(n).map_or("", |cell| &**cell));
    }
    text.push('\n');
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
                    code(Code::read(records.clone()), &mut line, links);
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
            Record::Check { is_on } => line.raw(links, if is_on { "[x] " } else { "[ ] " }),
            Record::Break | Record::Split | Record::Rule => line.line_break(),
            Record::Language(_) => {}
        }
    }
    line.finish(links).replace('|', "\\|")
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
fn code(code: Code, line: &mut Line, links: &mut Links<'_>) {
    for text in code.text.trim_end().split('\n') {
        line.line_break();
        let mut span = String::new();
        if !text.trim().is_empty() {
            push_code(&mut span, text);
        }
        line.raw(links, &span);
    }
    line.line_break();
}

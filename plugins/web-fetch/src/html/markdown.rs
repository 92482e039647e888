//! Writes a tape as Markdown, block by block.
use crate::html::code::{self, Code};
use crate::html::line::{Breaks, Line, Links, Picture};
use crate::html::names::Kind;
use crate::html::out::{Gap, Out};
use crate::html::pick::Part;
use crate::html::table::{self, Budget};
use crate::html::tape::{LAYOUT, Record, Records, Start, Tape};

/// A list that is open.
struct List {
    is_ordered: bool,
    next: i32,
    has_items: bool,
    /// The list is in another one, but in none of its items.
    is_bare: bool,
}

impl List {
    /// Returns the sign of the next item, which may have a number of its own.
    fn marker(&mut self, number: Option<i32>) -> String {
        self.has_items = true;
        if !self.is_ordered {
            return "- ".to_owned();
        }
        let number = number.unwrap_or(self.next);
        self.next = number.saturating_add(1);
        format!("{number}. ")
    }
}

/// A writer of the parts of a tape.
pub(super) struct Writer<'t> {
    tape: &'t Tape,
    links: Links<'t>,
    out: Out,
    line: Line,
    open: Vec<Kind>,
    lists: Vec<List>,
    budget: Budget,
    /// Nothing was written since the last picture.
    is_at_picture: bool,
}

impl<'t> Writer<'t> {
    pub(super) fn new(tape: &'t Tape, links: Links<'t>, out: Out) -> Self {
        Self {
            tape,
            links,
            out,
            line: Line::default(),
            open: Vec::new(),
            lists: Vec::new(),
            budget: Budget::default(),
            is_at_picture: false,
        }
    }

    pub(super) fn finish(self) -> Out {
        self.out
    }

    /// Writes a part, without the elements that have one of some flags, until the output is full.
    pub(super) fn write(&mut self, part: Part, left_out: u8) {
        let mut records = self.tape.read(part.from, part.to);
        loop {
            let at = records.here();
            let Some(record) = records.next().filter(|_| !self.out.is_full()) else { break };
            match record {
                // the part itself is not left out
                Record::Open { start, end } if start.flags & left_out != 0 && !part.is(at, end) => {
                    records.go_to(end);
                }
                Record::Open { start, end } => self.start(start, end, &mut records),
                Record::Close => self.end(),
                Record::Text { marks, link, text } => {
                    self.is_at_picture &= text.trim().is_empty();
                    self.line.push(&mut self.links, marks, link, text);
                    self.relieve();
                }
                Record::Break => self.line.line_break(),
                Record::Split => self.flush(),
                Record::Rule => {
                    self.flush();
                    self.out.block("---");
                }
                Record::Image { link, source, words } => {
                    self.picture(link, source, words);
                }
                Record::Check { is_on } => self.line.check(&mut self.links, is_on),
                Record::Language(_) => {}
            }
        }
        while !self.open.is_empty() {
            self.end();
        }
        self.flush();
    }

    fn start(&mut self, start: Start, end: u32, records: &mut Records<'_>) {
        let kind = start.kind;
        if !kind.is_inline() && kind != Kind::Noscript {
            self.flush();
        }
        match kind {
            Kind::Noscript => {
                self.plain_picture(self.tape.read(records.here(), end));
                return records.go_to(end);
            }
            Kind::Pre => {
                self.code(self.tape.read(records.here(), end));
                return records.go_to(end);
            }
            Kind::Table if start.flags & LAYOUT == 0 => {
                let rows = self.tape.read(records.here(), end);
                let table = table::read(rows, &mut self.links, &mut self.budget);
                table.into_iter().for_each(|block| self.out.block(&block));
                return records.go_to(end);
            }
            Kind::List | Kind::Ordered => self.start_list(start),
            Kind::Item => self.start_item(start),
            Kind::Quote => self.out.indent(Some("> ".to_owned()), "> "),
            Kind::Definition => {
                self.out.set_gap(Gap::Line);
                self.out.indent(Some(": ".to_owned()), "  ");
            }
            _ if kind.level().is_some() => self.line.set_breaks(Breaks::Spaces),
            _ => {}
        }
        self.open.push(kind);
    }

    fn end(&mut self) {
        let Some(kind) = self.open.pop() else { return };
        if let Some(level) = kind.level() {
            let has_begun = self.line.has_begun();
            let heading = self.line.finish(&mut self.links);
            let sign = if has_begun || heading.is_empty() { "" } else { &heading_sign(level) };
            return self.out.block(&format!("{sign}{heading}"));
        }
        if !kind.is_inline() {
            self.flush();
        }
        match kind {
            Kind::Item | Kind::Quote | Kind::Definition => self.out.unindent(),
            Kind::List | Kind::Ordered => self.end_list(),
            _ => {}
        }
    }

    /// Ends the paragraph that is being written.
    fn flush(&mut self) {
        let text = self.line.finish(&mut self.links);
        self.out.block(&text);
    }

    /// Writes the beginning of a line that becomes too long to be kept.
    fn relieve(&mut self) {
        if self.line.is_long() {
            if let (Some(level), false) = (self.level(), self.line.has_begun()) {
                self.out.piece(&heading_sign(level));
            }
            self.out.piece(&self.line.take());
        }
    }

    /// Returns the level of the heading that is being written.
    fn level(&self) -> Option<usize> {
        self.open.last().and_then(|kind| kind.level())
    }

    fn start_list(&mut self, start: Start) {
        let is_ordered = start.kind == Kind::Ordered;
        let outer = self.open.last();
        let is_bare = matches!(outer, Some(Kind::List | Kind::Ordered));
        if !self.lists.is_empty() && (is_bare || outer == Some(&Kind::Item)) {
            self.out.set_gap(Gap::Line);
        }
        if is_bare {
            self.out.indent(None, "  ");
        }
        let next = start.first.cast_signed();
        self.lists.push(List { is_ordered, next, has_items: false, is_bare });
    }

    fn end_list(&mut self) {
        if self.lists.pop().is_some_and(|list| list.is_bare) {
            self.out.unindent();
        }
    }

    fn start_item(&mut self, start: Start) {
        let list = self.lists.last_mut();
        if list.as_ref().is_some_and(|list| list.has_items) {
            self.out.set_gap(Gap::Line);
        }
        let number = (start.second != 0).then_some(start.first.cast_signed());
        let marker = list.map_or("- ".to_owned(), |list| list.marker(number));
        let rest = " ".repeat(marker.len());
        self.out.indent(Some(marker), &rest);
    }

    fn picture(&mut self, link: u32, source: u32, words: u32) {
        let Some(url) = self.links.picture(source) else { return };
        let words = self.links.string(words);
        self.line.picture(&mut self.links, link, Picture { url, words });
        self.is_at_picture = true;
    }

    /// Writes the picture that a page has for readers without scripts, if a script would show it.
    fn plain_picture(&mut self, mut records: Records<'_>) {
        let picture = records.find_map(|record| match record {
            Record::Image { link, source, words } => Some((link, source, words)),
            _ => None,
        });
        if let (Some((link, source, words)), false) = (picture, self.is_at_picture) {
            self.picture(link, source, words);
        }
    }

    /// Writes code as it is, between fences.
    fn code(&mut self, records: Records<'_>) {
        let Code { language, run, is_blank } = Code::of(records.clone());
        if is_blank {
            return;
        }
        let fence = "`".repeat(run.max(2) + 1);
        self.out.piece(&format!("{fence}{}\n", self.tape.string(language)));
        code::each(records, |piece| self.out.piece(piece));
        self.out.trim();
        self.out.block(&format!("\n{fence}"));
        self.is_at_picture = false;
    }
}

fn heading_sign(level: usize) -> String {
    format!("{} ", "#".repeat(level))
}

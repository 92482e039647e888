//! Start tags and end tags: which elements they open and close.
use html5gum::State;

use crate::html::builder::is_implied;
use crate::html::builder::{ARRANGES, Builder, Format, IN_NOISE, IN_NOSCRIPT, IN_PRE, Opening};
use crate::html::names::{Element, Kind, element, number};
use crate::html::picture;
use crate::html::signs;
use crate::html::tape;
use crate::html::tokens::{Receiver, Tag};

/// The most columns that a cell spans, by the HTML standard.
const MAX_COLUMNS: u32 = 1000;
/// The most rows that a cell spans, by the HTML standard.
const MAX_ROWS: u32 = 65_534;

impl Receiver for Builder {
    fn tag(&mut self, tag: &Tag) -> Option<State> {
        let number = number(local_name(&tag.name, self.is_xml));
        let element = element(number);
        self.is_pre_start = false;
        if let Some(raw) = self.raw {
            if tag.is_end {
                self.end_raw(raw);
            }
            return None;
        }
        if self.foreign > 0 && self.is_foreign(tag, element) {
            return None;
        }
        match tag.is_end {
            true => self.end(number, element),
            false => return self.start(tag, number, element),
        }
        None
    }

    fn text(&mut self, text: &[u8]) {
        match self.raw {
            Some(Kind::Title) => return self.facts.add_title(text),
            Some(Kind::Raw) => return self.facts.add_script(text),
            _ if self.foreign > 0 => return,
            _ => {}
        }
        let mut text = text;
        if std::mem::take(&mut self.is_pre_start) {
            text = text.strip_prefix(b"\n").unwrap_or(text);
        }
        // the standard drops these
        for part in text.split(|byte| *byte == 0) {
            self.push_text(part);
        }
    }

    fn has_cdata(&self) -> bool {
        self.is_xml || self.foreign > 0
    }
}

impl Builder {
    fn end_raw(&mut self, raw: Kind) {
        self.raw = None;
        if raw == Kind::RawPre {
            self.pop();
        }
        self.facts.end_raw();
    }

    /// Reads a tag within `svg`. Returns false if the tag ends it, as tags of HTML do.
    fn is_foreign(&mut self, tag: &Tag, element: Element) -> bool {
        let holds_html = matches!(&tag.name[..], b"foreignobject" | b"desc" | b"title");
        match (holds_html, tag.is_end) {
            (true, true) => self.foreign_html = self.foreign_html.saturating_sub(1),
            (true, false) if !tag.is_closed => self.foreign_html += 1,
            _ => {}
        }
        if element.kind == Kind::Foreign {
            match (tag.is_end, tag.is_closed) {
                (true, _) => self.foreign -= 1,
                (false, false) => self.foreign += 1,
                (false, true) => {}
            }
            return true;
        }
        let is_html = element.ends_paragraph()
            || matches!(element.kind, Kind::Bold | Kind::Italic | Kind::Code | Kind::Break)
            || (element.kind == Kind::Image && &tag.name[..] == b"img");
        if is_html && !tag.is_end && self.foreign_html == 0 {
            self.foreign = 0;
            return false;
        }
        true
    }

    fn start(&mut self, tag: &Tag, number: u8, element: Element) -> Option<State> {
        if element.ends_paragraph() {
            self.close_paragraph();
        }
        match element.kind {
            Kind::Ignored => {}
            Kind::Title | Kind::Raw | Kind::RawPre => return self.start_raw(tag, number, element),
            Kind::Foreign => {
                self.flush();
                (self.foreign, self.foreign_html) = (usize::from(!tag.is_closed), 0);
            }
            Kind::Meta | Kind::Base | Kind::LinkTo | Kind::Frame => {
                let in_noscript = self.is_within(IN_NOSCRIPT);
                self.facts.see(tag, element.kind, in_noscript);
            }
            Kind::Break => self.line_break(),
            Kind::Rule => {
                self.flush();
                if !self.is_within(IN_NOISE) {
                    self.tape.rule();
                }
            }
            Kind::Image => self.image(tag),
            Kind::Source => self.source(tag),
            Kind::Input => self.input(tag),
            Kind::Link | Kind::Bold | Kind::Italic | Kind::Code | Kind::Strike
                if element.lasts() && signs::flags(tag) == 0 =>
            {
                self.start_format(tag, number, element);
            }
            _ => self.start_element(tag, number, element),
        }
        if tag.is_closed && self.is_xml && !element.is_void() && self.raw.is_none() {
            self.end(number, element);
        }
        None
    }

    fn start_raw(&mut self, tag: &Tag, number: u8, element: Element) -> Option<State> {
        self.facts.see(tag, element.kind, false);
        if tag.is_closed && self.is_xml {
            return None;
        }
        self.flush();
        self.raw = Some(element.kind);
        if element.kind == Kind::RawPre {
            let opening = Opening::new(number, Kind::Pre);
            self.push(Opening { within: IN_PRE, ..opening });
        }
        Some(match &tag.name[..] {
            b"textarea" | b"title" => State::RcData,
            b"plaintext" => State::PlainText,
            b"script" => State::ScriptData,
            _ => State::RawText,
        })
    }

    fn start_format(&mut self, tag: &Tag, number: u8, element: Element) {
        if element.kind == Kind::Code && self.is_within(IN_PRE) {
            self.name_language(tag);
        }
        if element.kind != Kind::Link {
            return self.add_format(Format::Mark { number, mark: mark(element.kind) });
        }
        self.end_format(|format| matches!(format, Format::Link(_)));
        let address = tag.get("href").unwrap_or_default();
        let link = self.tape.keep(address.trim());
        self.add_format(Format::Link(link));
    }

    fn start_element(&mut self, tag: &Tag, number: u8, element: Element) {
        let kind = match element.kind {
            Kind::Block if signs::is_main(tag) => Kind::Main,
            kind => kind,
        };
        if !self.make_way(kind) {
            return;
        }
        let mut opening = Opening::new(number, kind);
        opening.marks = mark(kind);
        opening.start.flags = signs::all(tag, kind);
        if element.is_around() {
            opening.start.flags |= tape::AROUND;
        }
        if element.is_noise() || signs::is_gutter(tag) {
            // the words around it stay apart
            self.push_text(b" ");
            opening.within |= IN_NOISE;
        }
        match kind {
            Kind::Pre => opening.within |= IN_PRE,
            Kind::Noscript => opening.within |= IN_NOSCRIPT,
            Kind::Ordered => opening.start.first = ordinal(tag, "start").unwrap_or(1),
            Kind::Item => {
                let value = ordinal(tag, "value");
                opening.start.first = value.unwrap_or(0);
                opening.start.second = u32::from(value.is_some());
            }
            Kind::Cell | Kind::HeadCell => {
                opening.start.first = span(tag, "colspan").clamp(1, MAX_COLUMNS);
                opening.start.second = span(tag, "rowspan").min(MAX_ROWS);
            }
            Kind::Picture => self.picture = None,
            _ => {}
        }
        if !kind.is_inline() {
            self.hint_language(tag);
        }
        self.push(opening);
        if kind == Kind::Pre {
            self.is_pre_start = true;
            if let (Some((_, language)), false) = (self.hint, self.is_within(IN_NOISE)) {
                self.tape.language(language);
            }
            self.name_language(tag);
        }
        if kind == Kind::Table && signs::arranges(tag) {
            self.see(Kind::Table, ARRANGES);
        }
        if let Some(words) = tag.get("alttext") {
            // a formula, which its page has as text as well
            self.push_text(format!("${}$", words.trim()).as_bytes());
            self.flush();
            if let Some(top) = self.stack.last_mut() {
                top.within |= IN_NOISE;
            }
        }
    }

    /// Remembers the language that an element names for the code in it.
    fn hint_language(&mut self, tag: &Tag) {
        if let Some(language) = signs::language(tag) {
            let language = self.tape.keep(&language);
            self.hint = Some((self.stack.len(), language));
        }
    }

    /// Writes the language that an element names for its code to the tape.
    fn name_language(&mut self, tag: &Tag) {
        let language = signs::language(tag).map(|language| self.tape.keep(&language));
        if let (Some(language), false) = (language, self.is_within(IN_NOISE)) {
            self.flush();
            self.tape.language(language);
        }
    }

    /// Closes the elements that cannot hold one of a kind. Returns false if there is no place for it.
    fn make_way(&mut self, kind: Kind) -> bool {
        match kind {
            Kind::Item => self.close_sibling(|other| other == Kind::Item),
            Kind::Term | Kind::Definition => {
                self.close_sibling(|other| matches!(other, Kind::Term | Kind::Definition));
            }
            _ if kind.level().is_some() => self.close_heading(),
            Kind::Table if self.ground().is_of_table() => {
                if let Some(at) = self.find_kind(Kind::Table) {
                    self.pop_to(at);
                }
            }
            Kind::Caption | Kind::Head | Kind::Section => {
                let Some(at) = self.find_kind(Kind::Table) else { return false };
                self.pop_to(at + 1);
            }
            Kind::Row => {
                let Some(at) = self.find_kind(Kind::Table) else { return false };
                let section = self
                    .stack
                    .get(at + 1)
                    .is_some_and(|open| matches!(open.kind, Kind::Section | Kind::Head));
                self.pop_to(at + 1 + usize::from(section));
            }
            Kind::Cell | Kind::HeadCell => {
                let Some(table) = self.find_kind(Kind::Table) else { return false };
                match self.find_kind(Kind::Row).filter(|row| *row > table) {
                    Some(row) => self.pop_to(row + 1),
                    None => {
                        self.make_way(Kind::Row);
                        self.push(Opening::new(number(b"tr"), Kind::Row));
                    }
                }
            }
            _ => {}
        }
        true
    }

    fn close_heading(&mut self) {
        if self.top().is_some_and(|top| top.kind.level().is_some()) {
            self.pop();
        }
    }

    fn close_paragraph(&mut self) {
        if self.paragraphs == 0 {
            return;
        }
        if let Some(at) = self.find(|open| open.kind == Kind::Paragraph) {
            self.pop_to(at);
        }
    }

    /// Closes an open item of the same list.
    fn close_sibling(&mut self, is_sibling: impl Fn(Kind) -> bool) {
        let ends = |kind: Kind| {
            is_sibling(kind) || !(kind.is_inline() || matches!(kind, Kind::Block | Kind::Paragraph))
        };
        let Some(at) = self.find(|open| ends(open.kind)) else { return };
        if is_sibling(self.stack[at].kind) {
            self.pop_to(at);
        }
    }

    /// Ends an element beyond the largest depth.
    fn end_beyond(&mut self, kind: Kind) {
        self.beyond -= usize::from(kind != Kind::Ignored);
        if kind != Kind::Ignored && !kind.is_inline() {
            self.flush();
            self.tape.split();
        }
    }

    fn end(&mut self, number: u8, element: Element) {
        let kind = element.kind;
        if self.beyond > 0 && !element.is_void() && !is_implied(kind) && !element.lasts() {
            return self.end_beyond(kind);
        }
        let found = match kind {
            Kind::Ignored => None,
            Kind::Break => return self.line_break(),
            Kind::Link if self.end_format(|format| matches!(format, Format::Link(_))) => None,
            Kind::Bold | Kind::Italic | Kind::Code | Kind::Strike
                if self.end_format(
                    |format| matches!(format, Format::Mark { number: open, .. } if open == number),
                ) =>
            {
                None
            }
            Kind::Table => self.find_kind(Kind::Table),
            Kind::Row | Kind::Head | Kind::Section | Kind::Caption => self.in_table(number),
            _ if kind.is_cell() => self.in_table(number),
            _ if kind.level().is_some() => self.find(|open| open.kind.level().is_some()),
            // its content would be lost with it
            Kind::Noscript => self.find_kind(Kind::Noscript),
            _ if kind.is_inline() => {
                let at = self.find(|open| open.number == number || !open.kind.is_inline());
                at.filter(|at| self.stack[*at].number == number)
            }
            _ => self.find(|open| open.number == number),
        };
        match found {
            Some(at) => self.pop_to(at),
            // an end tag alone is a paragraph
            None if kind == Kind::Paragraph => {
                self.flush();
                self.tape.split();
            }
            None => {}
        }
    }

    /// Returns the place of an open part of the innermost table.
    fn in_table(&self, number: u8) -> Option<usize> {
        let table = self.find_kind(Kind::Table)?;
        self.stack.iter().rposition(|open| open.number == number).filter(|at| *at > table)
    }

    fn line_break(&mut self) {
        self.flush();
        if !self.is_within(IN_NOISE) {
            self.tape.line_break();
        }
    }

    fn image(&mut self, tag: &Tag) {
        if self.is_within(IN_NOISE) || signs::flags(tag) & tape::HIDDEN != 0 {
            return;
        }
        let sources = self.picture.take();
        let Some(source) = picture::source(tag, sources.as_deref()) else { return };
        self.flush();
        let words = tag.get("alt").unwrap_or_default();
        let words: Vec<_> = words.split_whitespace().collect();
        let (source, words) = (self.tape.keep(&source), self.tape.keep(&words.join(" ")));
        self.tape.image(self.link, source, words);
    }

    fn source(&mut self, tag: &Tag) {
        let is_of_picture = self.top().is_some_and(|top| top.kind == Kind::Picture);
        if is_of_picture && self.picture.is_none() {
            self.picture = tag.first(&picture::LISTS).map(|list| list.into_owned());
        }
    }

    fn input(&mut self, tag: &Tag) {
        let is_box = tag.get("type").is_some_and(|kind| kind.eq_ignore_ascii_case("checkbox"));
        let is_of_item = self.find(|open| open.kind == Kind::Item).is_some();
        if is_box && is_of_item && !self.is_within(IN_NOISE) {
            self.flush();
            self.tape.check(tag.has("checked"));
        }
    }
}

/// Returns the name without the prefix of its namespace.
fn local_name(name: &[u8], is_xml: bool) -> &[u8] {
    match name.iter().position(|byte| *byte == b':') {
        Some(at) if is_xml => &name[at + 1..],
        _ => name,
    }
}

fn mark(kind: Kind) -> u8 {
    match kind {
        Kind::Bold => tape::BOLD,
        Kind::Italic => tape::ITALIC,
        Kind::Code => tape::CODE,
        Kind::Strike => tape::STRIKE,
        Kind::Sup => tape::SUP,
        Kind::Sub => tape::SUB,
        _ => 0,
    }
}

/// Returns a number of a list, which may be negative, as 32 bits.
fn ordinal(tag: &Tag, name: &str) -> Option<u32> {
    let value = tag.get(name)?;
    let digits = value.trim().trim_start_matches('+');
    let end =
        digits.char_indices().find(|(at, c)| !(c.is_ascii_digit() || (*at == 0 && *c == '-')));
    let digits = &digits[..end.map_or(digits.len(), |(at, _)| at)];
    digits.parse::<i32>().ok().map(i32::cast_unsigned)
}

fn span(tag: &Tag, name: &str) -> u32 {
    let value = tag.get(name).unwrap_or_default();
    let value = value.trim();
    let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    match value[..end].parse() {
        Ok(span) => span,
        Err(_) if end > 0 => u32::MAX,
        Err(_) => 1,
    }
}

//! Finds the part of a page that is its own text, in one pass over the tape.
use crate::html::names::Kind;
use crate::html::tape::{AROUND, HIDDEN, Record, Records, STREAMED, Tape, UNLIKELY};

/// The main part must have at least one part in `MIN_SHARE` of the page's text.
const MIN_SHARE: usize = 4;
/// An element beside the page's own text has fewer characters, unless it is full of links.
const MIN_OWN: usize = 300;
/// A page with fewer characters has no parts that could be left out.
const SMALL: usize = 600;
/// A shorter text is no sign of an article.
const MIN_TEXT: usize = 25;
/// The most characters of the sample.
const MAX_SAMPLE: usize = 400;

/// A part of the tape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) from: u32,
    pub(super) to: u32,
    chars: usize,
}

impl Part {
    /// Returns whether the part is the element between two places.
    pub(super) fn is(self, from: u32, to: u32) -> bool {
        (self.from, self.to) == (from, to)
    }
}

/// The parts of a page.
#[derive(Default)]
pub(super) struct Parts {
    /// The part with the page's own text.
    pub(super) own: Part,
    /// The flags of elements that are left out of this part.
    pub(super) left_out: u8,
    /// The parts that a script would move to their place.
    pub(super) streamed: Vec<Part>,
    /// The parts for readers without scripts.
    pub(super) plain: Vec<Part>,
    /// The number of visible characters.
    pub(super) chars: usize,
    /// The number of visible pictures.
    pub(super) pictures: usize,
    /// The beginning of the visible text.
    pub(super) sample: String,
    /// The first heading.
    pub(super) heading: Option<String>,
    /// The page has a place for a script's output, and nothing in it.
    pub(super) hidden: Vec<Part>,
}

#[derive(Default)]
struct Frame {
    at: u32,
    to: u32,
    kind: Option<Kind>,
    flags: u8,
    chars: usize,
    linked: usize,
    /// The characters outside of elements beside the page's own text.
    core: usize,
    /// The characters in no element of this one.
    direct: usize,
    commas: usize,
    score: f64,
}

struct Picker<'t> {
    records: Records<'t>,
    open: Vec<Frame>,
    /// The number of open elements beside the page's own text.
    around: usize,
    main: Part,
    article: Part,
    articles: usize,
    best: Part,
    best_score: f64,
    /// The large elements with an unlikely class.
    doubtful: Vec<Part>,
    parts: Parts,
}

/// Returns the parts of a page, and marks the elements that are left out of them.
pub(super) fn pick(tape: &mut Tape) -> Parts {
    let end = tape.here();
    let mut picker = Picker {
        records: tape.read(0, end),
        open: vec![Frame { to: end, ..Frame::default() }],
        around: 0,
        main: Part::default(),
        article: Part::default(),
        articles: 0,
        best: Part::default(),
        best_score: 0.0,
        doubtful: Vec::new(),
        parts: Parts::default(),
    };
    picker.run();
    let whole = picker.open.pop().unwrap_or_default();
    let Picker { main, article, articles, best, doubtful, mut parts, .. } = picker;
    parts.chars = whole.chars;
    let body = Part { from: 0, to: end, chars: whole.chars };
    // without a word of the page about it, only a part with nearly all of the text is the article
    let is_nearly_all = |part: Part| whole.chars >= SMALL && part.chars * 5 >= whole.core * 4;
    let is_only = articles == 1 && article.chars * 2 >= whole.chars;
    parts.own = match () {
        () if main.chars > 0 && main.chars * MIN_SHARE >= whole.chars => main,
        () if article.chars > 0 && (is_only || is_nearly_all(article)) => article,
        () if is_nearly_all(best) => best,
        () => body,
    };
    for part in doubtful {
        if part.chars * MIN_SHARE >= whole.chars {
            tape.clear_flag(part.from, UNLIKELY);
        }
    }
    // a page of links has its own text in its menus
    let (all, core) = size(tape, parts.own);
    parts.left_out = match core * MIN_SHARE < all {
        true => HIDDEN | STREAMED,
        false => HIDDEN | STREAMED | AROUND | UNLIKELY,
    };
    parts
}

/// Returns the characters of a part, and those without elements that would be left out.
fn size(tape: &Tape, part: Part) -> (usize, usize) {
    let mut records = tape.read(part.from, part.to);
    let (mut all, mut core, mut core_from) = (0, 0, 0);
    loop {
        let at = records.here();
        let Some(record) = records.next() else { break };
        match record {
            Record::Open { end, .. } if part.is(at, end) => {}
            Record::Open { start, end } if is_no_text(start.kind, start.flags) => {
                records.go_to(end);
            }
            Record::Open { start, end } if start.flags & (AROUND | UNLIKELY) != 0 => {
                core_from = core_from.max(end);
            }
            Record::Text { text, .. } => {
                let chars = count(text);
                all += chars;
                core += if records.here() > core_from { chars } else { 0 };
            }
            _ => {}
        }
    }
    (all, core)
}

fn is_no_text(kind: Kind, flags: u8) -> bool {
    flags & (HIDDEN | STREAMED) != 0 || kind == Kind::Noscript
}

impl Picker<'_> {
    fn run(&mut self) {
        loop {
            let at = self.records.here();
            let Some(record) = self.records.next() else { break };
            match record {
                Record::Open { start, end } if is_no_text(start.kind, start.flags) => {
                    let within = self.records.here();
                    let (list, from) = match start.kind {
                        Kind::Noscript => (&mut self.parts.plain, within),
                        _ if start.flags & STREAMED != 0 => (&mut self.parts.streamed, at),
                        _ => (&mut self.parts.hidden, at),
                    };
                    list.push(Part { from, to: end, chars: 0 });
                    self.records.go_to(end);
                }
                Record::Open { start, end } => {
                    self.around += usize::from(start.flags & (AROUND | UNLIKELY) != 0);
                    let kind = Some(start.kind);
                    self.open.push(Frame {
                        at,
                        to: end,
                        kind,
                        flags: start.flags,
                        ..Frame::default()
                    });
                }
                Record::Close => self.close(),
                Record::Text { link, text, .. } => self.text(link, text),
                Record::Image { .. } => self.parts.pictures += 1,
                _ => {}
            }
        }
    }

    fn text(&mut self, link: u32, text: &str) {
        let chars = count(text);
        add_words(&mut self.parts.sample, text);
        let is_core = self.around == 0;
        let Some(frame) = self.open.last_mut() else { return };
        frame.chars += chars;
        frame.direct += chars;
        frame.core += if is_core { chars } else { 0 };
        frame.linked += if link == 0 { 0 } else { chars };
        frame.commas += text.bytes().filter(|byte| *byte == b',').count();
        if frame.kind == Some(Kind::Heading1) && chars > 0 {
            add_words(self.parts.heading.get_or_insert_default(), text);
        }
    }

    fn close(&mut self) {
        if self.open.len() < 2 {
            return;
        }
        let Some(frame) = self.open.pop() else { return };
        let part = Part { from: frame.at, to: frame.to, chars: frame.chars };
        if frame.flags & (AROUND | UNLIKELY) != 0 {
            self.around -= 1;
        }
        let is_linked = frame.linked * 3 > frame.chars;
        if frame.flags & UNLIKELY != 0 && frame.chars > MIN_OWN {
            // text of its own, or so much that the page is nothing without it
            let chars = if is_linked { frame.chars } else { usize::MAX / MIN_SHARE };
            self.doubtful.push(Part { chars, ..part });
        }
        self.articles += usize::from(frame.kind == Some(Kind::Article));
        match frame.kind {
            Some(Kind::Main) if part.chars > self.main.chars => self.main = part,
            Some(Kind::Article) if part.chars > self.article.chars => self.article = part,
            _ => {}
        }
        self.score(&frame, part);
        if let Some(outer) = self.open.last_mut() {
            outer.chars += frame.chars;
            outer.core += frame.core;
            outer.linked += frame.linked;
        }
    }

    /// Passes the score of an element's text on to the elements around it.
    fn score(&mut self, frame: &Frame, part: Part) {
        if frame.direct >= MIN_TEXT && frame.flags & (AROUND | UNLIKELY) == 0 {
            let size = (frame.direct as f64 / 100.0).min(3.0);
            let mut score = 1.0 + frame.commas as f64 + size;
            for outer in self.open.iter_mut().rev().take(3) {
                outer.score += score;
                score /= 2.0;
            }
        }
        let is_place = matches!(
            frame.kind,
            Some(Kind::Block | Kind::Article | Kind::Main | Kind::Cell | Kind::Quote)
        );
        if is_place && frame.chars > 0 {
            let score = frame.score * (1.0 - frame.linked as f64 / frame.chars as f64);
            if score > self.best_score {
                (self.best, self.best_score) = (part, score);
            }
        }
    }
}

/// Adds words to a sample.
fn add_words(sample: &mut String, text: &str) {
    let room = MAX_SAMPLE.saturating_sub(sample.len());
    for word in text[..text.floor_char_boundary(room)].split_whitespace() {
        if !sample.is_empty() {
            sample.push(' ');
        }
        sample.push_str(word);
    }
}

/// Returns the number of characters that are not white space.
pub(super) fn count(text: &str) -> usize {
    match text.is_ascii() {
        true => text.bytes().filter(|byte| !byte.is_ascii_whitespace()).count(),
        false => text.chars().filter(|c| !c.is_whitespace()).count(),
    }
}

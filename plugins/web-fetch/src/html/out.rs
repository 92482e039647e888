//! The written page: blocks with the signs of lists and quotes, of which one window is kept.
use crate::cut::Window;

/// The most levels of lists and quotes with signs of their own. The signs begin every line.
const MAX_SIGNS: usize = 12;

/// The space before a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    Line,
    Blank,
}

/// A list item or a quote that is open.
struct Sign {
    /// The sign of the first line, until it is written.
    first: Option<String>,
    /// The sign of the other lines.
    rest: String,
}

/// The written blocks.
pub(super) struct Out {
    window: Window,
    signs: Vec<Sign>,
    /// The number of open items and quotes beyond `MAX_SIGNS`.
    beyond: usize,
    /// The fewest signs since the last block.
    low: usize,
    gap: Gap,
    is_empty: bool,
}

impl Out {
    pub(super) fn new(window: Window) -> Self {
        Self { window, signs: Vec::new(), beyond: 0, low: 0, gap: Gap::Blank, is_empty: true }
    }

    /// Returns whether the window has all of its text.
    pub(super) fn is_full(&self) -> bool {
        self.window.is_full()
    }

    pub(super) fn finish(self) -> Window {
        self.window
    }

    /// Begins a list item or a quote.
    pub(super) fn indent(&mut self, first: Option<String>, rest: &str) {
        match self.signs.len() < MAX_SIGNS {
            true => self.signs.push(Sign { first, rest: rest.to_owned() }),
            false => self.beyond += 1,
        }
    }

    /// Ends a list item or a quote.
    pub(super) fn unindent(&mut self) {
        match self.beyond.checked_sub(1) {
            Some(beyond) => self.beyond = beyond,
            None => drop(self.signs.pop()),
        }
        self.low = self.low.min(self.signs.len());
    }

    /// Sets the space before the next block.
    pub(super) fn set_gap(&mut self, gap: Gap) {
        self.gap = gap;
    }

    /// Writes a block.
    pub(super) fn block(&mut self, block: &str) {
        if block.trim().is_empty() {
            return;
        }
        if !self.is_empty {
            self.window.push("\n");
            if self.gap == Gap::Blank {
                let rest: String = self.signs[..self.low].iter().map(|s| &s.rest[..]).collect();
                self.window.push(rest.trim_end());
                self.window.push("\n");
            }
        }
        for (n, line) in block.split('\n').enumerate() {
            if n > 0 {
                self.window.push("\n");
            }
            self.start_line(line.is_empty());
            self.window.push(line);
        }
        (self.is_empty, self.gap, self.low) = (false, Gap::Blank, self.signs.len());
    }

    fn start_line(&mut self, is_blank: bool) {
        let mut start = String::new();
        for sign in &mut self.signs {
            match sign.first.take() {
                Some(first) => start.push_str(&first),
                None => start.push_str(&sign.rest),
            }
        }
        self.window.push(if is_blank { start.trim_end() } else { &start });
    }
}

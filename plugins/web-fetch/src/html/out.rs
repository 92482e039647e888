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
    /// A block has begun and goes on.
    is_open: bool,
    /// The line ends of the block that no text has followed yet.
    newlines: usize,
}

impl Out {
    pub(super) fn new(window: Window) -> Self {
        Self {
            window,
            signs: Vec::new(),
            beyond: 0,
            low: 0,
            gap: Gap::Blank,
            is_empty: true,
            is_open: false,
            newlines: 0,
        }
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

    /// Writes a block, or the end of one.
    pub(super) fn block(&mut self, block: &str) {
        if !self.is_open && block.trim().is_empty() {
            return;
        }
        self.piece(block);
        (self.is_open, self.newlines) = (false, 0);
        (self.gap, self.low) = (Gap::Blank, self.signs.len());
    }

    /// Writes a piece of a block. The next piece continues its line.
    pub(super) fn piece(&mut self, piece: &str) {
        if !self.is_open {
            self.begin();
        }
        for (n, line) in piece.split('\n').enumerate() {
            self.newlines += usize::from(n > 0);
            if !line.is_empty() {
                self.end_lines();
                self.window.push(line);
            }
        }
    }

    /// Drops the line ends after the last text of the block.
    pub(super) fn trim(&mut self) {
        self.newlines = 0;
    }

    /// Writes the space before a block, and the signs of its first line.
    fn begin(&mut self) {
        if !self.is_empty {
            self.window.push("\n");
            if self.gap == Gap::Blank {
                let rest: String = self.signs[..self.low].iter().map(|s| &s.rest[..]).collect();
                self.window.push(rest.trim_end());
                self.window.push("\n");
            }
        }
        self.start_line(Gap::Line);
        (self.is_empty, self.is_open) = (false, true);
    }

    /// Writes the line ends before the next text.
    fn end_lines(&mut self) {
        for left in (0..std::mem::take(&mut self.newlines)).rev() {
            self.window.push("\n");
            self.start_line(if left > 0 { Gap::Blank } else { Gap::Line });
        }
    }

    fn start_line(&mut self, gap: Gap) {
        if self.signs.is_empty() {
            return;
        }
        let mut start = String::new();
        for sign in &mut self.signs {
            match sign.first.take() {
                Some(first) => start.push_str(&first),
                None => start.push_str(&sign.rest),
            }
        }
        self.window.push(if gap == Gap::Blank { start.trim_end() } else { &start });
    }
}

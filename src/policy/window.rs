//! Cuts streamed text into windows for `on_text`. Pure code, without a clock.
use crate::policy::sentence;

/// The most bytes that are buffered, beside the overlap. Longer text without an end is cut between words, or
/// anywhere.
const MAX_HELD: usize = 4096;
/// The most bytes of a block that is one window.
const MAX_BLOCK: usize = 4 * 1024 * 1024;
/// The bytes that stay buffered if text has no blank either, so that shorter matches still fit.
const MIN_HELD: usize = 512;
/// The most characters of an overlap.
pub(super) const MAX_OVERLAP: usize = 4096;
/// The most bytes of a character.
const CHARACTER: usize = 4;

/// The places where windows end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum WindowEnd {
    /// The end of a line or of a sentence.
    #[default]
    LineOrSentence,
    /// The end of a line.
    Line,
    /// The end of a sentence or of a paragraph.
    Sentence,
    /// The end of the block.
    Block,
}

impl WindowEnd {
    /// Returns the end with this name in `const TEXT`.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "line" => Some(Self::Line),
            "sentence" => Some(Self::Sentence),
            "block" => Some(Self::Block),
            _ => None,
        }
    }

    /// Returns whether a window ends with the character `here`, which follows the text `before`.
    fn is_at(self, before: &str, here: char) -> bool {
        let is_line = matches!(here, '\n' | '\u{2028}' | '\u{2029}');
        match self {
            Self::LineOrSentence => is_line || sentence::ends(before, here),
            Self::Line => is_line,
            Self::Sentence => sentence::ends(before, here) || (is_line && is_blank_line(before)),
            Self::Block => false,
        }
    }
}

fn is_blank_line(before: &str) -> bool {
    before.rsplit('\n').next().is_none_or(|line| line.trim().is_empty())
}

/// The windows that a policy needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct WindowRules {
    pub(super) end: WindowEnd,
    /// The characters after the end of a window that belong to a match within it, at most.
    pub(super) overlap: usize,
}

/// A window that is ready, in bytes of the buffered text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// The text that may be released.
    pub(super) release: usize,
    /// The text that shows whether a match reaches beyond the release.
    pub(super) seen: usize,
    /// The buffer is full: something must be released.
    pub(super) is_full: bool,
}

/// The text of one block that has arrived and has not been released.
pub(super) struct Windows {
    rules: WindowRules,
    held: String,
    /// The places where a window may end, in order.
    ends: Vec<usize>,
    /// The bytes that were seen without a release.
    tried: usize,
}

impl Windows {
    pub(super) fn new(rules: WindowRules) -> Self {
        Self { rules, held: String::new(), ends: Vec::new(), tried: 0 }
    }

    /// Returns the buffered text.
    pub(super) fn held(&self) -> &str {
        &self.held
    }

    /// Returns whether text is buffered.
    pub(super) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Adds text.
    pub(super) fn push(&mut self, text: &str) {
        let seam = self.held.len();
        self.held.push_str(text);
        if self.rules.end == WindowEnd::Block {
            return;
        }
        for (at, here) in text.char_indices() {
            let at = seam + at;
            if self.rules.end.is_at(&self.held[..at], here) {
                self.ends.push(at + here.len_utf8());
            }
        }
    }

    /// Returns the longest window that is ready. A window that was tried is ready again with more text.
    pub(super) fn ready(&self) -> Option<Window> {
        let window = self.ends.last().and_then(|seen| self.window(*seen));
        if window.is_some_and(|window| window.seen > self.tried) {
            return window;
        }
        (self.held.len() > self.most()).then(|| self.forced())
    }

    /// Notes that a match may reach beyond the release of this window: it waits for more text.
    pub(super) fn hold(&mut self, window: Window) {
        self.tried = window.seen;
    }

    /// Removes the first bytes of the buffered text, and returns them.
    pub(super) fn take(&mut self, end: usize) -> String {
        let rest = self.held.split_off(end);
        self.ends.retain(|at| *at > end);
        for at in &mut self.ends {
            *at -= end;
        }
        self.tried = 0;
        std::mem::replace(&mut self.held, rest)
    }

    fn window(&self, seen: usize) -> Option<Window> {
        let most = self.before_overlap(seen);
        let release = self.ends.iter().rev().find(|at| **at <= most)?;
        Some(Window { release: *release, seen, is_full: false })
    }

    /// Returns the position that lies an overlap before `end`.
    fn before_overlap(&self, end: usize) -> usize {
        match self.rules.overlap {
            0 => end,
            overlap => {
                let back = self.held[..end].char_indices().rev().nth(overlap - 1);
                back.map_or(0, |(at, _)| at)
            }
        }
    }

    /// Returns the most bytes that may be buffered.
    fn most(&self) -> usize {
        match self.rules.end {
            WindowEnd::Block => MAX_BLOCK,
            _ => MAX_HELD + CHARACTER * self.rules.overlap,
        }
    }

    /// Returns a window over text that has no end: it ends after a blank, or anywhere.
    fn forced(&self) -> Window {
        let anywhere = || floor(&self.held, self.held.len().saturating_sub(MIN_HELD));
        let seen = last_blank(&self.held).filter(|seen| self.before_overlap(*seen) > 0);
        let seen = seen.unwrap_or_else(anywhere);
        let most = self.before_overlap(seen);
        let release =
            if most == seen { seen } else { last_blank(&self.held[..most]).unwrap_or(most) };
        Window { release, seen, is_full: true }
    }
}

/// Returns the nearest start of a character at or before a position.
fn floor(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
}

/// Returns the position after the last blank.
fn last_blank(text: &str) -> Option<usize> {
    text.char_indices().rev().find(|(_, c)| c.is_whitespace()).map(|(at, c)| at + c.len_utf8())
}

#[cfg(test)]
mod tests;

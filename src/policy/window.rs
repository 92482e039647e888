//! Cuts streamed text into windows that end at a sentence or a line. Pure code, without a clock.

/// The most bytes that are buffered. Longer text without a boundary is cut between words, or anywhere.
const MAX_HELD: usize = 4096;
/// The bytes that stay buffered if such text has no blank either, so that shorter matches still fit.
const MIN_HELD: usize = 512;

/// The text of one block that has arrived and has not been released.
#[derive(Default)]
pub(super) struct Windows {
    held: String,
    /// The text was late once: the rest is a single word.
    is_word: bool,
}

impl Windows {
    /// Returns whether text is buffered.
    pub(super) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Adds text. Returns everything up to the last boundary, if there is one.
    pub(super) fn push(&mut self, text: &str) -> Option<String> {
        self.is_word = false;
        // a boundary may lie on the seam, but no earlier than the last buffered character
        let seam = self.held.len();
        self.held.push_str(text);
        let from = self.held[..seam].char_indices().next_back().map_or(0, |(at, _)| at);
        let end = boundary(&self.held[from..]).map(|end| from + end);
        let end = end.or_else(|| (self.held.len() > MAX_HELD).then(|| self.forced()));
        end.and_then(|end| self.take(end))
    }

    /// Returns all buffered text, for the end of a block.
    pub(super) fn rest(&mut self) -> Option<String> {
        self.take(self.held.len())
    }

    /// Returns everything but the last word after a pause, and the last word after the next pause.
    pub(super) fn late(&mut self) -> Option<String> {
        let end = match last_blank(&self.held) {
            Some(end) if !self.is_word => end,
            _ if self.is_word => self.held.len(),
            _ => 0,
        };
        self.is_word = true;
        self.take(end)
    }

    fn take(&mut self, end: usize) -> Option<String> {
        if end == 0 {
            return None;
        }
        let rest = self.held.split_off(end);
        Some(std::mem::replace(&mut self.held, rest))
    }

    fn forced(&self) -> usize {
        last_blank(&self.held).unwrap_or_else(|| {
            let end = self.held.len().saturating_sub(MIN_HELD);
            (0..=end).rev().find(|at| self.held.is_char_boundary(*at)).unwrap_or_default()
        })
    }
}

/// Returns the position after the last line end, or after the last blank that follows a sentence.
fn boundary(text: &str) -> Option<usize> {
    let mut last = None;
    let mut before = ' ';
    for (at, here) in text.char_indices() {
        let ends_sentence = matches!(before, '.' | '!' | '?' | ':' | ';') && here.is_whitespace();
        if here == '\n' || ends_sentence || matches!(here, '。' | '！' | '？') {
            last = Some(at + here.len_utf8());
        }
        before = here;
    }
    last
}

/// Returns the position after the last blank.
fn last_blank(text: &str) -> Option<usize> {
    text.char_indices().rev().find(|(_, c)| c.is_whitespace()).map(|(at, c)| at + c.len_utf8())
}

#[cfg(test)]
mod tests;

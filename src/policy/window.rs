//! Text that comes in pieces, handed on in windows that end where a sentence or a line ends: pure, no clock.

/// Held back at most, in bytes: a text without any boundary is cut between words, or anywhere.
const MAX_HELD: usize = 4096;
/// What stays behind where a text of that length has no blank either: shorter matches still fit.
const MIN_HELD: usize = 512;

/// The text of one block that has come and was not handed on.
#[derive(Default)]
pub(super) struct Windows {
    held: String,
    /// It was late once: what is left is a single word.
    is_word: bool,
}

impl Windows {
    /// There is text to hand on.
    pub(super) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Takes a piece; gives everything up to the last boundary, if there is one.
    pub(super) fn push(&mut self, text: &str) -> Option<String> {
        self.is_word = false;
        // a boundary may lie on the seam, but no further back than the last held character
        let seam = self.held.len();
        self.held.push_str(text);
        let from = self.held[..seam].char_indices().next_back().map_or(0, |(at, _)| at);
        let end = boundary(&self.held[from..]).map(|end| from + end);
        let end = end.or_else(|| (self.held.len() > MAX_HELD).then(|| self.forced()));
        end.and_then(|end| self.take(end))
    }

    /// All of it, for the end of a block.
    pub(super) fn rest(&mut self) -> Option<String> {
        self.take(self.held.len())
    }

    /// Nothing came for a while: everything but the last word, and after that the word as well.
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

/// Behind the last line end, or the last blank that follows the end of a sentence.
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

/// Behind the last blank.
fn last_blank(text: &str) -> Option<usize> {
    text.char_indices().rev().find(|(_, c)| c.is_whitespace()).map(|(at, c)| at + c.len_utf8())
}

#[cfg(test)]
mod tests;

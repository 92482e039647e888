//! Positions in a text that was rewritten: where they lie in the text before.
use std::ops::Range;

/// A part of a text that a rewriting replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// The bytes in the text before.
    pub before: Range<usize>,
    /// The number of bytes that replaced them.
    pub after: usize,
}

/// Moves ranges of the rewritten text to the text before. The ranges must be in order and must not overlap.
///
/// A position within a replacement moves to its edge, so that a range covers whole changes only. A change
/// that left nothing belongs to a range only if it lies inside.
pub(crate) fn move_back(ranges: &mut [Range<usize>], changes: impl Iterator<Item = Change>) {
    let mut walk = Walk { changes: changes.peekable(), before: 0, after: 0 };
    let mut done = 0;
    for range in ranges {
        let start = walk.start(range.start).max(done);
        let end = walk.end(range.end).max(start);
        *range = start..end;
        done = end;
    }
}

struct Walk<I: Iterator<Item = Change>> {
    changes: std::iter::Peekable<I>,
    /// The end of the last passed change in the text before.
    before: usize,
    /// The same position in the rewritten text.
    after: usize,
}

impl<I: Iterator<Item = Change>> Walk<I> {
    /// Passes every change that ends at `at` or earlier, and returns the position of a range's start.
    fn start(&mut self, at: usize) -> usize {
        while let Some(change) = self.changes.peek() {
            let start = self.after + (change.before.start - self.before);
            if start + change.after > at {
                // a position within the change moves to its start
                return self.plain(at.min(start));
            }
            self.pass();
        }
        self.plain(at)
    }

    /// Passes every change that begins before `at`, and returns the position of a range's end.
    fn end(&mut self, at: usize) -> usize {
        while let Some(change) = self.changes.peek() {
            let start = self.after + (change.before.start - self.before);
            if start >= at {
                break;
            }
            if start + change.after > at {
                return change.before.end;
            }
            self.pass();
        }
        self.plain(at)
    }

    fn pass(&mut self) {
        if let Some(change) = self.changes.next() {
            self.after += change.before.start - self.before + change.after;
            self.before = change.before.end;
        }
    }

    fn plain(&self, at: usize) -> usize {
        self.before + at.saturating_sub(self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns where a range of `after` lies before these changes.
    fn moved(range: Range<usize>, changes: &[(Range<usize>, usize)]) -> Range<usize> {
        let mut range = range;
        let changes = changes.iter().cloned();
        let changes = changes.map(|(before, after)| Change { before, after });
        move_back(std::slice::from_mut(&mut range), changes);
        range
    }

    #[test]
    fn a_range_without_changes_around_it_stays() {
        assert_eq!(moved(3..5, &[]), 3..5);
        assert_eq!(moved(3..5, &[(7..9, 1)]), 3..5);
        // 2..4 became one byte
        assert_eq!(moved(3..5, &[(2..4, 1)]), 4..6);
    }

    #[test]
    fn a_range_covers_whole_changes_only() {
        // 2..4 became three bytes, 2..5
        assert_eq!(moved(3..4, &[(2..4, 3)]), 2..4);
        assert_eq!(moved(0..3, &[(2..4, 3)]), 0..4);
        assert_eq!(moved(4..6, &[(2..4, 3)]), 2..5);
        assert_eq!(moved(2..5, &[(2..4, 3)]), 2..4);
    }

    #[test]
    fn a_change_that_left_nothing_belongs_to_a_range_only_inside_of_it() {
        // 2..5 is gone
        assert_eq!(moved(0..2, &[(2..5, 0)]), 0..2);
        assert_eq!(moved(2..4, &[(2..5, 0)]), 5..7);
        assert_eq!(moved(1..3, &[(2..5, 0)]), 1..6);
    }

    #[test]
    fn many_ranges_move_in_one_pass() {
        let mut ranges = [0..1, 1..2, 4..6];
        let changes = [(0..6, 1), (8..14, 1)];
        let changes = changes.into_iter().map(|(before, after)| Change { before, after });
        move_back(&mut ranges, changes);
        assert_eq!(ranges, [0..6, 6..7, 14..16]);
    }
}

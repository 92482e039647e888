//! `ThinkTags`: reasoning between `<think>` and `</think>` within a text, as raw servers send it.
use crate::providers::translate::ops::Op;

const BEGIN: &str = "<think>";
const END: &str = "</think>";

/// Separates reasoning from text. It holds back the end of a text that may begin a tag.
#[derive(Default)]
pub(crate) struct ThinkTags {
    held: String,
    is_inside: bool,
    /// Whether text has come. Tags after it are text.
    is_late: bool,
}

impl ThinkTags {
    /// Takes more text.
    pub(crate) fn push(&mut self, text: &str) -> Vec<Op> {
        let mut ops = Vec::new();
        self.held.push_str(text);
        loop {
            let tag = if self.is_inside { END } else { BEGIN };
            let at = self.held.find(tag).filter(|_| !self.is_late);
            match at.filter(|at| self.is_inside || self.held[..*at].trim().is_empty()) {
                Some(at) => {
                    let rest = self.held.split_off(at + tag.len());
                    let mut before = std::mem::replace(&mut self.held, rest);
                    before.truncate(at);
                    ops.extend(self.step(before));
                    self.is_inside = !self.is_inside;
                }
                None => {
                    let tag = Some(tag).filter(|_| !self.is_late);
                    let keep = tag.map_or(0, |tag| overlap(&self.held, tag));
                    let rest = self.held.split_off(self.held.len() - keep);
                    let before = std::mem::replace(&mut self.held, rest);
                    ops.extend(self.step(before));
                    return ops;
                }
            }
        }
    }

    /// Returns the text that was held back.
    pub(crate) fn flush(&mut self) -> Option<Op> {
        let held = std::mem::take(&mut self.held);
        self.step(held)
    }

    fn step(&mut self, text: String) -> Option<Op> {
        if text.is_empty() {
            return None;
        }
        if self.is_inside {
            return Some(Op::Thinking(text));
        }
        // the line ends after the tag are no part of the text
        let text = if self.is_late { text } else { text.trim_start().to_owned() };
        self.is_late |= !text.is_empty();
        (!text.is_empty()).then_some(Op::Text(text))
    }
}

fn overlap(text: &str, tag: &str) -> usize {
    (1..tag.len()).rev().find(|length| text.ends_with(&tag[..*length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, size: usize) -> (String, String) {
        let mut tags = ThinkTags::default();
        let (mut thinking, mut plain) = (String::new(), String::new());
        let letters: Vec<char> = text.chars().collect();
        let mut ops = Vec::new();
        for piece in letters.chunks(size) {
            ops.extend(tags.push(&piece.iter().collect::<String>()));
        }
        ops.extend(tags.flush());
        for op in ops {
            match op {
                Op::Thinking(text) => thinking.push_str(&text),
                Op::Text(text) => plain.push_str(&text),
                other => panic!("{other:?}"),
            }
        }
        (thinking, plain)
    }

    #[test]
    fn tags_at_the_beginning_separate_reasoning_at_every_piece_size() {
        for size in 1..40 {
            let found = split("<think>a < b</think>\n\nyes, <think> is a tag", size);
            assert_eq!(found, ("a < b".to_owned(), "yes, <think> is a tag".to_owned()));
        }
    }

    #[test]
    fn a_text_without_tags_is_whole() {
        assert_eq!(split("x <thin y", 2).1, "x <thin y");
        assert_eq!(split("<think>never ends", 3).0, "never ends");
    }
}

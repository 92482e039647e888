//! The normal form of a text: one spelling for texts that look the same, and the way back to the original.
use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use icu_normalizer::{ComposingNormalizer, ComposingNormalizerBorrowed};
use regex::Regex;

use crate::wire::layers::{Change, move_back};

/// A character that never joins the one before it: neither a mark nor a part of a Hangul syllable.
static BOUNDARY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"[^\p{M}\x{1160}-\x{11FF}\x{D7B0}-\x{D7FF}\x{FF9E}-\x{FFDC}]").ok()
});

const NFKC: ComposingNormalizerBorrowed<'static> = ComposingNormalizer::new_nfkc();

/// A text in its normal form: NFKC, without invisible characters, with ASCII spaces, line ends and hyphens.
#[derive(Debug)]
pub(super) struct Normal<'a> {
    original: &'a str,
    folded: Cow<'a, str>,
    /// The form after NFKC, if it differs from `folded`.
    composed: Option<String>,
}

impl<'a> Normal<'a> {
    /// Normalises a text. A text that is normal already is not copied.
    pub(super) fn of(original: &'a str) -> Self {
        if original.is_ascii() {
            return Self { original, folded: Cow::Borrowed(original), composed: None };
        }
        let folded = folded(original);
        let composed = composed(&folded);
        Self { original, folded, composed }
    }

    /// Returns the normal form.
    pub(super) fn text(&self) -> &str {
        self.composed.as_deref().unwrap_or(&self.folded)
    }

    /// Returns the normal form as a text of its own.
    pub(super) fn into_text(self) -> String {
        self.composed.unwrap_or_else(|| self.folded.into_owned())
    }

    /// Moves ranges of the normal form to the original. The ranges must be in order and must not overlap.
    pub(super) fn to_original(&self, ranges: &mut [Range<usize>]) {
        if self.composed.is_some() {
            move_back(ranges, Compositions::of(&self.folded).map(|(change, _)| change));
        }
        if let Cow::Owned(_) = self.folded {
            move_back(ranges, folds(self.original).map(|(change, _)| change));
        }
    }
}

/// Returns the replacement of a character before NFKC: invisible characters, white space and hyphens that are
/// not ASCII. A list instead of a pattern: it is read for each character that is not ASCII.
fn replacement(character: char) -> Option<&'static str> {
    Some(match character {
        '\u{85}' | '\u{2028}' | '\u{2029}' => "\n",
        '\u{2010}'..='\u{2013}' | '\u{2212}' => "-",
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            " "
        }
        // Default_Ignorable_Code_Point
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' => "",
        _ => return None,
    })
}

fn folds(text: &str) -> impl Iterator<Item = (Change, &'static str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            at += text.as_bytes()[at..].iter().position(|byte| !byte.is_ascii())?;
            let start = at;
            let character = text[at..].chars().next()?;
            at += character.len_utf8();
            if let Some(with) = replacement(character) {
                return Some((Change { before: start..at, after: with.len() }, with));
            }
        }
    })
}

fn folded(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut done = 0;
    for (change, with) in folds(text) {
        out.reserve(text.len() - done);
        out.push_str(&text[done..change.before.start]);
        out.push_str(with);
        done = change.before.end;
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[done..]);
    Cow::Owned(out)
}

fn composed(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut done = 0;
    for (change, with) in Compositions::of(text) {
        out.reserve(text.len() - done);
        out.push_str(&text[done..change.before.start]);
        out.push_str(&with);
        done = change.before.end;
    }
    if done == 0 {
        return None;
    }
    out.push_str(&text[done..]);
    Some(out)
}

/// The parts of a text that NFKC changes. Each ends before a character that joins none before it.
struct Compositions<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Compositions<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, at: 0 }
    }
}

impl<'a> Iterator for Compositions<'a> {
    type Item = (Change, Cow<'a, str>);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.text[self.at..];
        let (normal, tail) = NFKC.split_normalized(rest);
        let first = tail.chars().next()?;
        let start = self.at + normal.len();
        let after_first = start + first.len_utf8();
        let boundary = BOUNDARY.as_ref()?.find_at(self.text, after_first);
        let end = boundary.map_or(self.text.len(), |found| found.start());
        self.at = end;
        let with = NFKC.normalize(&self.text[start..end]);
        Some((Change { before: start..end, after: with.len() }, with))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(text: &str) -> String {
        Normal::of(text).into_text()
    }

    #[test]
    fn the_list_of_replaced_characters_is_that_of_unicode() {
        let pattern = r"\p{Default_Ignorable_Code_Point}|[[\p{White_Space}\x{2010}-\x{2013}\x{2212}]--\p{ASCII}]";
        let replaced = Regex::new(pattern).unwrap();
        let space = Regex::new(r"\p{White_Space}").unwrap();
        for character in ('\u{80}'..=char::MAX).filter(|c| *c < '\u{e1000}') {
            let text = character.to_string();
            let found = replacement(character);
            assert_eq!(found.is_some(), replaced.is_match(&text), "{character:?}");
            let is_blank = found.is_some_and(|with| with.trim().is_empty() && !with.is_empty());
            assert_eq!(is_blank, space.is_match(&text), "{character:?}");
        }
    }

    /// Returns the part of the original that a part of the normal form stands for.
    fn found<'a>(text: &'a str, part: &str) -> &'a str {
        let normal = Normal::of(text);
        let at = normal.text().find(part).unwrap();
        let mut range = at..at + part.len();
        normal.to_original(std::slice::from_mut(&mut range));
        &text[range]
    }

    #[test]
    fn the_patterns_of_the_form_compile() {
        assert!(BOUNDARY.is_some());
    }

    #[test]
    fn texts_that_look_the_same_have_one_form() {
        for (text, form) in [
            ("plain\ttext\r\n", "plain\ttext\r\n"),
            ("Mu\u{308}ller", "Müller"),
            ("４１１１", "4111"),
            ("ａ＠ｂ．ｃ", "a@b.c"),
            ("+49\u{a0}30\u{202f}12\u{2009}3", "+49 30 12 3"),
            ("a\u{3000}b\u{2028}c\u{85}d", "a b\nc\nd"),
            ("555\u{2011}123\u{2013}45\u{2212}6", "555-123-45-6"),
            ("s\u{200b}k\u{ad}-\u{feff}a\u{2060}b\u{200d}c", "sk-abc"),
            ("ﬁ ½ …", "fi 1\u{2044}2 ..."),
            // the mark belongs to the letter once the invisible character is gone
            ("e\u{200b}\u{301}", "é"),
            ("\u{1112}\u{1161}\u{11ab}", "한"),
            ("ｶﾞ", "ガ"),
            ("一—二", "一—二"),
        ] {
            assert_eq!(normal(text), form, "{text:?}");
        }
    }

    #[test]
    fn a_part_of_the_form_is_found_in_the_original() {
        assert_eq!(found("Frau Mu\u{308}ller", "Müller"), "Mu\u{308}ller");
        assert_eq!(found("x ４１１１ y", "4111"), "４１１１");
        assert_eq!(found("a sk-\u{200b}ab\u{200b} z", "sk-ab"), "sk-\u{200b}ab");
        assert_eq!(found("\u{200b}ab\u{200b}", "ab"), "ab");
        assert_eq!(found("tel:+49\u{a0}30…", "+49 30"), "+49\u{a0}30");
        // half of a replacement is all of it
        assert_eq!(found("x½y", "1\u{2044}"), "½");
    }

    proptest! {
        #[test]
        fn the_form_is_that_of_the_whole_text(text in "[a-c \u{301}\u{308}\u{1112}\u{1161}\u{11ab}\u{ff21}½ﬁｶﾞé漢\u{93c}\u{915}]{0,12}|\\PC*") {
            let whole = NFKC.normalize(&folded(&text)).into_owned();
            prop_assert_eq!(normal(&text), whole);
        }

        #[test]
        fn ranges_move_to_ranges_of_the_original(text in "[a-c \u{301}\u{200b}\u{a0}\u{ff21}½é漢]{0,12}") {
            let normal = Normal::of(&text);
            let mut ranges: Vec<_> =
                normal.text().char_indices().map(|(at, c)| at..at + c.len_utf8()).collect();
            normal.to_original(&mut ranges);
            let mut done = 0;
            for range in ranges {
                prop_assert!(done <= range.start && range.start <= range.end);
                prop_assert!(text.get(range.clone()).is_some());
                done = range.end;
            }
        }
    }
}

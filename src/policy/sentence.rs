//! Finds the ends of sentences in text that is still arriving. Pure code.
//!
//! The text after an end is not known yet. So a doubtful place, such as a point after an abbreviation, is no
//! end: the text up to it waits for the next one.

/// Signs that may follow the end of a sentence: quotes, brackets, marks of Markdown.
const CLOSERS: &[char] = &['"', '\'', ')', ']', '}', '»', '”', '’', '“', '›', '*', '_', '`', '~'];
/// Signs before a word that do not belong to it.
const OPENERS: &[char] =
    &['"', '\'', '(', '[', '{', '«', '„', '“', '‘', '‹', '*', '_', '`', '–', '—'];

/// Abbreviations that other rules do not find: they have vowels, and more than one letter.
const ABBREVIATIONS: &[&str] = &[
    "abs", "al", "approx", "apr", "art", "aug", "ave", "bspw", "ca", "capt", "cit", "col", "corp",
    "co", "dec", "dept", "ed", "eds", "esp", "est", "etc", "evtl", "exp", "feb", "fig", "figs",
    "gen", "gov", "hon", "inc", "incl", "inkl", "jan", "jul", "jun", "lic", "lieut", "maj", "max",
    "med", "messrs", "min", "mio", "mme", "mon", "no", "nos", "nov", "oct", "op", "orig", "pres",
    "prof", "ref", "rel", "resp", "rev", "sen", "sept", "sep", "sra", "tel", "univ", "usw", "ver",
    "vol", "vols",
];

/// Returns whether a sentence ends with the character `here`, which follows the text `before`.
pub(super) fn ends(before: &str, here: char) -> bool {
    matches!(here, '。' | '！' | '？' | '｡') || (here.is_whitespace() && is_end(before))
}

/// Returns whether the text ends with the end of a sentence, without the blank after it.
fn is_end(text: &str) -> bool {
    let text = text.trim_end_matches(CLOSERS);
    match text.strip_suffix('.') {
        // an ellipsis
        Some(before) if before.ends_with('.') => true,
        Some(before) => !is_abbreviation(before),
        None => text.ends_with(['!', '?', '…', '‽', '؟', '।']),
    }
}

/// Returns whether the point after this text belongs to its last word.
fn is_abbreviation(text: &str) -> bool {
    let is_border = |sign: char| sign.is_whitespace() || OPENERS.contains(&sign);
    let word = text.rsplit(is_border).next().unwrap_or_default();
    let before = &text[..text.len() - word.len()];
    if word.is_empty() {
        return false;
    }
    if word.bytes().all(|byte| byte.is_ascii_digit()) {
        return is_line_start(before);
    }
    let parts = || word.split('.').map(|part| part.chars().count());
    if !word.chars().all(|letter| letter.is_alphabetic() || letter == '.') {
        return false;
    }
    match parts().count() {
        1 => is_short(word),
        // e.g, U.S, Ph.D
        _ => parts().all(|letters| (1..=2).contains(&letters)),
    }
}

/// Returns whether a number there is the number of an item in a list.
fn is_line_start(before: &str) -> bool {
    before.rsplit('\n').next().is_none_or(|line| line.trim().is_empty())
}

/// Returns whether the word is an initial or an abbreviation.
fn is_short(word: &str) -> bool {
    const VOWELS: &str = "aeiouyAEIOUY";
    const LONGEST: usize = 4;
    let letters = word.chars().count();
    // `Mr`, `Ltd`, `bzw`; names such as `TLS` end sentences
    let is_clipped = word.is_ascii()
        && letters <= LONGEST
        && !word.contains(|letter| VOWELS.contains(letter))
        && word.contains(|letter: char| letter.is_lowercase());
    letters == 1 || is_clipped || ABBREVIATIONS.contains(&&*word.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::ends;

    #[test]
    fn a_sentence_ends_with_its_sign_and_a_blank() {
        for text in [
            "It is so.",
            "Is it?",
            "It is!",
            "Wait…",
            "Wait...",
            "He said \"yes.\"",
            "(It is so.)",
            "**It is so.**",
            "It uses TLS.",
            "It was in 2019.",
            "It costs 3.5.",
            "See example.com.",
            "See https://example.com/a.",
            "«Oui.»",
        ] {
            assert!(ends(text, ' ') && ends(text, '\n'), "{text}");
            assert!(!ends(text, 'x'), "{text}");
        }
        assert!(ends("好", '。') && ends("好", '？') && ends("好", '！'));
    }

    #[test]
    fn a_sign_within_a_sentence_is_no_end() {
        for text in [
            "Ask Dr.",
            "Ask Mr.",
            "Ask Mrs.",
            "Ask Prof.",
            "Ask \"Dr.",
            "Ask J.",
            "Ask J. R. R.",
            "in the U.S.",
            "a Ph.D.",
            "some, e.g.",
            "some (i.e.",
            "see Fig.",
            "see No.",
            "at 5 a.m.",
            "Smith et al.",
            "z.B.",
            "d.h.",
            "bzw.",
            "apples, etc.",
            "password:",
            "code: red;",
            "the key,",
            "1.",
            "One\n 12.",
            "nothing",
            "",
        ] {
            assert!(!ends(text, ' '), "{text}");
        }
    }
}

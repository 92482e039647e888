//! Windows: no text is lost, and no window ends within a sentence unless it must.
use proptest::prelude::*;

use super::{MAX_BLOCK, MAX_HELD, MIN_HELD, Window, WindowEnd, WindowRules, Windows};

/// Pushes pieces, and releases every window that is ready. Returns the windows and the rest.
fn cut_by(rules: WindowRules, pieces: &[&str]) -> (Vec<String>, String) {
    let mut windows = Windows::new(rules);
    let mut out = Vec::new();
    for piece in pieces {
        windows.push(piece);
        if let Some(window) = windows.ready() {
            out.push(windows.take(window.release));
        }
    }
    let rest = windows.held().len();
    (out, windows.take(rest))
}

fn rules(end: WindowEnd, overlap: usize) -> WindowRules {
    WindowRules { end, overlap }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_window_ends_after_a_sentence_or_a_line() {
    for (pieces, out, rest) in [
        (&["One. Two"][..], &["One. "][..], "Two"),
        // the blank comes with the next piece
        (&["One.", " Two"], &["One. "], "Two"),
        (&["a line\n", "more"], &["a line\n"], "more"),
        (&["版。", "次"], &["版。"], "次"),
        (&["3.14 is pi"], &[], "3.14 is pi"),
        (&["One! Two? Three"], &["One! Two? "], "Three"),
        (&["password: hunter2; then"], &[], "password: hunter2; then"),
        (&["Ask D", "r", ". ", "Smith. ", "Or"], &["Ask Dr. Smith. "], "Or"),
        (&["some, e.", "g. this, 1.5 of it"], &[], "some, e.g. this, 1.5 of it"),
        (&["", ""], &[], ""),
    ] {
        let expected = (owned(out), rest.to_owned());
        assert_eq!(cut_by(WindowRules::default(), pieces), expected, "{pieces:?}");
    }
}

#[test]
fn a_window_ends_where_its_policy_says() {
    let pieces = ["One. Two\nThree. Fo", "ur\n\nFive", ". Six\r\n \r\nSeven"];
    for (end, out, rest) in [
        (
            WindowEnd::LineOrSentence,
            &["One. Two\nThree. ", "Four\n\n", "Five. Six\r\n \r\n"][..],
            "Seven",
        ),
        (WindowEnd::Line, &["One. Two\n", "Three. Four\n\n", "Five. Six\r\n \r\n"], "Seven"),
        (WindowEnd::Sentence, &["One. Two\nThree. ", "Four\n\n", "Five. Six\r\n \r\n"], "Seven"),
        (WindowEnd::Block, &[], "One. Two\nThree. Four\n\nFive. Six\r\n \r\nSeven"),
    ] {
        let expected = (owned(out), rest.to_owned());
        assert_eq!(cut_by(rules(end, 0), &pieces), expected, "{end:?}");
    }
    let lines = ["one\ntwo\n", "three. four"];
    let cut = cut_by(rules(WindowEnd::Sentence, 0), &lines);
    assert_eq!(cut, (owned(&["one\ntwo\nthree. "]), "four".to_owned()));
}

#[test]
fn an_overlap_stays_back_at_an_end() {
    let mut windows = Windows::new(rules(WindowEnd::Line, 5));
    windows.push("first\n");
    assert_eq!(windows.ready(), None);
    windows.push("two\n");
    // four characters after the first line are too few
    assert_eq!(windows.ready(), None);
    windows.push("3\nfour");
    let window = Window { release: 6, seen: 12, is_full: false };
    assert_eq!(windows.ready(), Some(window));
    windows.hold(window);
    assert_eq!(windows.ready(), None);
    windows.push(" is long\n");
    let window = Window { release: 12, seen: 25, is_full: false };
    assert_eq!(windows.ready(), Some(window));
    assert_eq!(windows.take(12), "first\ntwo\n3\n");
    assert_eq!((windows.held(), windows.ready()), ("four is long\n", None));
    windows.push("é\né\né\n");
    let window = Window { release: 13, seen: 22, is_full: false };
    assert_eq!(windows.ready(), Some(window));
}

#[test]
fn a_text_without_any_end_is_cut_between_words_or_anywhere() {
    let words = "word ".repeat(MAX_HELD / 5 + 1) + "end";
    let expected = (vec![words.replace("end", "")], "end".to_owned());
    assert_eq!(cut_by(WindowRules::default(), &[&words]), expected);
    let solid = "é".repeat(MAX_HELD);
    let (out, rest) = cut_by(WindowRules::default(), &[&solid]);
    assert_eq!((out[0].len(), rest.len()), (2 * MAX_HELD - MIN_HELD, MIN_HELD));
    // with an overlap, the words that may belong to a match stay
    let words = "word ".repeat(MAX_HELD);
    let mut windows = Windows::new(rules(WindowEnd::Line, 12));
    windows.push(&words);
    let window = Window { release: words.len() - 15, seen: words.len(), is_full: true };
    assert_eq!(windows.ready(), Some(window));
    // a window that must be released is ready although it was tried
    windows.hold(window);
    assert_eq!(windows.ready(), Some(window));
    let solid = format!("a {}", "x".repeat(2 * MAX_HELD));
    let mut windows = Windows::new(rules(WindowEnd::Line, 12));
    windows.push(&solid);
    let seen = solid.len() - MIN_HELD;
    assert_eq!(windows.ready(), Some(Window { release: 2, seen, is_full: true }));
}

#[test]
fn a_block_is_one_window_unless_it_is_huge() {
    let mut windows = Windows::new(rules(WindowEnd::Block, 0));
    windows.push(&"A sentence.\n\n".repeat(1000));
    assert_eq!(windows.ready(), None);
    windows.push(&"x ".repeat(MAX_BLOCK / 2));
    let window = windows.ready().unwrap();
    assert!(window.is_full && window.release == windows.held().len());
}

proptest! {
    #![proptest_config(crate::testing::cases())]

    #[test]
    fn however_a_text_is_cut_the_windows_are_the_text(
        words in prop::collection::vec("[a-z]{1,6}|é。|\\. |\n|x{3000}", 0..40),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        end in prop::sample::select(vec![
            WindowEnd::LineOrSentence, WindowEnd::Line, WindowEnd::Sentence, WindowEnd::Block,
        ]),
        overlap in 0_usize..100,
    ) {
        let whole = words.join(" ");
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
        at.retain(|at| whole.is_char_boundary(*at));
        at.extend([0, whole.len()]);
        at.sort_unstable();
        let pieces: Vec<&str> = at.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
        let (out, rest) = cut_by(rules(end, overlap), &pieces);
        prop_assert!(out.iter().all(|window| !window.is_empty()));
        prop_assert_eq!(format!("{}{rest}", out.concat()), whole);
    }
}

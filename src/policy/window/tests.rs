//! Windows: no text is lost, and no window ends within a sentence unless it must.
use proptest::prelude::*;

use super::{MAX_HELD, MIN_HELD, Windows};

/// Pushes pieces. Returns the windows and the rest.
fn cut(pieces: &[&str]) -> (Vec<String>, Option<String>) {
    let mut windows = Windows::default();
    let out = pieces.iter().filter_map(|piece| windows.push(piece)).collect();
    (out, windows.rest())
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_window_ends_after_a_sentence_or_a_line() {
    for (pieces, out, rest) in [
        (&["One. Two"][..], &["One. "][..], Some("Two")),
        // the blank comes with the next piece
        (&["One.", " Two"], &["One. "], Some("Two")),
        (&["a line\n", "more"], &["a line\n"], Some("more")),
        (&["版。", "次"], &["版。"], Some("次")),
        (&["3.14 is pi"], &[], Some("3.14 is pi")),
        (&["One! Two? Three"], &["One! Two? "], Some("Three")),
        (&["", ""], &[], None),
    ] {
        let expected = (owned(out), rest.map(str::to_owned));
        assert_eq!(cut(pieces), expected, "{pieces:?}");
    }
}

#[test]
fn silence_releases_whole_words_and_then_the_last_one() {
    let mut windows = Windows::default();
    assert_eq!(windows.push("all whole wor"), None);
    assert_eq!(windows.late().as_deref(), Some("all whole "));
    assert!(windows.is_holding());
    assert_eq!(windows.late().as_deref(), Some("wor"));
    assert!(!windows.is_holding());
    assert_eq!(windows.late(), None);
    // text after the first pause continues the word
    windows.push("one tw");
    windows.late();
    windows.push("o three");
    assert_eq!(windows.late().as_deref(), Some("two "));
}

#[test]
fn a_text_without_any_boundary_is_cut_between_words_or_anywhere() {
    let words = "word ".repeat(MAX_HELD / 5 + 1) + "end";
    assert_eq!(cut(&[&words]), (vec![words.replace("end", "")], Some("end".to_owned())));
    let solid = "é".repeat(MAX_HELD);
    let (out, rest) = cut(&[&solid]);
    assert_eq!((out[0].len(), rest.unwrap().len()), (2 * MAX_HELD - MIN_HELD, MIN_HELD));
}

proptest! {
    #![proptest_config(crate::testing::cases())]

    #[test]
    fn however_a_text_is_cut_the_windows_are_the_text(
        words in prop::collection::vec("[a-z]{1,6}|é。|\\. |\n|x{3000}", 0..40),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let whole = words.join(" ");
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
        at.retain(|at| whole.is_char_boundary(*at));
        at.extend([0, whole.len()]);
        at.sort_unstable();
        let pieces: Vec<&str> = at.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
        let (out, rest) = cut(&pieces);
        prop_assert!(out.iter().all(|window| !window.is_empty()));
        let joined = format!("{}{}", out.concat(), rest.unwrap_or_default());
        prop_assert_eq!(joined, whole);
    }
}

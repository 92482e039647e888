//! `Stops`: stop sequences that the gateway applies itself, because an upstream does not take them.

/// Watches a text for stop sequences. It holds back the shortest end that may belong to one.
#[derive(Debug, Default)]
pub(crate) struct Stops {
    sequences: Vec<String>,
    held: String,
}

/// The result of more text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The text that the client may receive.
    pub(crate) text: String,
    /// The sequence that matched after this text.
    pub(crate) stop: Option<String>,
}

impl Stops {
    /// Watches for these sequences. Empty ones never match.
    pub(crate) fn new(sequences: Vec<String>) -> Self {
        let sequences = sequences.into_iter().filter(|one| !one.is_empty()).collect();
        Self { sequences, held: String::new() }
    }

    /// Takes more text.
    pub(crate) fn push(&mut self, text: String) -> Cut {
        if self.sequences.is_empty() {
            return Cut { text, stop: None };
        }
        let mut whole = std::mem::take(&mut self.held);
        whole.push_str(&text);
        let matches = self.sequences.iter().filter_map(|one| Some((whole.find(&**one)?, one)));
        // the first match counts, and the longest of several at one place
        let first = matches.min_by_key(|(at, one)| (*at, usize::MAX - one.len()));
        if let Some((at, one)) = first {
            let stop = Some(one.clone());
            whole.truncate(at);
            return Cut { text: whole, stop };
        }
        let keep = self.sequences.iter().map(|one| overlap(&whole, one)).max().unwrap_or(0);
        self.held = whole.split_off(whole.len() - keep);
        Cut { text: whole, stop: None }
    }

    /// Returns the text that was held back. The text is at its end, or another block begins.
    pub(crate) fn flush(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Returns the length of the longest end of `text` that begins `sequence`.
fn overlap(text: &str, sequence: &str) -> usize {
    let most = text.len().min(sequence.len() - 1);
    let ends = (1..=most).rev();
    ends.into_iter()
        .find(|length| sequence.is_char_boundary(*length) && text.ends_with(&sequence[..*length]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(sequences: &[&str], pieces: &[&str]) -> (String, Option<String>) {
        let mut stops = Stops::new(sequences.iter().map(|one| (*one).to_owned()).collect());
        let mut text = String::new();
        for piece in pieces {
            let cut = stops.push((*piece).to_owned());
            text.push_str(&cut.text);
            if cut.stop.is_some() {
                return (text, cut.stop);
            }
        }
        text.push_str(&stops.flush());
        (text, None)
    }

    #[test]
    fn a_sequence_ends_the_text_wherever_pieces_cut_it() {
        let text = "one END two";
        for size in 1..=text.len() {
            let pieces: Vec<String> = text
                .as_bytes()
                .chunks(size)
                .map(|piece| String::from_utf8_lossy(piece).into())
                .collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            assert_eq!(cut(&["END"], &pieces), ("one ".to_owned(), Some("END".to_owned())));
        }
        assert_eq!(cut(&["é!"], &["caf", "é", "!", "x"]).0, "caf");
    }

    #[test]
    fn text_without_a_match_is_whole() {
        assert_eq!(cut(&["END", "ab"], &["EN", "a", "EN"]), ("ENaEN".to_owned(), None));
        assert_eq!(cut(&[], &["x"]), ("x".to_owned(), None));
        assert_eq!(cut(&[""], &["x"]), ("x".to_owned(), None));
    }

    #[test]
    fn the_first_of_several_sequences_counts() {
        assert_eq!(cut(&["c", "b"], &["abc"]), ("a".to_owned(), Some("b".to_owned())));
        assert_eq!(cut(&["b", "bc"], &["abc"]), ("a".to_owned(), Some("bc".to_owned())));
    }
}

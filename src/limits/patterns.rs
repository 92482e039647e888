//! Patterns with `*` and `?`, and whether two of them can match the same text.

/// Returns whether some text matches both of two patterns. `*` is any text, `?` any character.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    // row[j]: whether the rest of `one` overlaps the rest of `other` from j on
    let mut row: Vec<bool> =
        (0..=other.len()).map(|j| other[j..].iter().all(|c| *c == '*')).collect();
    for i in (0..one.len()).rev() {
        let mut next = vec![false; other.len() + 1];
        for j in (0..=other.len()).rev() {
            let at = other.get(j).copied();
            next[j] = match (one[i], at) {
                ('*', None) => row[j],
                ('*', Some(_)) => row[j] || next[j + 1],
                (_, Some('*')) => next[j + 1] || row[j],
                (_, None) => false,
                (a, Some(b)) => (a == b || a == '?' || b == '?') && row[j + 1],
            };
        }
        row = next;
    }
    row[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_patterns_overlap_if_a_text_matches_both() {
        for (one, other, expected) in [
            ("claude-opus-*", "*", true),
            ("claude-opus-*", "claude-*", true),
            ("claude-*", "claude-opus-4", true),
            ("gpt-*", "claude-*", false),
            ("gpt", "gpt", true),
            ("gpt", "gpt4", false),
            ("*-fast", "claude-*", true),
            ("a*b", "b*a", false),
            ("a*", "*b", true),
            ("", "*", true),
            ("gpt-?", "gpt-4", true),
            ("gpt-?", "gpt-", false),
        ] {
            assert_eq!(overlap(one, other), expected, "{one} {other}");
            assert_eq!(overlap(other, one), expected, "{other} {one}");
        }
    }
}

//! Reasoning items between two requests: the payload that travels in the signature of a thinking block.
use serde::{Deserialize, Serialize};

use super::body::{Summary, Thought};

/// The longest id that the server takes back.
const LONGEST_ID: usize = 64;
/// The text between two parts of a summary.
pub(super) const SEPARATOR: &str = "\n\n";

/// The part of a reasoning item that its text does not hold.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Payload {
    /// The item's id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) id: String,
    /// `encrypted_content`
    pub(super) e: String,
    /// The lengths of the parts of the summary in bytes.
    #[serde(default)]
    pub(super) n: Vec<usize>,
    /// The phase of the message after the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) phase: Option<String>,
}

impl Payload {
    /// Reads the payload of an envelope; `None` if the server gave none that it can read again.
    pub(super) fn read(json: &str) -> Option<Self> {
        serde_json::from_str::<Self>(json).ok().filter(|payload| !payload.e.is_empty())
    }

    /// Returns the payload as JSON; empty if the server gave none.
    pub(super) fn json(&self) -> String {
        // a struct of texts and numbers always serializes
        let json = || serde_json::to_string(self).unwrap_or_default();
        if self.e.is_empty() { String::new() } else { json() }
    }

    /// Returns the item with the text of its block.
    pub(super) fn item(self, text: &str) -> Thought {
        let summary = self.summary(text);
        let id = Some(self.id).filter(|id| id.starts_with("rs") && id.len() <= LONGEST_ID);
        Thought { id, summary, encrypted_content: self.e }
    }

    /// Returns the parts of the summary: a text that the client changed is one part.
    fn summary(&self, text: &str) -> Vec<Summary> {
        let mut parts = Vec::new();
        let mut rest = text;
        for (at, length) in self.n.iter().enumerate() {
            let next = if at == 0 { Some(rest) } else { rest.strip_prefix(SEPARATOR) };
            let Some((part, after)) = next.and_then(|next| next.split_at_checked(*length)) else {
                break;
            };
            parts.push(Summary { text: part.to_owned() });
            rest = after;
        }
        match (text.is_empty(), rest.is_empty() && parts.len() == self.n.len()) {
            (true, _) => Vec::new(),
            (false, true) => parts,
            // text of `content` is none of the summary
            (false, false) if self.n.is_empty() => Vec::new(),
            (false, false) => vec![Summary { text: text.to_owned() }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(n: &[usize], text: &str) -> Vec<String> {
        let payload = Payload { n: n.to_vec(), ..Payload::default() };
        payload.summary(text).into_iter().map(|part| part.text).collect()
    }

    #[test]
    fn the_parts_of_a_summary_come_back_from_their_lengths() {
        assert_eq!(parts(&[4, 5], "One.\n\nTwo\u{e9}"), ["One.", "Two\u{e9}"]);
        assert_eq!(parts(&[2, 1], "\n\n\n\nx"), ["\n\n", "x"]);
        assert_eq!(parts(&[3], ""), [""; 0]);
        assert_eq!(parts(&[], "raw reasoning"), [""; 0]);
    }

    #[test]
    fn a_summary_that_the_client_changed_is_one_part() {
        for (n, text) in [(&[4, 4][..], "One.\n\nTw"), (&[1], "\u{e9}"), (&[1, 1], "a\n\nb!")] {
            assert_eq!(parts(n, text), [text]);
        }
    }

    #[test]
    fn an_id_that_the_server_would_refuse_is_left_out() {
        for id in ["", "x1", &"rs_".repeat(30)] {
            let payload = Payload { id: id.to_owned(), ..Payload::default() };
            assert_eq!(payload.item("").id, None);
        }
        let payload = Payload { id: "rs_1".to_owned(), ..Payload::default() };
        assert_eq!(payload.item("").id.as_deref(), Some("rs_1"));
    }
}

//! The answers that the checks have prepared for the test upstream, found again by a mark in the request's text.
use std::collections::HashMap;

use bytes::Bytes;
use memchr::memmem;
use parking_lot::Mutex;

use crate::cli::conform::play::Play;

/// The beginning of every mark. A gateway keeps the text of a message, so the mark reaches the upstream.
const PREFIX: &str = "conform-mark-";
/// The hexadecimal digits of a mark.
const DIGITS: usize = 16;

/// A request as the test upstream received it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// The method.
    pub method: String,
    /// The path with its query.
    pub target: String,
    /// The headers in their order.
    pub headers: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Bytes,
}

impl Seen {
    /// Returns the values of a header.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let found = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).collect()
    }

    /// Returns the first value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }
}

#[derive(Debug)]
struct Entry {
    play: Play,
    seen: Vec<Seen>,
}

/// The prepared answers, by their marks.
#[derive(Debug, Default)]
pub(super) struct Stage(Mutex<HashMap<String, Entry>>);

impl Stage {
    /// Prepares the answer for requests with this mark.
    pub(super) fn prepare(&self, mark: &str, play: Play) {
        self.0.lock().insert(mark.to_owned(), Entry { play, seen: Vec::new() });
    }

    /// Records a request, and returns the answer that is prepared for it.
    pub(super) fn receive(&self, seen: Seen) -> Option<Play> {
        let mark = mark_in(&seen.body)?;
        let mut entries = self.0.lock();
        let entry = entries.get_mut(&mark)?;
        entry.seen.push(seen);
        Some(entry.play.clone())
    }

    /// Returns the requests with this mark so far.
    pub(super) fn seen(&self, mark: &str) -> Vec<Seen> {
        self.0.lock().get(mark).map(|entry| entry.seen.clone()).unwrap_or_default()
    }
}

/// Returns a mark.
pub(super) fn mark(run: u32, number: u32) -> String {
    format!("{PREFIX}{run:08x}{number:08x}")
}

/// Finds the last mark: the newest message decides.
fn mark_in(body: &[u8]) -> Option<String> {
    let at = memmem::rfind(body, PREFIX.as_bytes())?;
    let mark = body.get(at..at + PREFIX.len() + DIGITS)?;
    String::from_utf8(mark.to_vec()).ok()
}

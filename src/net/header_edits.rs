//! Edits of headers, collected before the headers exist.
use http::{HeaderMap, HeaderName, HeaderValue};

/// Headers to set or to remove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderEdits(Vec<(HeaderName, Option<HeaderValue>)>);

impl HeaderEdits {
    /// Adds an edit; it overrides earlier edits of the same name. Without a value it removes the header.
    pub fn push(&mut self, name: HeaderName, value: Option<HeaderValue>) {
        self.0.push((name, value));
    }

    /// Returns whether there is no edit.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the edits in order; an edit without a value removes the header.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, Option<&HeaderValue>)> {
        self.0.iter().map(|(name, value)| (name, value.as_ref()))
    }

    /// Applies the edits.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.0 {
            match value {
                Some(value) => headers.insert(name, value.clone()),
                None => headers.remove(name),
            };
        }
    }

    /// Adds later edits.
    pub fn extend(&mut self, later: Self) {
        self.0.extend(later.0);
    }
}

//! A search result, and the selection of the results to return.
use std::collections::BTreeSet;

use serde_json::Value;
use tidegate_sdk::prelude::*;
use url::Url;

use crate::domains::Domains;

const MAX_TITLE: usize = 300;
const MAX_SNIPPET: usize = 1_000;

/// A search result, independent of the backend's names for its parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The title, without markup.
    pub title: String,
    /// The URL, with `http:` or `https:`.
    pub url: String,
    /// The date of the page, as the backend reports it.
    pub page_age: Option<String>,
    /// A part of the page's text, without markup.
    pub snippet: String,
}

/// JSON pointers to the parts of a result.
pub struct Pointers<'a> {
    pub title: &'a str,
    pub url: &'a str,
    pub page_age: &'a str,
    pub snippet: &'a str,
}

impl Found {
    /// Reads the result at the pointers. Returns `None` if it has no URL.
    pub fn read(value: &Value, pointers: &Pointers<'_>) -> Option<Self> {
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
        let date = value.pointer(pointers.page_age).and_then(|date| match date {
            Value::String(date) => Some(date.clone()).filter(|date| !date.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        });
        Some(Self {
            title: bare(text(pointers.title).unwrap_or_default(), MAX_TITLE),
            url: text(pointers.url)?.to_owned(),
            page_age: date,
            snippet: bare(text(pointers.snippet).unwrap_or_default(), MAX_SNIPPET),
        })
    }
}

/// Returns the results within the domains, each page once. The backends receive the domains too,
/// but may ignore them.
pub fn sift(found: Vec<Found>, domains: &Domains, wanted: usize) -> Vec<Found> {
    let mut seen = BTreeSet::new();
    let shown = found.into_iter().filter(|found| {
        let url = Url::parse(&found.url).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
        url.is_some_and(|url| domains.permits(&url) && seen.insert(String::from(url)))
    });
    shown.take(wanted).collect()
}

/// Returns the text without tags, entities and runs of spaces.
fn bare(text: &str, most: usize) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        plain.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        let is_tag = behind.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
        rest = match behind.find('>').filter(|_| is_tag) {
            Some(end) => &behind[end + 1..],
            None => {
                plain.push('<');
                behind
            }
        };
    }
    plain.push_str(rest);
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#x27;", "'"),
        ("&#39;", "'"),
        ("&nbsp;", " "),
        ("&amp;", "&"),
    ];
    for (entity, character) in entities {
        plain = plain.replace(entity, character);
    }
    let words: Vec<_> = plain.split_whitespace().collect();
    words.join(" ").chars().take(most).collect()
}

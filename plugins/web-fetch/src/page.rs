//! The text of a response, by its type.
use std::borrow::Cow;

use tidegate_sdk::{Problem, Result, http};
use url::Url;

use crate::charset::{self, End, decode};
use crate::cut::Window;
use crate::html::{self, Parsed, Patience, Refresh, Syntax, Wordless, parse_refresh};
use crate::media::{Look, Media, is_html, look};
use crate::pdf;

/// The longest reference to a character, in bytes.
const MAX_REFERENCE: usize = 40;

/// The parts of a page that the model receives.
pub struct Page {
    /// The title, if the page has one.
    pub title: Option<String>,
    /// The content type without parameters.
    pub content_type: String,
    /// The text: HTML as Markdown, any other text unchanged.
    pub window: Window,
    /// The address to which the page sends its readers.
    pub refresh: Option<Refresh>,
    /// The reason why the page has no words.
    pub wordless: Option<Wordless>,
    /// The page is too large, and this is its beginning.
    pub is_beginning: bool,
}

enum Sort {
    Html(Syntax),
    /// XML that is HTML if its root says so.
    Xml,
    Pdf,
    Text,
}

/// Reads a response as far as a window needs it. Fails with `unsupported_content_type` if its type
/// has no text.
pub fn read(mut answer: http::Response, at: &Url, window: Window) -> Result<Page> {
    let media = Media::of(&answer);
    let (content_type, sort) = sort(&media.essence, &answer.body)?;
    let end = if answer.truncated { End::Cut } else { End::Whole };
    let is_beginning = answer.truncated;
    let mut page =
        Page { title: None, content_type, window, refresh: None, wordless: None, is_beginning };
    let label = media.charset.as_deref();
    match sort {
        Sort::Html(syntax) => {
            let sort = match syntax {
                Syntax::Html => charset::Sort::Html,
                Syntax::Xml => charset::Sort::Xml,
            };
            let parsed = parse(std::mem::take(&mut answer.body), label, sort, end);
            page.take(html::read(parsed, at, page.window.clone()));
            let header = answer.header("refresh");
            let header = header.and_then(|content| parse_refresh(content, at, Patience::Short));
            page.refresh = header.or(page.refresh);
        }
        Sort::Xml => {
            let text = decode(&answer.body, label, charset::Sort::Xml, end);
            match is_html(&text) {
                true => {
                    let parsed = html::parse(&text, Syntax::Xml);
                    page.take(html::read(parsed, at, page.window.clone()));
                }
                false => page.window.push(&text),
            }
        }
        Sort::Text => page.window.push(&decode(&answer.body, label, charset::Sort::Plain, end)),
        Sort::Pdf => {
            let read = pdf::read(answer.body, end)?;
            page.window.push(&read.text);
            (page.title, page.is_beginning) = (read.title, read.is_beginning);
        }
    }
    Ok(page)
}

impl Page {
    fn take(&mut self, read: html::Read) {
        (self.title, self.window) = (read.title, read.window);
        (self.refresh, self.wordless) = (read.refresh, read.wordless);
    }
}

/// Parses the bytes of a page. Each form of the page is dropped as soon as the next one is there.
fn parse(body: Vec<u8>, label: Option<&str>, sort: charset::Sort, end: End) -> Parsed {
    let syntax = match sort {
        charset::Sort::Xml => Syntax::Xml,
        _ => Syntax::Html,
    };
    let text = match decode(&body, label, sort, end) {
        Cow::Borrowed(text) => return html::parse(whole_references(text, end), syntax),
        Cow::Owned(text) => text,
    };
    drop(body);
    html::parse(whole_references(&text, end), syntax)
}

/// Returns a cut text without a reference such as `&eacu` at its end.
fn whole_references(text: &str, end: End) -> &str {
    if end == End::Whole {
        return text;
    }
    let from = text.len().saturating_sub(MAX_REFERENCE);
    match text.as_bytes()[from..].iter().rposition(|byte| *byte == b'&') {
        Some(at) if !text[from + at..].contains([';', ' ', '<', '\n']) => &text[..from + at],
        _ => text,
    }
}

fn sort(named: &str, body: &[u8]) -> Result<(String, Sort)> {
    let sort = match named {
        "text/html" => Sort::Html(Syntax::Html),
        "application/xhtml+xml" => Sort::Html(Syntax::Xml),
        "application/pdf" | "application/x-pdf" => Sort::Pdf,
        // no type, or the type that servers send for unknown files
        "" | "application/octet-stream" | "binary/octet-stream" => {
            let (name, sort) = match look(body) {
                Look::Html => ("text/html", Sort::Html(Syntax::Html)),
                Look::Pdf => ("application/pdf", Sort::Pdf),
                Look::Text => ("text/plain", Sort::Text),
                Look::Other => return Err(unsupported(named)),
            };
            return Ok((name.to_owned(), sort));
        }
        "text/xml" | "application/xml" => Sort::Xml,
        _ if named.ends_with("+xml") && is_text(named) => Sort::Xml,
        _ if is_text(named) => Sort::Text,
        _ => return Err(unsupported(named)),
    };
    Ok((named.to_owned(), sort))
}

fn is_text(named: &str) -> bool {
    let subtypes = [
        "json",
        "xml",
        "javascript",
        "ecmascript",
        "x-javascript",
        "ndjson",
        "x-ndjson",
        "jsonl",
        "yaml",
        "x-yaml",
        "toml",
        "csv",
        "sql",
        "x-sh",
        "rtf",
        "graphql",
        "x-tex",
        "x-subrip",
    ];
    match named.split_once('/') {
        Some(("text", _)) => true,
        Some(("application", sub)) => {
            subtypes.contains(&sub) || sub.ends_with("+json") || sub.ends_with("+xml")
        }
        // an image, but in a text format
        _ => named == "image/svg+xml" || named.starts_with("message/"),
    }
}

fn unsupported(named: &str) -> Problem {
    let shown: String = named.chars().take(80).collect();
    let message = match shown.is_empty() {
        true => "the site's response has no text".to_owned(),
        false => format!("`{shown}` is not supported: expected a page, a text or a PDF file"),
    };
    Problem::new("unsupported_content_type", message)
}

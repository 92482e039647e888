//! The type of a response, and its text.
use tidegate_sdk::{Problem, Result, http};
use url::Url;

use crate::{charset, html, pdf};

/// The parts of a page that the model receives.
pub struct Page {
    /// The title, if the page has one.
    pub title: Option<String>,
    /// The content type without parameters.
    pub content_type: String,
    /// The text: HTML as Markdown, any other text unchanged.
    pub text: String,
}

enum Sort {
    Html,
    Pdf,
    Text,
}

/// Reads a response. Fails with `unsupported_content_type` if its type has no text.
pub fn read(answer: &http::Response, at: &Url) -> Result<Page> {
    let header = answer.header("content-type").unwrap_or_default();
    let named = header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (content_type, sort) = sort(&named, &answer.body)?;
    let (title, text) = match sort {
        Sort::Html => html::read(&charset::decode(&answer.body, header), at),
        Sort::Pdf => pdf::read(&answer.body, answer.truncated)?,
        Sort::Text => (None, charset::decode(&answer.body, header)),
    };
    Ok(Page { title, content_type, text })
}

fn sort(named: &str, body: &[u8]) -> Result<(String, Sort)> {
    let sort = match named {
        "text/html" | "application/xhtml+xml" => Sort::Html,
        "application/pdf" | "application/x-pdf" => Sort::Pdf,
        // no type, or the type that servers send for unknown files
        "" | "application/octet-stream" | "binary/octet-stream" => return sniffed(named, body),
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

fn sniffed(named: &str, body: &[u8]) -> Result<(String, Sort)> {
    let start = body[..body.len().min(512)].trim_ascii_start();
    let begins = |what: &str| {
        start.len() >= what.len() && start[..what.len()].eq_ignore_ascii_case(what.as_bytes())
    };
    let found = |content_type: &str, sort| Ok((content_type.to_owned(), sort));
    if begins("%PDF-") {
        found("application/pdf", Sort::Pdf)
    } else if begins("<!doctype html") || begins("<html") {
        found("text/html", Sort::Html)
    } else if std::str::from_utf8(body).map_or_else(|e| e.error_len().is_none(), |_| true)
        && !body.contains(&0)
    {
        found("text/plain", Sort::Text)
    } else {
        Err(unsupported(named))
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

//! The media type of a response, by its headers or by its first bytes.
use encoding_rs::Encoding;
use tidegate_sdk::http;

/// The bytes at which a body is looked at.
const LOOK: usize = 4 << 10;
/// The tags with which a page begins if its type is unknown, by the standard of MIME sniffing.
const STARTS: [&str; 20] = [
    "!doctype html",
    "html",
    "head",
    "script",
    "iframe",
    "h1",
    "div",
    "font",
    "table",
    "a",
    "style",
    "title",
    "b",
    "body",
    "br",
    "p",
    "meta",
    "link",
    "main",
    "article",
];

/// A media type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Media {
    /// Type and subtype in lower case; empty if there is none.
    pub essence: String,
    /// The `charset`.
    pub charset: Option<String>,
}

impl Media {
    /// Returns the type that the headers of a response name. Of several types the last valid one
    /// counts; it takes the charset over from one of the same type before it.
    pub fn of(answer: &http::Response) -> Self {
        let is_type = |name: &str| name.eq_ignore_ascii_case("content-type");
        let headers = answer.headers.iter().filter(|(name, _)| is_type(name));
        let mut found = Self::default();
        for value in headers.flat_map(|(_, value)| parts(value, ',')) {
            let Some(media) = Self::parse(value) else { continue };
            let is_same = media.essence == found.essence;
            let charset = media.charset.or(found.charset.filter(|_| is_same));
            found = Self { charset, essence: media.essence };
        }
        found
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = parts(text, ';');
        let essence = parts.next()?.trim().to_ascii_lowercase();
        let (group, sub) = essence.split_once('/')?;
        let is_token = |text: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            !text.is_empty() && text.chars().all(fits)
        };
        if !is_token(group) || !is_token(sub) || essence == "*/*" {
            return None;
        }
        let mut pairs = parts.filter_map(|pair| pair.split_once('='));
        let charset = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
        let charset = charset.map(|(_, value)| unquoted(value.trim()));
        Some(Self { charset: charset.filter(|value| !value.is_empty()), essence })
    }
}

/// Splits a header at a sign outside of quotes.
fn parts(text: &str, sign: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |c| {
        let ends = c == sign && !is_quoted;
        is_quoted ^= c == '"' && !is_escaped;
        is_escaped = c == '\\' && is_quoted && !is_escaped;
        ends
    })
}

fn unquoted(value: &str) -> String {
    let value = value.trim_matches('\'');
    let Some(within) = value.strip_prefix('"') else { return value.to_owned() };
    let mut text = String::new();
    let mut chars = within.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => text.extend(chars.next()),
            c => text.push(c),
        }
    }
    text.trim().to_owned()
}

/// The look of a body of an unknown type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Html,
    Pdf,
    Text,
    Other,
}

/// Returns the look of a body.
pub fn look(body: &[u8]) -> Look {
    if body.trim_ascii_start().starts_with(b"%PDF-") {
        return Look::Pdf;
    }
    let start = &body[..body.len().min(LOOK)];
    let text = match Encoding::for_bom(body) {
        Some((encoding, skipped)) => encoding.decode_without_bom_handling(&start[skipped..]).0,
        None if is_binary(body) => return Look::Other,
        None => String::from_utf8_lossy(start),
    };
    let text = text.trim_start();
    let is_page = text.starts_with("<!--") || is_html(text) || begins_page(text);
    if is_page { Look::Html } else { Look::Text }
}

/// Returns whether the root of a page, after comments and declarations, is `html`.
pub fn is_html(text: &str) -> bool {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        let end = match () {
            () if rest.starts_with("<!--") => "-->",
            () if rest.starts_with("<?") => "?>",
            () => break,
        };
        let Some(at) = rest.find(end) else { return false };
        rest = rest[at + end.len()..].trim_start();
    }
    let Some(tag) = rest.strip_prefix('<') else { return false };
    let name = tag.split(|c: char| c.is_whitespace() || matches!(c, '>' | '/' | '[')).next();
    let name = name.unwrap_or_default();
    if name.eq_ignore_ascii_case("!doctype") {
        let root = tag[name.len()..].trim_start();
        let end = root.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(root.len());
        return root[..end].eq_ignore_ascii_case("html");
    }
    let local = name.rsplit(':').next().unwrap_or_default();
    local.eq_ignore_ascii_case("html")
}

fn begins_page(text: &str) -> bool {
    let Some(tag) = text.strip_prefix('<') else { return false };
    STARTS.iter().any(|start| {
        let name = tag.get(..start.len());
        let after = tag.get(start.len()..).and_then(|after| after.chars().next());
        name.is_some_and(|name| name.eq_ignore_ascii_case(start))
            && after.is_none_or(|c| c.is_whitespace() || c == '>')
    })
}

/// Returns whether a body has control characters that no text has.
fn is_binary(body: &[u8]) -> bool {
    let start = &body[..body.len().min(LOOK)];
    let is_control = |byte: &u8| matches!(byte, 0..=8 | 11 | 14..=26 | 28..=31);
    start.iter().any(is_control) || body.contains(&0)
}

//! A refresh: a page that sends its readers to another address.
use url::Url;

use crate::html::facts::Facts;

/// The longest wait, in seconds, before a page with words sends its readers on.
const MAX_SECONDS: u64 = 10;

/// The address of a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refresh {
    pub(crate) to: Url,
}

/// Returns the place to which a page sends its readers. A page without words may do so for readers
/// without scripts, and after any time.
pub(super) fn find(facts: &Facts, base: &Url, patience: Patience) -> Option<Refresh> {
    let plain = facts.plain_refresh.as_deref().filter(|_| patience == Patience::Any);
    let mut contents = [facts.refresh.as_deref(), plain].into_iter().flatten();
    contents.find_map(|content| parse(content, base, patience))
}

/// The waits after which a refresh is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Short ones: the page has words to read meanwhile.
    Short,
    /// All.
    Any,
}

/// Parses the content of a refresh by the rules of the HTML standard. Returns `None` if it names
/// no other page.
pub(crate) fn parse(content: &str, base: &Url, patience: Patience) -> Option<Refresh> {
    let content = content.trim_start_matches(is_space);
    let end = content.find(|c: char| !c.is_ascii_digit()).unwrap_or(content.len());
    let (seconds, rest) = content.split_at(end);
    if seconds.is_empty() && !rest.starts_with('.') {
        return None;
    }
    let is_soon = seconds.is_empty() || seconds.parse().is_ok_and(|wait: u64| wait <= MAX_SECONDS);
    if !is_soon && patience == Patience::Short {
        return None;
    }
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let after = rest.trim_start_matches(is_space);
    if after.len() == rest.len() && !after.starts_with([';', ',']) {
        return None;
    }
    let after = after.strip_prefix([';', ',']).unwrap_or(after).trim_start_matches(is_space);
    let address = quoted(named(after));
    let address = address.trim_matches(is_space);
    let to = base.join(address).ok()?;
    let is_page = matches!(to.scheme(), "http" | "https");
    (!address.is_empty() && is_page).then_some(Refresh { to })
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}')
}

/// Returns the address without `url=`.
fn named(text: &str) -> &str {
    let Some(start) = text.get(..3).filter(|start| start.eq_ignore_ascii_case("url")) else {
        return text;
    };
    let after = text[start.len()..].trim_start_matches(is_space);
    after.strip_prefix('=').map_or(text, |address| address.trim_start_matches(is_space))
}

/// Returns the address within its quotes.
fn quoted(text: &str) -> &str {
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) else { return text };
    let within = &text[1..];
    within.find(quote).map_or(within, |end| &within[..end])
}

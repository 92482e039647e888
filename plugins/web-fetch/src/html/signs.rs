//! Signs in the attributes of an element: hidden, beside the page's own text, the language of code.
use std::borrow::Cow;

use crate::html::names::Kind;
use crate::html::tape;
use crate::html::tokens::Tag;

/// The words in classes and ids of parts that are not the page's own text.
const UNLIKELY: [&str; 30] = [
    "ad",
    "ads",
    "advert",
    "advertisement",
    "banner",
    "breadcrumb",
    "breadcrumbs",
    "consent",
    "cookie",
    "cookies",
    "footer",
    "gdpr",
    "menu",
    "modal",
    "nav",
    "navbar",
    "navigation",
    "newsletter",
    "pager",
    "pagination",
    "popup",
    "promo",
    "related",
    "share",
    "sharing",
    "sidebar",
    "social",
    "sponsor",
    "sponsored",
    "subscribe",
];
/// The languages whose bare name is a class of code.
const LANGUAGES: [&str; 44] = [
    "bash",
    "c",
    "clojure",
    "console",
    "cpp",
    "cs",
    "csharp",
    "css",
    "dart",
    "diff",
    "dockerfile",
    "elixir",
    "erlang",
    "go",
    "graphql",
    "haskell",
    "html",
    "ini",
    "java",
    "javascript",
    "js",
    "json",
    "julia",
    "kotlin",
    "lua",
    "makefile",
    "matlab",
    "perl",
    "php",
    "powershell",
    "python",
    "r",
    "ruby",
    "rust",
    "scala",
    "sh",
    "shell",
    "sql",
    "swift",
    "toml",
    "ts",
    "typescript",
    "xml",
    "yaml",
];
/// The classes of the column of line numbers beside code.
const GUTTERS: [&str; 10] = [
    "gutter",
    "linenos",
    "lineno",
    "linenumber",
    "line-number",
    "line-numbers-rows",
    "blob-num",
    "hljs-ln-numbers",
    "lnt",
    "rouge-gutter",
];
/// The classes of links from a heading to itself.
const ANCHORS: [&str; 6] =
    ["headerlink", "anchorjs-link", "anchor-link", "header-anchor", "heading-anchor", "hash-link"];

/// Returns all flags that the attributes of an element say.
pub(super) fn all(tag: &Tag, kind: Kind) -> u8 {
    if tag.is_bare() {
        return 0;
    }
    let around = if is_around(tag) { tape::AROUND } else { 0 };
    let unlikely = if kind != Kind::Inline && is_unlikely(tag) { tape::UNLIKELY } else { 0 };
    flags(tag) | around | unlikely
}

/// Returns how the page hides an element.
pub(super) fn flags(tag: &Tag) -> u8 {
    if tag.is_bare() {
        return 0;
    }
    let hidden = tag.get("hidden").is_some_and(|value| !value.eq_ignore_ascii_case("until-found"));
    if hidden && tag.get("id").is_some_and(|id| id.starts_with("S:")) {
        return tape::STREAMED;
    }
    let is_mute = || tag.get("aria-hidden").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let is_styled = || {
        tag.get("style").is_some_and(|style| {
            let style: String = style.chars().filter(|c| !c.is_whitespace()).collect();
            let style = style.to_ascii_lowercase();
            style.contains("display:none") || style.contains("visibility:hidden")
        })
    };
    let is_anchor =
        || &tag.name[..] == b"a" && classes(tag).split_whitespace().any(|c| ANCHORS.contains(&c));
    match hidden || is_mute() || is_styled() || is_anchor() {
        true => tape::HIDDEN,
        false => 0,
    }
}

fn classes(tag: &Tag) -> Cow<'_, str> {
    tag.get("class").unwrap_or_default()
}

/// Returns whether the role of an element leads to other pages.
fn is_around(tag: &Tag) -> bool {
    let role = tag.get("role").unwrap_or_default();
    ["navigation", "contentinfo", "banner", "search", "complementary"]
        .iter()
        .any(|around| role.eq_ignore_ascii_case(around))
}

/// Returns whether the role of an element says that it is the page's own text.
pub(super) fn is_main(tag: &Tag) -> bool {
    tag.get("role").is_some_and(|role| role.eq_ignore_ascii_case("main"))
}

/// Returns whether a table says that it arranges blocks.
pub(super) fn arranges(tag: &Tag) -> bool {
    let role = tag.get("role").unwrap_or_default();
    role.eq_ignore_ascii_case("presentation") || role.eq_ignore_ascii_case("none")
}

/// Returns whether a class or the id says that an element is beside the page's own text.
fn is_unlikely(tag: &Tag) -> bool {
    ["class", "id"].iter().filter_map(|name| tag.get(name)).any(|names| {
        let words = names.split(|c: char| !c.is_ascii_alphanumeric());
        words
            .into_iter()
            .any(|word| UNLIKELY.iter().any(|unlikely| unlikely.eq_ignore_ascii_case(word)))
    })
}

/// Returns whether an element has the line numbers of code.
pub(super) fn is_gutter(tag: &Tag) -> bool {
    tag.has("class") && classes(tag).split_whitespace().any(|class| GUTTERS.contains(&class))
}

/// Returns the language that an element names for code.
pub(super) fn language(tag: &Tag) -> Option<String> {
    if tag.is_bare() {
        return None;
    }
    if let Some(named) = tag.first(&["data-lang", "data-language"]) {
        return clean(&named);
    }
    let classes = classes(tag);
    let mut words = classes.split(|c: char| c.is_whitespace() || c == ';');
    let mut is_of_code = false;
    let mut others = Vec::new();
    while let Some(word) = words.next() {
        let starts = ["language-", "lang-", "highlight-source-", "highlight-text-", "brush:"];
        let prefix = starts.iter().find_map(|start| word.strip_prefix(start));
        if let Some(named) = prefix {
            let next = if named.is_empty() { words.next().unwrap_or_default() } else { named };
            return clean(next);
        }
        if let Some(named) = word.strip_prefix("highlight-") {
            return clean(named);
        }
        match word {
            "sourceCode" | "hljs" | "highlight" | "codehilite" | "prettyprint" => is_of_code = true,
            "" => {}
            other => others.push(other),
        }
    }
    let is_code = matches!(&tag.name[..], b"pre" | b"code");
    match others.as_slice() {
        [only] if is_of_code => clean(only),
        [first, ..] if is_code && LANGUAGES.contains(first) => clean(first),
        _ if &tag.name[..] == b"pre" => tag.get("lang").and_then(|named| clean(&named)),
        _ => None,
    }
}

/// Returns a name that may follow a fence.
fn clean(named: &str) -> Option<String> {
    let named = named.trim().to_ascii_lowercase();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '#' | '-' | '_' | '.');
    let is_none =
        matches!(&named[..], "" | "none" | "default" | "plain" | "plaintext" | "nohighlight");
    let is_fit = named.len() <= 32 && named.chars().all(is_name);
    (is_fit && !is_none && !matches!(&named[..], "notranslate" | "linenums")).then_some(named)
}

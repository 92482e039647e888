//! Pages without words: why a reader without scripts finds none, and where else to look.
use url::Url;

use crate::html::facts::Facts;
use crate::html::pick::{Part, Parts, count};
use crate::html::tape::{Record, Tape};

/// The most visible characters of a page that waits for its scripts.
const MAX_WAITING: usize = 120;
/// The most visible characters of a page that asks for scripts.
const MAX_NOTICE: usize = 300;
/// The fewest characters of a text for readers without scripts.
const MIN_PLAIN: usize = 40;

/// The texts that stand in for a page until its scripts run.
const WAITING: [&str; 16] = [
    "loading",
    "loading app",
    "loading page",
    "loading content",
    "please wait",
    "one moment",
    "just a moment",
    "redirecting",
    "you are being redirected",
    "initializing",
    "initialising",
    "starting",
    "checking your browser",
    "verifying you are human",
    "wait",
    "processing",
];

/// The texts that ask for scripts.
const NOTICES: [&str; 26] = [
    "enable javascript",
    "enable java script",
    "javascript is required",
    "javascript is disabled",
    "javascript is not enabled",
    "javascript is not available",
    "javascript must be enabled",
    "javascript required",
    "requires javascript",
    "need javascript",
    "turn on javascript",
    "activate javascript",
    "javascript to run",
    "without javascript",
    "javascript aktivieren",
    "aktivieren sie javascript",
    "aktiviere javascript",
    "activer javascript",
    "activez javascript",
    "activar javascript",
    "habilitar javascript",
    "habilite javascript",
    "attivare javascript",
    "включите javascript",
    "javascriptを有効",
    "启用javascript",
];

/// The reason why a page has no words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wordless {
    /// The reason, and the addresses that may have the words.
    pub(crate) message: String,
}

/// Returns why a page has no words, if it has none. A page for readers without scripts is a page
/// with words: its parts become the page's own.
pub(super) fn reason(
    tape: &Tape,
    facts: &Facts,
    parts: &mut Parts,
    base: &Url,
) -> Option<Wordless> {
    let shown = parts.sample.trim();
    let is_dot = |c: char| matches!(c, '.' | '…' | '·' | '•' | '|' | '-' | '–' | '—' | '\u{200b}');
    let has_words = !shown.trim_matches(is_dot).trim().is_empty();
    let is_scripted = facts.has_scripts || !parts.streamed.is_empty();
    let goes_on = shown.ends_with('…') || shown.ends_with("...");
    let may_wait = (is_scripted || goes_on) && parts.chars < MAX_WAITING;
    let is_waiting = may_wait && is_waiting(shown);
    let is_notice = is_scripted && parts.chars < MAX_NOTICE && is_notice(shown);
    if (has_words && !is_waiting && !is_notice) || (!has_words && parts.pictures > 0) {
        return None;
    }
    if let Some(part) = plain(tape, &parts.plain) {
        parts.own = part;
        return None;
    }
    let mut message = cause(tape, facts, parts, base);
    if has_words {
        message.push_str(&format!(" Its visible text is only `{shown}`."));
    }
    if let Some(title) = facts.title() {
        message.push_str(&format!(" Its title is `{title}`."));
    }
    if let Some(description) = &facts.description {
        message.push_str(&format!(" It describes itself: `{description}`."));
    }
    if !facts.others.is_empty() {
        let others = addresses(&facts.others, base);
        message.push_str(&format!(" It names other forms of its content: {others}."));
    }
    Some(Wordless { message })
}

fn cause(tape: &Tape, facts: &Facts, parts: &Parts, base: &Url) -> String {
    let hidden = parts.streamed.iter().chain(&parts.hidden);
    let hidden: usize = hidden.map(|part| words(tape, *part)).sum();
    if !facts.frames.is_empty() {
        let frames = addresses(&facts.frames, base);
        return format!("the page has no words of its own, only frames: fetch one of {frames}.");
    }
    if hidden > 0 && (facts.has_scripts || facts.is_streamed) {
        return "the page's text is in hidden parts, which only its scripts show: it follows."
            .to_owned();
    }
    if facts.has_scripts {
        return "the page shows its text by scripts (JavaScript), which this tool does not run: \
            look for another address with the same content, such as an API, a feed or a \
            printable version."
            .to_owned();
    }
    match hidden > 0 {
        true => "the page hides its text, which follows.".to_owned(),
        false if parts.chars > 0 => {
            "the page has no text yet, only one that stands in for it.".to_owned()
        }
        false => "the page is empty: it has no words, no pictures and no frames.".to_owned(),
    }
}

/// Returns the longest text for readers without scripts, unless it only asks for scripts.
fn plain(tape: &Tape, parts: &[Part]) -> Option<Part> {
    let longest = parts.iter().max_by_key(|part| words(tape, **part))?;
    let mut sample = String::new();
    for text in texts(tape, *longest) {
        sample.push_str(text);
        if sample.len() > 2 * MAX_NOTICE {
            break;
        }
    }
    let chars = words(tape, *longest);
    let is_notice = chars < MAX_NOTICE && is_notice(&sample);
    (chars >= MIN_PLAIN && !is_notice).then_some(*longest)
}

fn texts(tape: &Tape, part: Part) -> impl Iterator<Item = &str> {
    tape.read(part.from, part.to).filter_map(|record| match record {
        Record::Text { text, .. } => Some(text),
        _ => None,
    })
}

fn words(tape: &Tape, part: Part) -> usize {
    texts(tape, part).map(count).sum()
}

fn is_waiting(shown: &str) -> bool {
    let words = shown.to_lowercase();
    let words: Vec<_> =
        words.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let words = words.join(" ");
    // such as "Loading… Please wait"
    let mut rest = &words[..];
    while !rest.is_empty() {
        let longest = WAITING.iter().filter_map(|text| rest.strip_prefix(text));
        let longest = longest.filter(|rest| rest.is_empty() || rest.starts_with(' '));
        let Some(next) = longest.min_by_key(|rest| rest.len()) else { return false };
        rest = next.trim_start();
    }
    !words.is_empty()
}

fn is_notice(shown: &str) -> bool {
    let shown = shown.to_lowercase();
    NOTICES.iter().any(|notice| shown.contains(notice))
}

fn addresses(list: &[String], base: &Url) -> String {
    let urls = list.iter().filter_map(|address| base.join(address).ok());
    let urls = urls.filter(|url| matches!(url.scheme(), "http" | "https"));
    let urls: Vec<_> = urls.map(|url| format!("`{url}`")).collect();
    urls.join(", ")
}

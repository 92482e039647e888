//! `robots.txt` (RFC 9309), for operators who enable it.
use tidegate_sdk::{Problem, Result, host, http};
use url::{Origin, Url};

use crate::domains::Domains;
use crate::hops::Way;
use crate::problems::not_permitted;

/// The largest size in bytes that crawlers have to read.
const MAX_BYTES: u32 = 500 << 10;
/// The seconds for which the rules of a site are kept.
const KEPT_SECONDS: u32 = 3600;

/// Fails with `url_not_allowed` if the site's rules exclude this agent from the page, or if the
/// rules are at an address that the tool may not fetch.
pub fn check(url: &Url, agent: &str, domains: &Domains) -> Result<()> {
    let origin = url.origin();
    if !matches!(origin, Origin::Tuple(..)) || url.path() == "/robots.txt" {
        return Ok(());
    }
    let origin = origin.ascii_serialization();
    let product: String =
        agent.chars().take_while(|c| c.is_ascii_alphabetic() || matches!(c, '-' | '_')).collect();
    let key = format!("robots:{origin}");
    let rules = match host::kv_get(&key).and_then(|kept| String::from_utf8(kept).ok()) {
        Some(kept) => kept,
        None => {
            let rules = relevant(&fetch(url, agent, domains)?, &product);
            // without a store, every call fetches the rules
            let _ = host::kv_set(&key, rules.as_bytes(), Some(KEPT_SECONDS));
            rules
        }
    };
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    match permits(&rules, &path) {
        true => Ok(()),
        false => Err(Problem::new(
            "url_not_allowed",
            format!("the `robots.txt` of `{origin}` keeps this page from automatic readers"),
        )),
    }
}

/// Fetches the rules of a site. A site without rules allows everything. Fails if the site has a
/// server error, so that the tool leaves its pages alone.
fn fetch(page: &Url, agent: &str, domains: &Domains) -> Result<String> {
    let origin = page.origin().ascii_serialization();
    let failed = |problem: Problem| {
        let message = format!("the `robots.txt` of `{origin}` cannot be read: {}", problem.message);
        Problem { message, ..problem }
    };
    let first = Url::parse(&format!("{origin}/robots.txt"))
        .map_err(|e| failed(Problem::new("url_not_accessible", e.to_string())))?;
    let may_ask = |url: &Url| match url.origin() == page.origin() || domains.permits_site(url) {
        true => Ok(()),
        false => Err(not_permitted(url)),
    };
    let request =
        |url: &Url| http::get(url.as_str()).header("user-agent", agent).max_bytes(MAX_BYTES);
    let answer = Way::new(first, may_ask, request).follow().map_err(failed)?;
    match answer.status {
        _ if answer.is_success() => Ok(answer.text().into_owned()),
        429 | 500.. => Err(Problem {
            retryable: true,
            ..failed(Problem::new("url_not_accessible", format!("status {}", answer.status)))
        }),
        _ => Ok(String::new()),
    }
}

impl Domains {
    /// Returns whether the rules of a site may be fetched, even if the tool may read only some of
    /// its parts.
    fn permits_site(&self, robots: &Url) -> bool {
        let allowed = self.allowed.as_ref();
        allowed.is_none_or(|rules| rules.iter().any(|rule| rule.fits_host(robots)))
            && !self.blocked.iter().any(|rule| rule.fits(robots))
    }
}

/// Returns the rules for this agent, else those for all agents: `allow: …` and `disallow: …`, one
/// per line.
fn relevant(robots: &str, product: &str) -> String {
    let (mut own, mut others) = (Vec::new(), Vec::new());
    let (mut is_own, mut is_others, mut is_group_open) = (false, false, false);
    let mut has_own = false;
    for line in robots.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let Some((key, value)) = line.split_once(':') else { continue };
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        match key.as_str() {
            "user-agent" => {
                if !is_group_open {
                    (is_own, is_others) = (false, false);
                }
                is_group_open = true;
                is_own |= value.eq_ignore_ascii_case(product);
                is_others |= value == "*";
                has_own |= is_own;
            }
            "allow" | "disallow" => {
                is_group_open = false;
                if is_own {
                    own.push(format!("{key}:{value}"));
                }
                if is_others {
                    others.push(format!("{key}:{value}"));
                }
            }
            _ => {}
        }
    }
    if has_own { own.join("\n") } else { others.join("\n") }
}

/// Returns whether the rules allow a path. The longest matching rule decides; of two equally long
/// rules, the allowing one.
fn permits(rules: &str, path: &str) -> bool {
    let fitting = rules.lines().filter_map(|rule| {
        let (key, pattern) = rule.split_once(':')?;
        (!pattern.is_empty() && fits(pattern, path)).then_some((pattern.len(), key == "allow"))
    });
    fitting.max().is_none_or(|(_, is_allowed)| is_allowed)
}

/// Matches a pattern: `*` is any text, and a `$` at the end is the end.
fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, is_whole) = match pattern.strip_suffix('$') {
        Some(pattern) => (pattern, true),
        None => (pattern, false),
    };
    let Some((first, others)) = pattern.split_once('*') else {
        return path.strip_prefix(pattern).is_some_and(|rest| !is_whole || rest.is_empty());
    };
    let Some(mut rest) = path.strip_prefix(first) else { return false };
    let mut pieces: Vec<_> = others.split('*').collect();
    let last = if is_whole { pieces.pop().unwrap_or_default() } else { "" };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

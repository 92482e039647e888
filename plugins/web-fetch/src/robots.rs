//! `robots.txt` (RFC 9309), for operators who want it respected.
use tidegate_sdk::{Problem, Result, host, http};
use url::{Origin, Url};

use crate::domains::Domains;
use crate::hops;
use crate::problems::not_permitted;

/// As much as crawlers have to read.
const MAX_BYTES: u32 = 500 << 10;
/// How long a site's word is kept.
const KEPT_SECONDS: u32 = 3600;

/// Fails with `url_not_allowed` if the site keeps this agent from the page, or if its word is kept where
/// the tool may not go.
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
            // without a store every call asks
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

/// A site without one has nothing against it; one that is out of order is left alone.
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
    let (_, answer) = hops::follow(first, may_ask, request).map_err(failed)?;
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
    /// Whether a site may be asked for its rules, whatever parts of it the tool may read.
    fn permits_site(&self, robots: &Url) -> bool {
        let allowed = self.allowed.as_ref();
        allowed.is_none_or(|rules| rules.iter().any(|rule| rule.fits_host(robots)))
            && !self.blocked.iter().any(|rule| rule.fits(robots))
    }
}

/// The rules for this agent, else those for all: `allow: …` and `disallow: …`, a line each.
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

/// The longest rule that fits decides; of two as long, the one that allows.
fn permits(rules: &str, path: &str) -> bool {
    let fitting = rules.lines().filter_map(|rule| {
        let (key, pattern) = rule.split_once(':')?;
        (!pattern.is_empty() && fits(pattern, path)).then_some((pattern.len(), key == "allow"))
    });
    fitting.max().is_none_or(|(_, is_allowed)| is_allowed)
}

/// `*` is anything, a `$` at the end is the end.
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

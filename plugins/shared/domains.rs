//! Domain rules: `example.com` with its subdomains, `example.com/blog` with the paths below it.
use tidegate_sdk::{Problem, Result};
use url::{Host, Url};

/// Returns the schema of a rule. With it, the gateway rejects a caller's invalid rule before it
/// calls a model.
pub fn rule_schema() -> serde_json::Value {
    serde_json::json!({
        "type": "string",
        "description": "a domain without a scheme, such as `example.com` or `example.com/blog`",
        "pattern": r"^\s*(\[[0-9a-fA-F:.]+\]|[^?#@\\/:\s]+)(:[0-9]+)?(/[^?#@\\]*)?\s*$",
    })
}

/// The URLs that the declaration of a tool allows.
pub struct Domains {
    pub(crate) allowed: Option<Vec<Rule>>,
    pub(crate) blocked: Vec<Rule>,
}

pub(crate) struct Rule {
    host: String,
    /// The pieces between the `*`; a single piece is a plain prefix.
    path: Vec<String>,
}

impl Domains {
    /// Reads the rules. Fails if both lists are given, or if one has an invalid domain.
    pub fn new(allowed: &Option<Vec<String>>, blocked: &Option<Vec<String>>) -> Result<Self> {
        if allowed.is_some() && blocked.is_some() {
            let message =
                "the options have both `allowed_domains` and `blocked_domains`: remove one of them";
            return Err(Problem::new("invalid_options", message));
        }
        let rules = |texts: &[String]| texts.iter().map(|text| Rule::parse(text)).collect();
        Ok(Self {
            allowed: allowed.as_deref().map(rules).transpose()?,
            blocked: blocked.as_deref().map(rules).transpose()?.unwrap_or_default(),
        })
    }

    /// Returns whether a URL may be listed or fetched.
    pub fn permits(&self, url: &Url) -> bool {
        let is_allowed =
            self.allowed.as_ref().is_none_or(|rules| rules.iter().any(|rule| rule.fits(url)));
        is_allowed && !self.blocked.iter().any(|rule| rule.fits(url))
    }
}

impl Rule {
    fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            let shown: String = text.chars().take(80).collect();
            let message = format!(
                "`{shown}` is no domain: write `example.com` or `example.com/blog`, without a scheme"
            );
            Problem::new("invalid_options", message)
        };
        let bare = text.trim();
        if bare.contains("://") || bare.contains(['?', '#', '@', '\\']) || bare.is_empty() {
            return Err(wrong());
        }
        let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
        // names are parsed like those of the URLs that are compared with the rule
        let parsed = Url::parse(&format!("http://{}/", host.trim_start_matches("*.")));
        let host = parsed.ok().as_ref().and_then(name).ok_or_else(wrong)?;
        let path = format!("/{}", path.trim_end_matches('/'));
        Ok(Self { host, path: path.split('*').map(str::to_owned).collect() })
    }

    pub(crate) fn fits(&self, url: &Url) -> bool {
        self.fits_host(url) && self.fits_path(url.path())
    }

    pub(crate) fn fits_host(&self, url: &Url) -> bool {
        let Some(host) = name(url) else { return false };
        let is_below = host.strip_suffix(&self.host).is_some_and(|rest| rest.ends_with('.'));
        host == self.host || is_below
    }

    fn fits_path(&self, path: &str) -> bool {
        let mut rest = path;
        for (n, piece) in self.path.iter().enumerate() {
            let found = match n {
                0 => rest.strip_prefix(piece.as_str()),
                _ => rest.find(piece.as_str()).map(|at| &rest[at + piece.len()..]),
            };
            let Some(behind) = found else { return false };
            rest = behind;
        }
        // `/blog` has `/blog/x` below it, but not `/blogs`
        let last = self.path.last().map_or("", String::as_str);
        last.is_empty() || last.ends_with('/') || rest.is_empty() || rest.starts_with('/')
    }
}

fn name(url: &Url) -> Option<String> {
    match url.host()? {
        Host::Domain(name) => Some(name.trim_end_matches('.').to_owned()).filter(|n| !n.is_empty()),
        Host::Ipv4(ip) => Some(ip.to_string()),
        Host::Ipv6(ip) => Some(ip.to_string()),
    }
}

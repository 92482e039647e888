//! Patterns of hosts, in manifests and in the config.
use std::fmt;

use wildmatch::WildMatch;

/// The ports that an operator's entry without a port allows.
const USUAL_PORTS: [u16; 2] = [80, 443];

/// A pattern for hosts: `example.com`, `*.example.com` (its subdomains), `search.local:8888`, `*`,
/// `*:*`, `[::1]:8080`.
#[derive(Debug, Clone)]
pub(crate) struct HostPattern {
    text: String,
    host: WildMatch,
    port: Port,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    Unnamed,
    Any,
    One(u16),
}

impl HostPattern {
    /// Parses a pattern. Fails with the problem of the text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (host, port) = match (text.strip_prefix('['), text.rsplit_once(':')) {
            (Some(rest), _) => {
                let (host, after) = rest
                    .split_once(']')
                    .ok_or_else(|| format!("`{text}` has no `]` after the address"))?;
                (host, if after.is_empty() { None } else { after.strip_prefix(':').or(Some("")) })
            }
            // an IPv6 address without a port needs no brackets
            (None, Some((host, _))) if host.contains(':') => (text, None),
            (None, Some((host, port))) => (host, Some(port)),
            (None, None) => (text, None),
        };
        let port = match port {
            None => Port::Unnamed,
            Some("*") => Port::Any,
            Some(port) => Port::One(port.parse().map_err(|_| not_a_host(text))?),
        };
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let fits = |c: char| c.is_alphanumeric() || "*.-_:".contains(c);
        if host.is_empty() || !host.chars().all(fits) {
            return Err(not_a_host(text));
        }
        Ok(Self { text: text.to_owned(), host: WildMatch::new(&host), port })
    }

    /// Returns whether an operator's entry allows a host. Without a port it allows the usual ports
    /// only.
    pub(crate) fn allows(&self, host: &str, port: u16) -> bool {
        let fits = match self.port {
            Port::Unnamed => USUAL_PORTS.contains(&port),
            Port::Any => true,
            Port::One(own) => own == port,
        };
        fits && self.host.matches(host)
    }

    /// Returns whether a manifest's entry requests a host. Without a port it requests every port,
    /// because the plugin's author does not know the operator's ports.
    pub(crate) fn wants(&self, host: &str, port: u16) -> bool {
        let fits = match self.port {
            Port::Unnamed | Port::Any => true,
            Port::One(own) => own == port,
        };
        fits && self.host.matches(host)
    }

    /// Returns the entry by which an operator allows exactly this host and port.
    pub(crate) fn entry(host: &str, port: u16) -> String {
        let host = bracketed(host);
        if USUAL_PORTS.contains(&port) { host } else { format!("{host}:{port}") }
    }

    fn narrowed_to(&self, allowed: &Self) -> String {
        let host = bracketed(&narrower(&self.host.to_string(), &allowed.host.to_string()));
        match (self.port, allowed.port) {
            (Port::One(port), _) | (_, Port::One(port)) => format!("{host}:{port}"),
            (_, Port::Any) => format!("{host}:*"),
            _ => host,
        }
    }

    fn overlaps(&self, allowed: &Self) -> bool {
        let ports = match (self.port, allowed.port) {
            (Port::One(wanted), Port::One(allowed)) => wanted == allowed,
            (Port::One(wanted), Port::Unnamed) => USUAL_PORTS.contains(&wanted),
            _ => true,
        };
        ports && is_overlap(&self.host.to_string(), &allowed.host.to_string())
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn not_a_host(text: &str) -> String {
    format!(
        "`{text}` is no host: write `example.com`, `*.example.com` for its subdomains, or \
         `example.com:8080` for a port other than 80 and 443"
    )
}

/// Returns the hosts that both lists allow, as text for people.
pub(crate) fn common_hosts(wanted: &[HostPattern], allowed: &[HostPattern]) -> Vec<String> {
    common(wanted, allowed, |wanted, allowed| {
        wanted.overlaps(allowed).then(|| wanted.narrowed_to(allowed))
    })
}

/// Returns the texts of all pairs of two lists that agree, each once.
pub(crate) fn common<T>(
    wanted: &[T],
    allowed: &[T],
    both: impl Fn(&T, &T) -> Option<String>,
) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (wanted, allowed) in wanted.iter().flat_map(|w| allowed.iter().map(move |a| (w, a))) {
        found.extend(both(wanted, allowed).filter(|text| !found.contains(text)));
    }
    found
}

/// Returns whether some name may match both patterns. Two patterns with wildcards always count as
/// an overlap.
pub(crate) fn is_overlap(one: &str, other: &str) -> bool {
    let both_are_patterns = one.contains('*') && other.contains('*');
    both_are_patterns || WildMatch::new(one).matches(other) || WildMatch::new(other).matches(one)
}

/// Returns the text that both patterns allow.
pub(crate) fn narrower(wanted: &str, allowed: &str) -> String {
    if WildMatch::new(wanted).matches(allowed) {
        allowed.to_owned()
    } else if WildMatch::new(allowed).matches(wanted) {
        wanted.to_owned()
    } else {
        format!("{wanted} within {allowed}")
    }
}

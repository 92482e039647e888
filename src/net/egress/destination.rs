//! The destination of a hop: a URL parsed once, and its addresses, each of them checked.
use std::net::{IpAddr, SocketAddr, UdpSocket};

use url::{Host, Url};

use crate::net::egress::guard;
use crate::net::egress::resolve::Resolve;
use crate::net::egress::{Policy, Refusal};

/// The longest URL, in bytes; no server accepts longer ones.
const MAX_URL: usize = 8192;

/// A URL with checked text; its addresses are not checked yet.
pub(crate) struct Destination {
    /// The parsed URL; its text is not parsed again.
    pub url: Url,
    /// The host in small letters, without the root's dot and without brackets.
    pub host: String,
    /// The URL's port, or the default of its scheme.
    pub port: u16,
    address: Option<IpAddr>,
}

impl Destination {
    /// Parses a URL. Its scheme, host and port must be allowed, and it must hold no credentials.
    pub(crate) fn new(text: &str, policy: &Policy) -> Result<Self, Refusal> {
        if text.len() > MAX_URL {
            let message =
                format!("the URL has {} bytes, at most {MAX_URL} are allowed", text.len());
            return Err(Refusal::new("invalid_url", message));
        }
        let url = Url::parse(text).map_err(|e| {
            let message = format!("no URL such as `https://example.com/page`: {e}");
            Refusal::new("invalid_url", message)
        })?;
        Self::of(url, policy)
    }

    /// Checks a URL in the same way, such as the target of a redirect.
    pub(crate) fn of(url: Url, policy: &Policy) -> Result<Self, Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            let message = format!("`{}:` is not fetched: use `https:` or `http:`", url.scheme());
            return Err(Refusal::new("invalid_url", message));
        }
        if !url.username().is_empty() || url.password().is_some() {
            let message = "user and password may not be in the URL: take them out";
            return Err(Refusal::new("invalid_url", message));
        }
        // `url` has already converted `127.1`, `0x7f.1` and `2130706433` into addresses
        let (host, address) = match url.host() {
            Some(Host::Domain(name)) => (name.trim_end_matches('.').to_owned(), None),
            Some(Host::Ipv4(ip)) => (ip.to_string(), Some(ip.into())),
            Some(Host::Ipv6(ip)) => (ip.to_string(), Some(ip.into())),
            None => (String::new(), None),
        };
        if host.is_empty() {
            return Err(Refusal::new("invalid_url", "the URL has no host"));
        }
        let port = url.port_or_known_default().unwrap_or_default();
        if !(policy.may_reach)(&host, port) {
            let message = format!("`{host}` on port {port} is not granted");
            return Err(Refusal::new("not_granted", message));
        }
        Ok(Self { url, host, port, address })
    }

    /// Returns the addresses to connect to, in order of preference. One forbidden address makes the whole
    /// name forbidden: a name with mixed addresses is an attempt to pass the guard.
    pub(crate) async fn addresses(
        &self,
        policy: &Policy,
        resolve: &Resolve,
    ) -> Result<Vec<SocketAddr>, Refusal> {
        let host = &self.host;
        let found = match self.address {
            Some(ip) => vec![ip],
            None => resolve(host.clone(), self.port)
                .await
                .map_err(|_| Refusal::unreachable(format!("the name `{host}` is not known")))?,
        };
        for ip in &found {
            if let Some(purpose) = guard::refuse(*ip, &policy.allow_private) {
                let message = format!(
                    "`{host}` is not on the public internet, its address is {purpose}: the operator may allow it in {}",
                    policy.remedy
                );
                return Err(Refusal::new("url_not_allowed", message));
            }
        }
        let addresses: Vec<_> = found.iter().map(|ip| SocketAddr::new(*ip, self.port)).collect();
        if addresses.iter().any(|address| policy.own.iter().any(|own| is_same(*own, *address))) {
            let message = format!("`{host}` on port {} is the gateway itself", self.port);
            return Err(Refusal::new("url_not_allowed", message));
        }
        match addresses.is_empty() {
            true => Err(Refusal::unreachable(format!("the name `{host}` has no address"))),
            false => Ok(addresses),
        }
    }

    /// Returns scheme, host and port. Credentials are valid for one origin only.
    pub(crate) fn origin(&self) -> (&str, &str, u16) {
        (self.url.scheme(), &self.host, self.port)
    }
}

/// Returns whether a connection to `address` would reach the listener `own`.
fn is_same(own: SocketAddr, address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let is_host = match own.ip() {
        listener if listener.is_unspecified() => ip.is_loopback() || is_of_this_machine(ip),
        listener => listener.to_canonical() == ip,
    };
    own.port() == address.port() && is_host
}

/// Returns whether an address is of this machine: only such an address can be bound. Sends nothing.
fn is_of_this_machine(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

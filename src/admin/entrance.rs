//! The checks of every request to the admin listener: its host, its origin, its token or session.
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, StatusCode};
use parking_lot::Mutex;
use subtle::ConstantTimeEq;

use crate::admin::call::Caller;
use crate::admin::failure::Failure;
use crate::admin::sessions::Sessions;
use crate::config::listeners::AdminConfig;
use crate::error::Secret;

/// The wrong tokens that an address may send within [`WITHIN`].
const TRIES: u32 = 20;
const WITHIN: Duration = Duration::from_secs(60);
/// The most addresses that are remembered.
const ADDRESSES: usize = 1024;

/// The entrance of the admin listener.
pub(super) struct Entrance {
    token: Secret,
    /// The names that the listener has; `None` if any will do, because it is not on loopback.
    hosts: Option<Vec<String>>,
    wrong: Mutex<HashMap<IpAddr, Wrong>>,
    /// The browsers that sent the token to `/login`.
    pub(super) sessions: Sessions,
}

/// The wrong tokens of an address.
struct Wrong {
    since: Instant,
    number: u32,
}

impl Entrance {
    pub(super) fn new(config: &AdminConfig, address: SocketAddr) -> Self {
        let names = config.hosts.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self {
            token: config.token.clone(),
            hosts: address.ip().is_loopback().then_some(names),
            wrong: Mutex::default(),
            sessions: Sessions::default(),
        }
    }

    /// Returns whether a request needs no credential.
    pub(super) fn is_open(&self) -> bool {
        self.token.is_empty()
    }

    /// Checks the way of a request, before its credential.
    ///
    /// Fails with a 403 for a page of another site.
    pub(super) fn arrive(&self, head: &Parts) -> Result<(), Failure> {
        let host = self.host(head)?;
        same_origin(&head.headers, &host)
    }

    /// Admits a request that has arrived.
    ///
    /// Fails with a 401 without the token or a session, and with a 429 after many wrong tokens.
    pub(super) fn admit(&self, head: &Parts, peer: SocketAddr) -> Result<Caller, Failure> {
        let credential = self.credential(&head.headers, peer.ip(), Instant::now())?;
        Ok(Caller { credential, address: peer })
    }

    /// Checks the host. A page of another site can have its own name resolve to loopback (DNS rebinding), so a
    /// listener on loopback answers to names of loopback only.
    fn host(&self, head: &Parts) -> Result<String, Failure> {
        let sent = one(&head.headers, &HOST)?;
        let sent = head.uri.authority().map(Authority::as_str).or(sent).unwrap_or_default();
        let Some(names) = &self.hosts else { return Ok(sent.to_ascii_lowercase()) };
        let name = sent.parse::<Authority>().map(|it| it.host().to_ascii_lowercase());
        // a host has no user
        match name {
            _ if sent.contains('@') => Err(foreign(sent)),
            Ok(name) if is_loopback(&name) || names.contains(&name) => {
                Ok(sent.to_ascii_lowercase())
            }
            _ => Err(foreign(sent)),
        }
    }

    /// Checks the credential. A listener without a token is on loopback only.
    fn credential(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
        now: Instant,
    ) -> Result<&'static str, Failure> {
        if self.is_open() {
            return Ok("open");
        }
        let sent = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        if let Some(sent) = sent.and_then(bearer) {
            return self.judge(sent, peer, now).map(|()| "token");
        }
        // a browser has nothing but its cookie
        if !headers.contains_key(AUTHORIZATION) && self.sessions.hold(headers, now) {
            return Ok("session");
        }
        Err(unauthorized())
    }

    /// Compares a token in constant time.
    ///
    /// Fails with a 401, and with a 429 after many wrong tokens of the address.
    pub(super) fn judge(&self, sent: &str, peer: IpAddr, now: Instant) -> Result<(), Failure> {
        if let Some(wait) = self.wait(peer, now) {
            let message = "too many wrong tokens came from this address";
            return Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, message).after(wait));
        }
        if bool::from(sent.as_bytes().ct_eq(self.token.expose().as_bytes())) {
            return Ok(());
        }
        self.note_wrong(peer, now);
        Err(unauthorized())
    }

    fn wait(&self, peer: IpAddr, now: Instant) -> Option<Duration> {
        let wrong = self.wrong.lock();
        let of_peer = wrong.get(&peer).filter(|it| it.number >= TRIES)?;
        WITHIN.checked_sub(now.saturating_duration_since(of_peer.since)).filter(|it| !it.is_zero())
    }

    fn note_wrong(&self, peer: IpAddr, now: Instant) {
        let mut wrong = self.wrong.lock();
        let is_old = |it: &Wrong| now.saturating_duration_since(it.since) >= WITHIN;
        if wrong.len() >= ADDRESSES {
            wrong.retain(|_, it| !is_old(it));
        }
        if wrong.len() >= ADDRESSES {
            // many addresses try at once: none of them is worth the memory
            wrong.clear();
        }
        let entry = wrong.entry(peer).or_insert(Wrong { since: now, number: 0 });
        if is_old(entry) {
            *entry = Wrong { since: now, number: 0 };
        }
        entry.number += 1;
    }
}

/// Returns the token of `authorization: Bearer`. The scheme has no case.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
}

/// Checks that a page of another site did not send the request. Programs other than browsers send no `origin`.
/// Another port of the same machine is another site, although it receives the same cookies.
fn same_origin(headers: &HeaderMap, host: &str) -> Result<(), Failure> {
    let Some(origin) = one(headers, &ORIGIN)? else { return Ok(()) };
    let authority = origin.split_once("://").map(|(_, authority)| authority.to_ascii_lowercase());
    if authority.is_some_and(|authority| authority == host) {
        return Ok(());
    }
    let message =
        "a page of another site sent this request: the admin API answers its own pages only";
    let failure = Failure::new(StatusCode::FORBIDDEN, message);
    Err(failure.about("origin", "the origin of this listener", shown(origin)))
}

/// Returns the only value of a header.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Failure> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(Failure::field(name.as_str(), "one value", "several"));
    }
    Ok(first.map(|value| value.to_str().unwrap_or_default()))
}

/// Returns the error of a host that is not of loopback.
fn foreign(sent: &str) -> Failure {
    let message = "the listener is on loopback, and `host` names another machine: send a request to `localhost`, or add the name to `admin.hosts`";
    let failure = Failure::new(StatusCode::FORBIDDEN, message);
    failure.about("host", "a name of loopback", shown(sent))
}

fn is_loopback(name: &str) -> bool {
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost"
        || name.ends_with(".localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn unauthorized() -> Failure {
    let message = "send the admin token as `authorization: Bearer`, or sign in at `/login`";
    Failure::new(StatusCode::UNAUTHORIZED, message)
}

/// Returns the beginning of a header in quotes.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(80).collect();
    format!("`{start}`")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const PEER: &str = "10.0.0.1:5";

    fn entrance(listen: &str, token: &str) -> Entrance {
        let listen: SocketAddr = listen.parse().unwrap();
        let hosts = vec!["Admin.example.com".to_owned()];
        let token = Secret::new(token);
        let config = AdminConfig { listen, token, hosts, record: None, edit: false };
        Entrance::new(&config, listen)
    }

    fn status(entrance: &Entrance, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::get("/api/status");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let peer = PEER.parse().unwrap();
        let admitted = entrance.arrive(&head).and_then(|()| entrance.admit(&head, peer));
        admitted.map_or_else(|failure| failure.status.as_u16(), |_| 200)
    }

    #[test]
    fn a_listener_on_loopback_answers_to_its_own_names_only() {
        let local = entrance("127.0.0.1:4001", "");
        for host in [
            "localhost",
            "LOCALHOST:4001",
            "127.0.0.1:4001",
            "127.9.9.9",
            "[::1]:4001",
            "tidegate.localhost",
            "admin.example.com:8080",
        ] {
            assert_eq!(status(&local, &[("host", host)]), 200, "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.example:4001",
            "user@localhost:x",
            "10.0.0.1",
            "0.0.0.0",
        ] {
            assert_eq!(status(&local, &[("host", host)]), 403, "{host}");
        }
        assert_eq!(status(&local, &[]), 403);
        assert_eq!(status(&local, &[("host", "localhost"), ("host", "evil.example")]), 400);
        let open = entrance("10.0.0.1:4001", "t");
        let token = ("authorization", "Bearer t");
        assert_eq!(status(&open, &[("host", "gateway.example"), token]), 200);
    }

    #[test]
    fn a_page_of_another_site_may_not_even_read() {
        let local = entrance("127.0.0.1:4001", "");
        let host = ("host", "localhost:4001");
        for (origin, expected) in [
            ("http://localhost:4001", 200),
            ("https://LOCALHOST:4001", 200),
            ("http://localhost:3000", 403),
            ("http://evil.example", 403),
            ("null", 403),
        ] {
            assert_eq!(status(&local, &[host, ("origin", origin)]), expected, "{origin}");
        }
    }

    #[test]
    fn many_wrong_tokens_close_the_entrance_for_their_address() {
        let entrance = entrance("10.0.0.1:4001", "right");
        let (now, peer) = (Instant::now(), IpAddr::from([10, 0, 0, 1]));
        let at = |token: &str, peer, now| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, format!("bearer  {token}").parse().unwrap());
            let done = entrance.credential(&headers, peer, now);
            done.map_or_else(|failure| failure.status.as_u16(), |_| 200)
        };
        for _ in 0..TRIES {
            assert_eq!(at("wrong", peer, now), 401);
        }
        assert_eq!(at("right", peer, now), 429);
        assert_eq!(at("right", IpAddr::from([10, 0, 0, 2]), now), 200);
        assert_eq!(at("right", peer, now + WITHIN), 200);
        assert_eq!(at("wrong", peer, now + WITHIN), 401);
        assert_eq!(at("right", peer, now + WITHIN), 200);
    }
}

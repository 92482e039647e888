//! `Sessions`: the browsers that sent the admin token to `/login`. A session is a cookie; it ends with the process.
use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

/// The name of the cookie.
pub(super) const NAME: &str = "tidegate_admin";
/// The time after which a session ends.
const LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// The most sessions; a further one ends the oldest.
const MOST: usize = 256;

/// The digest of a session's secret. A look-up of the digest says nothing about the secret by its time.
type Key = [u8; 32];

/// The sessions that have not ended, each with the time of its end.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<Key, Instant>>);

/// The channel between a browser and the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
    /// A proxy says that the browser reached it by TLS.
    Tls,
    /// Plain HTTP, such as on loopback.
    Plain,
}

impl Channel {
    /// Reads the channel of a request. A client that lies about it harms only its own cookie.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let sent = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
        match sent.map(|sent| sent.split(',').next().unwrap_or_default().trim()) {
            Some(first) if first.eq_ignore_ascii_case("https") => Self::Tls,
            _ => Self::Plain,
        }
    }
}

impl Sessions {
    /// Begins a session, and returns the value of `set-cookie`. `None` if the system gives no random bytes.
    pub(super) fn begin(&self, channel: Channel, now: Instant) -> Option<HeaderValue> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).ok()?;
        let secret = URL_SAFE_NO_PAD.encode(bytes);
        let mut sessions = self.0.lock();
        sessions.retain(|_, end| *end > now);
        if sessions.len() >= MOST {
            let oldest = sessions.iter().min_by_key(|(_, end)| **end).map(|(key, _)| *key);
            oldest.and_then(|key| sessions.remove(&key));
        }
        sessions.insert(key(&secret), now + LIFE);
        HeaderValue::try_from(cookie(&secret, LIFE, channel)).ok()
    }

    /// Returns whether a request belongs to a session.
    pub(super) fn hold(&self, headers: &HeaderMap, now: Instant) -> bool {
        let sessions = self.0.lock();
        sent(headers).any(|secret| sessions.get(&key(secret)).is_some_and(|end| *end > now))
    }

    /// Ends the session of a request, and returns the value of `set-cookie` that deletes the cookie.
    pub(super) fn end(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut sessions = self.0.lock();
        for secret in sent(headers) {
            sessions.remove(&key(secret));
        }
        HeaderValue::try_from(cookie("", Duration::ZERO, Channel::of(headers))).ok()
    }
}

fn key(secret: &str) -> Key {
    Sha256::digest(secret).into()
}

fn cookie(secret: &str, life: Duration, channel: Channel) -> String {
    let secure = match channel {
        Channel::Tls => "; Secure",
        Channel::Plain => "",
    };
    let seconds = life.as_secs();
    format!("{NAME}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// Returns the values of the cookie. Another program of the same machine may have set one of its own beside it.
fn sent(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, _)| name.trim() == NAME).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookie: &str) -> HeaderMap {
        [(COOKIE, HeaderValue::from_str(cookie).unwrap())].into_iter().collect()
    }

    fn begin(sessions: &Sessions, now: Instant) -> HeaderMap {
        let cookie = sessions.begin(Channel::Plain, now).unwrap();
        headers(cookie.to_str().unwrap().split(';').next().unwrap())
    }

    #[test]
    fn a_session_ends_after_its_time_and_when_its_owner_leaves() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let (one, two) = (begin(&sessions, now), begin(&sessions, now));
        assert!(sessions.hold(&one, now) && sessions.hold(&two, now));
        assert!(!sessions.hold(&one, now + LIFE));
        let gone = sessions.end(&one).unwrap();
        assert!(gone.to_str().unwrap().contains("tidegate_admin=; Path=/; Max-Age=0;"));
        assert!(!sessions.hold(&one, now) && sessions.hold(&two, now));
        for wrong in ["", "tidegate_admin=", "tidegate_admin=x", "other=x", "tidegate_admin"] {
            assert!(!sessions.hold(&headers(wrong), now), "{wrong}");
        }
    }

    #[test]
    fn a_cookie_of_another_program_does_not_hide_the_own_one() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let own = begin(&sessions, now);
        let own = own[COOKIE].to_str().unwrap();
        assert!(sessions.hold(&headers(&format!("a=b; tidegate_admin=x; {own}; c")), now));
    }

    #[test]
    fn sessions_are_bounded_and_the_oldest_ends_first() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let all: Vec<HeaderMap> =
            (0..=MOST).map(|n| begin(&sessions, now + Duration::from_secs(n as u64))).collect();
        assert_eq!(sessions.0.lock().len(), MOST);
        assert!(!sessions.hold(&all[0], now) && sessions.hold(&all[1], now));
        begin(&sessions, now + LIFE * 2);
        assert_eq!(sessions.0.lock().len(), 1, "sessions that have ended take no place");
    }

    #[test]
    fn a_cookie_is_secure_if_the_browser_came_by_tls() {
        let sessions = Sessions::default();
        let cookie = |proto: &'static str| {
            let headers = [("x-forwarded-proto", proto)];
            let headers = headers.map(|(name, value)| {
                (http::HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            let channel = Channel::of(&headers.into_iter().collect());
            sessions.begin(channel, Instant::now()).unwrap().to_str().unwrap().to_owned()
        };
        for (proto, is_secure) in [
            ("https", true),
            ("HTTPS, http", true),
            ("http", false),
            ("http, https", false),
            ("", false),
        ] {
            let cookie = cookie(proto);
            assert_eq!(cookie.ends_with("; Secure"), is_secure, "{proto}: {cookie}");
            assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
        }
    }
}

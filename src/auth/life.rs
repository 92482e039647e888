//! `Life`: a stored key as its requests under way see it: whether it still counts, and when it was used last.
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::auth::expiry::Expiry;
use crate::error::{Error, ErrorKind};

/// The longest sleep to an expiry: the clock of the machine may be set meanwhile.
const SLEEP: Duration = Duration::from_secs(30);

/// The life of a key from its load to its end. It outlives the key's changes.
#[derive(Debug)]
pub(crate) struct Life {
    state: watch::Sender<State>,
    /// The second since 1970 of the last use at this gateway; 0 without any.
    used: AtomicI64,
    /// The last use that the store has from this gateway.
    written: AtomicI64,
}

/// The state of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It counts, until it expires.
    Counts(Option<Expiry>),
    /// It is refused until it is enabled again.
    Disabled,
    /// It is not in the store any more.
    Revoked,
}

/// The end of a key for a request under way.
#[derive(Debug, Clone)]
pub(crate) struct KeyEnd {
    life: Arc<Life>,
    name: String,
}

impl Life {
    pub(super) fn new(state: State) -> Self {
        Self {
            state: watch::Sender::new(state),
            used: AtomicI64::new(0),
            written: AtomicI64::new(0),
        }
    }

    /// Takes the state of the store.
    pub(super) fn set(&self, state: State) {
        self.state.send_if_modified(|known| std::mem::replace(known, state) != state);
    }

    /// Notes a use.
    pub(super) fn touch(&self, now: Timestamp) {
        self.used.fetch_max(now.as_second(), Ordering::Relaxed);
    }

    /// Returns the second of the last use at this gateway.
    pub(super) fn used(&self) -> Option<i64> {
        Some(self.used.load(Ordering::Relaxed)).filter(|second| *second > 0)
    }

    /// Returns the second of the last use if the store does not have it.
    pub(super) fn unwritten(&self) -> Option<i64> {
        self.used().filter(|used| *used > self.written.load(Ordering::Relaxed))
    }

    /// Notes that the store has a use.
    pub(super) fn wrote(&self, second: i64) {
        self.written.fetch_max(second, Ordering::Relaxed);
    }
}

impl KeyEnd {
    pub(super) fn new(life: &Arc<Life>, name: &str) -> Self {
        Self { life: Arc::clone(life), name: name.to_owned() }
    }

    /// Returns when the key does not count any more, with the reason: a 401.
    pub(crate) async fn reached(self) -> Error {
        let mut states = self.life.state.subscribe();
        loop {
            let state = *states.borrow_and_update();
            let expires = match state {
                State::Revoked => return self.error("was revoked"),
                State::Disabled => return self.error("was disabled"),
                State::Counts(expires) => expires,
            };
            let now = Timestamp::now();
            let left = match expires {
                Some(end) if end.is_over(now) => return self.error("expired"),
                Some(end) => end.0.duration_since(now).try_into().unwrap_or(SLEEP).min(SLEEP),
                None => SLEEP,
            };
            // the sender is in `life`, so the changes do not end
            drop(tokio::time::timeout(left, states.changed()).await);
        }
    }

    fn error(&self, reason: &str) -> Error {
        let message = format!(
            "the key `{}` {reason} while the request ran: the gateway ended the request, and its answer is not whole",
            self.name
        );
        Error::new(ErrorKind::Authentication, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(state: State) -> (Arc<Life>, KeyEnd) {
        let life = Arc::new(Life::new(state));
        let end = KeyEnd::new(&life, "ci");
        (life, end)
    }

    #[tokio::test]
    async fn the_end_of_a_key_is_seen_whenever_it_comes() {
        for (before, after, expected) in [
            (State::Counts(None), State::Revoked, "`ci` was revoked while"),
            (State::Counts(None), State::Disabled, "`ci` was disabled while"),
            (
                State::Counts(None),
                State::Counts(Some(Expiry(Timestamp::UNIX_EPOCH))),
                "`ci` expired while",
            ),
            // before the request looked
            (State::Revoked, State::Revoked, "`ci` was revoked while"),
        ] {
            let (life, end) = life(before);
            let waiting = tokio::spawn(end.reached());
            tokio::task::yield_now().await;
            life.set(after);
            let error = waiting.await.unwrap();
            assert_eq!(error.kind, ErrorKind::Authentication);
            assert!(error.message.contains(expected), "{error}");
        }
    }

    #[tokio::test]
    async fn a_key_ends_at_its_expiry_without_a_change() {
        let soon = Timestamp::now() + Duration::from_millis(20);
        let (_life, end) = life(State::Counts(Some(Expiry(soon))));
        assert!(end.reached().await.message.contains("expired"));
        assert!(Timestamp::now() >= soon);
    }

    #[test]
    fn a_use_is_written_once() {
        let (life, _) = life(State::Counts(None));
        assert_eq!((life.used(), life.unwritten()), (None, None));
        life.touch(Timestamp::from_second(70).unwrap());
        life.touch(Timestamp::from_second(60).unwrap());
        assert_eq!((life.used(), life.unwritten()), (Some(70), Some(70)));
        life.wrote(70);
        assert_eq!((life.used(), life.unwritten()), (Some(70), None));
        life.touch(Timestamp::from_second(71).unwrap());
        assert_eq!(life.unwritten(), Some(71));
    }
}

//! `Cached`: a credential that expires, renewed before its end by one request at a time.
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

/// The time before the end of a credential at which it is renewed, if it lasts much longer.
const EARLY: Duration = Duration::from_secs(5 * 60);

/// A credential and its end.
#[derive(Debug, Clone)]
pub(super) struct Lease<T> {
    /// The credential.
    pub(super) value: T,
    /// The end of the credential; `None` if it does not expire.
    pub(super) expires: Option<SystemTime>,
}

/// The reason for a missing credential, for the log: the config, the environment, or the server of
/// the credentials.
#[derive(Debug, Clone)]
pub(super) struct Missing(pub(super) Arc<str>);

impl Missing {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into().into())
    }
}

/// Keeps the newest lease.
pub(super) struct Cached<T> {
    held: Mutex<Option<Held<T>>>,
    /// Held by the one request that renews the credential.
    flight: tokio::sync::Mutex<()>,
    /// The last failure: requests that waited for it fail with it too.
    failed: Mutex<Option<(Instant, Missing)>>,
}

struct Held<T> {
    value: T,
    /// The time from which one request renews it, while the others still use it.
    renewal: Option<SystemTime>,
    expires: Option<SystemTime>,
}

/// The state of the held credential.
enum Found<T> {
    Fresh(T),
    Ageing(T),
    Absent,
}

impl<T: Clone> Default for Cached<T> {
    fn default() -> Self {
        let (held, failed) = (Mutex::default(), Mutex::default());
        Self { held, flight: tokio::sync::Mutex::default(), failed }
    }
}

impl<T: Clone> Cached<T> {
    /// Returns the credential. `fetch` makes a new one if there is none or the old one ends soon. A
    /// credential that is still valid outlives failures of `fetch`, which are logged.
    pub(super) async fn get<F>(&self, fetch: impl Fn() -> F) -> Result<T, Missing>
    where
        F: Future<Output = Result<Lease<T>, Missing>>,
    {
        let arrived = Instant::now();
        let (_flight, old) = match self.found(SystemTime::now()) {
            Found::Fresh(value) => return Ok(value),
            Found::Ageing(value) => match self.flight.try_lock() {
                Ok(flight) => (flight, Some(value)),
                Err(_) => return Ok(value),
            },
            Found::Absent => (self.flight.lock().await, None),
        };
        // another request may have renewed it, or failed to, in the meantime
        if let Found::Fresh(value) = self.found(SystemTime::now()) {
            return Ok(value);
        }
        if old.is_none()
            && let Some((at, missing)) = &*self.failed.lock()
            && *at >= arrived
        {
            return Err(missing.clone());
        }
        match (fetch().await, old) {
            (Ok(lease), _) => Ok(self.keep(lease)),
            (Err(Missing(why)), Some(old)) => {
                tracing::warn!(error = %why, "credential not renewed, using the old one until it ends");
                Ok(old)
            }
            (Err(missing), None) => {
                *self.failed.lock() = Some((Instant::now(), missing.clone()));
                Err(missing)
            }
        }
    }

    /// Removes the credential: the upstream has rejected it.
    pub(super) fn forget(&self) {
        *self.held.lock() = None;
    }

    fn found(&self, now: SystemTime) -> Found<T> {
        match &*self.held.lock() {
            Some(held) if held.expires.is_some_and(|expires| expires <= now) => Found::Absent,
            Some(held) if held.renewal.is_some_and(|renewal| renewal <= now) => {
                Found::Ageing(held.value.clone())
            }
            Some(held) => Found::Fresh(held.value.clone()),
            None => Found::Absent,
        }
    }

    fn keep(&self, lease: Lease<T>) -> T {
        let Lease { value, expires } = lease;
        let renewal = expires.map(|expires| {
            let lasts = expires.duration_since(SystemTime::now()).unwrap_or_default();
            expires - EARLY.min(lasts / 2)
        });
        *self.held.lock() = Some(Held { value: value.clone(), renewal, expires });
        value
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn lease(value: u32, lasts: Duration) -> Lease<u32> {
        Lease { value, expires: Some(SystemTime::now() + lasts) }
    }

    async fn get(cached: &Cached<u32>, next: Result<Lease<u32>, Missing>) -> Result<u32, Missing> {
        cached.get(|| std::future::ready(next.clone())).await
    }

    #[tokio::test]
    async fn a_credential_is_fetched_once_until_it_ends() {
        let cached = Cached::default();
        assert_eq!(get(&cached, Ok(lease(1, HOUR))).await.unwrap(), 1);
        assert_eq!(get(&cached, Ok(lease(2, HOUR))).await.unwrap(), 1);
        cached.forget();
        assert_eq!(get(&cached, Ok(lease(3, Duration::ZERO))).await.unwrap(), 3);
        assert_eq!(get(&cached, Ok(Lease { value: 4, expires: None })).await.unwrap(), 4);
        assert_eq!(get(&cached, Err(Missing::new("no"))).await.unwrap(), 4);
    }

    #[tokio::test]
    async fn a_credential_that_ends_soon_is_renewed_and_outlives_a_failure() {
        let cached = Cached::default();
        get(&cached, Ok(lease(1, HOUR))).await.unwrap();
        let now = SystemTime::now();
        assert!(matches!(cached.found(now + HOUR - EARLY * 2), Found::Fresh(1)));
        assert!(matches!(cached.found(now + HOUR - EARLY / 2), Found::Ageing(1)));
        assert!(matches!(cached.found(now + HOUR * 2), Found::Absent));
        cached.held.lock().as_mut().unwrap().renewal = Some(now);
        assert_eq!(get(&cached, Err(Missing::new("no"))).await.unwrap(), 1);
        assert_eq!(get(&cached, Ok(lease(2, HOUR))).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn requests_that_wait_together_cause_one_fetch() {
        let (cached, fetches) = (Cached::default(), Cell::new(0));
        let fetch = || async {
            fetches.set(fetches.get() + 1);
            tokio::task::yield_now().await;
            Ok(lease(7, HOUR))
        };
        let all = tokio::join!(cached.get(fetch), cached.get(fetch), cached.get(fetch));
        assert_eq!((all.0.unwrap(), all.1.unwrap(), all.2.unwrap()), (7, 7, 7));
        assert_eq!(fetches.get(), 1);
    }

    #[tokio::test]
    async fn requests_that_wait_together_share_a_failure_and_a_later_one_tries_again() {
        let (cached, fetches) = (Cached::<u32>::default(), Cell::new(0));
        let fetch = || async {
            fetches.set(fetches.get() + 1);
            tokio::task::yield_now().await;
            Err(Missing::new("refused"))
        };
        let all = tokio::join!(cached.get(fetch), cached.get(fetch));
        assert_eq!((&*all.0.unwrap_err().0, &*all.1.unwrap_err().0), ("refused", "refused"));
        assert_eq!(fetches.get(), 1);
        assert!(cached.get(fetch).await.is_err());
        assert_eq!(fetches.get(), 2);
    }
}

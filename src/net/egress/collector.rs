//! `Collector`: fetches the images and documents that a request names by their URL. `Collection`: their contents,
//! for all attempts and turns of one exchange.
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use parking_lot::Mutex;
use tokio::time::Instant;
use url::Url;

use crate::net::egress::client::Client;
use crate::net::egress::media::{self, Media, Outcome};
use crate::net::egress::{Limits, Policy, Refusal, Request};

/// The most URLs of one exchange.
const MAX_URLS: usize = 50;
/// The most bytes of one file.
const MAX_FILE: usize = 20 << 20;
/// The most fetches at the same time.
const MAX_AT_ONCE: usize = 4;
/// The longest time of all fetches of an attempt.
const MAX_TIME: Duration = Duration::from_secs(15);
/// The types that a server may choose from.
const ACCEPT: &str = "image/*, application/pdf, text/plain, text/*;q=0.8, */*;q=0.1";

type Contents = HashMap<String, Arc<Outcome>>;

/// The contents of URLs in one exchange. Later attempts and turns find them here.
#[derive(Default)]
pub struct Collection(Mutex<Contents>);

impl fmt::Debug for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Collection of {} URLs", self.0.lock().len())
    }
}

impl Collection {
    /// Returns the contents for an encoder.
    pub(crate) fn fetched(&self) -> Fetched {
        Fetched::Known(self.0.lock().clone())
    }

    /// Returns the URLs that are not here yet, each once.
    fn new_ones(&self, urls: Vec<String>) -> Vec<String> {
        let contents = self.0.lock();
        let mut seen = HashSet::new();
        let is_new = |url: &String| !contents.contains_key(url) && seen.insert(url.clone());
        urls.into_iter().filter(is_new).collect()
    }

    fn size(&self) -> usize {
        let contents = self.0.lock();
        contents.values().filter_map(|one| one.as_ref().as_ref().ok()).map(Media::size).sum()
    }

    fn len(&self) -> usize {
        self.0.lock().len()
    }

    fn add(&self, url: String, outcome: Outcome) {
        self.0.lock().insert(url, Arc::new(outcome));
    }
}

/// The contents of URLs, as far as an encoder has them.
#[derive(Debug, Clone)]
pub enum Fetched {
    /// The outcomes of fetches.
    Known(Contents),
    /// Every URL that can be fetched counts as fetched: nothing was requested yet.
    Assumed,
}

impl Default for Fetched {
    fn default() -> Self {
        Self::Known(HashMap::new())
    }
}

#[cfg(test)]
impl FromIterator<(String, Outcome)> for Fetched {
    fn from_iter<I: IntoIterator<Item = (String, Outcome)>>(outcomes: I) -> Self {
        let outcomes = outcomes.into_iter();
        Self::Known(outcomes.map(|(url, outcome)| (url, Arc::new(outcome))).collect())
    }
}

/// The bounds of the fetches for one attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The longest time; the collector has a limit of its own.
    pub(crate) time: Duration,
    /// The bytes of the request without the contents.
    pub(crate) request: usize,
}

/// Fetches URLs through the guard.
#[derive(Clone)]
pub struct Collector {
    client: Arc<Client>,
    policy: Policy,
    /// The most bytes of a request with all of its contents.
    max_body: usize,
}

impl Collector {
    /// Makes a collector for requests of up to `max_body` bytes.
    pub(crate) fn new(client: &Arc<Client>, policy: Policy, max_body: u64) -> Self {
        let limits =
            Limits { total: MAX_TIME, decoded: MAX_FILE, encoded: MAX_FILE, ..Limits::default() };
        let max_body = usize::try_from(max_body).unwrap_or(usize::MAX);
        Self { client: Arc::clone(client), policy: Policy { limits, ..policy }, max_body }
    }

    /// Fetches the URLs that the collection does not have yet. Afterwards it has an outcome for each of them. Dropping the
    /// future closes the connections.
    pub(crate) async fn collect(&self, into: &Collection, urls: Vec<String>, bounds: Bounds) {
        let urls = into.new_ones(urls);
        let number = MAX_URLS.saturating_sub(into.len());
        let end = Instant::now() + bounds.time.min(MAX_TIME);
        let room = self.max_body.saturating_sub(bounds.request);
        let fetches = urls.into_iter().enumerate().map(|(n, url)| async move {
            let outcome = match n < number {
                true => self.content(&url, end, room).await,
                false => Err(format!("the request has more than {MAX_URLS} URLs to fetch")),
            };
            (url, outcome)
        });
        let mut fetches = pin!(stream::iter(fetches).buffered(MAX_AT_ONCE));
        while let Some((url, outcome)) = fetches.next().await {
            let outcome = outcome.and_then(|media| match into.size() + media.size() > room {
                true => Err(format!(
                    "the request with its fetched content is larger than {} bytes",
                    self.max_body
                )),
                false => Ok(media),
            });
            into.add(url, outcome);
        }
    }

    async fn content(&self, url: &str, end: Instant, room: usize) -> Outcome {
        if let Some(held) = media::held(url) {
            return held;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("the time for fetching was over".to_owned());
        }
        let most = MAX_FILE.min(room);
        let request = Request {
            method: "GET".to_owned(),
            url: url.to_owned(),
            headers: vec![("accept".to_owned(), ACCEPT.to_owned())],
            max_bytes: Some(most),
            timeout: Some(left),
            ..Request::default()
        };
        let response = self.client.fetch(&self.policy, request).await.map_err(reason)?;
        match (response.status, response.truncated) {
            (200, false) => {
                let named = response.headers.iter().find(|(name, _)| name == "content-type");
                let content_type = named.map_or("", |(_, value)| value.as_str());
                Media::read(content_type, &response.body)
            }
            (200, true) => Err(format!("the content is larger than {most} bytes")),
            (status, _) => Err(format!("the server answered {status}")),
        }
    }
}

fn reason(refusal: Refusal) -> String {
    match refusal.code {
        "not_granted" => format!("{} in `egress.media_hosts`", refusal.message),
        _ => refusal.message,
    }
}

/// Returns the reason why a URL can never be fetched; `None` if it may be.
pub(crate) fn hopeless(url: &str) -> Option<String> {
    if let Some(held) = media::held(url) {
        return held.err();
    }
    let Ok(url) = Url::parse(url) else { return Some("it is no URL".to_owned()) };
    let scheme = url.scheme();
    match matches!(scheme, "http" | "https") {
        true if url.username().is_empty() && url.password().is_none() => None,
        true => Some("user and password may not be in the URL".to_owned()),
        false => Some(format!("`{scheme}:` is not fetched: use `https:` or `http:`")),
    }
}

//! `Collector`: fetches the images and documents that a request names by their URL. `Collection`: their contents,
//! for all attempts and turns of one exchange.
use std::collections::HashMap;
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
use crate::net::egress::memory::{Hold, Kept, Memory, Share};
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
pub struct Collection(Mutex<Found>);

/// The outcomes of an exchange's fetches, and the memory of the contents.
#[derive(Default)]
struct Found {
    contents: Contents,
    kept: Vec<Kept>,
}

/// A URL to fetch, and the number of blocks that have it.
struct Wanted {
    url: String,
    uses: usize,
}

impl fmt::Debug for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Collection of {} URLs", self.len())
    }
}

impl Collection {
    /// Returns the contents for an encoder.
    pub(crate) fn fetched(&self) -> Fetched {
        Fetched::Known(self.0.lock().contents.clone())
    }

    /// Returns the URLs that are not here yet, each once.
    fn new_ones(&self, urls: Vec<String>) -> Vec<Wanted> {
        let found = self.0.lock();
        let mut wanted: Vec<Wanted> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for url in urls.into_iter().filter(|url| !found.contents.contains_key(url)) {
            match places.get(&url) {
                Some(place) => wanted[*place].uses += 1,
                None => {
                    places.insert(url.clone(), wanted.len());
                    wanted.push(Wanted { url, uses: 1 });
                }
            }
        }
        wanted
    }

    /// Returns the bytes that the contents add to the request.
    fn size(&self) -> usize {
        self.0.lock().kept.iter().map(|kept| kept.size).sum()
    }

    fn len(&self) -> usize {
        self.0.lock().contents.len()
    }

    fn add(&self, url: String, outcome: Result<(Media, Kept), String>) {
        let mut found = self.0.lock();
        let outcome = outcome.map(|(media, kept)| {
            found.kept.push(kept);
            media
        });
        found.contents.insert(url, Arc::new(outcome));
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
    /// The memory for the contents of all requests.
    memory: Memory,
    /// The most bytes of a request with all of its contents.
    max_body: usize,
}

impl Collector {
    /// Makes a collector for requests of up to `max_body` bytes. `memory` bounds the contents of all requests.
    pub(crate) fn new(
        client: &Arc<Client>,
        policy: Policy,
        memory: &Memory,
        max_body: u64,
    ) -> Self {
        let limits =
            Limits { total: MAX_TIME, decoded: MAX_FILE, encoded: MAX_FILE, ..Limits::default() };
        let max_body = usize::try_from(max_body).unwrap_or(usize::MAX);
        let (client, memory) = (Arc::clone(client), memory.clone());
        Self { client, policy: Policy { limits, ..policy }, memory, max_body }
    }

    /// Fetches the URLs that the collection does not have yet. Afterwards it has an outcome for each of them. Dropping the
    /// future closes the connections.
    pub(crate) async fn collect(&self, into: &Collection, urls: Vec<String>, bounds: Bounds) {
        let urls = into.new_ones(urls);
        let number = MAX_URLS.saturating_sub(into.len());
        let end = Instant::now() + bounds.time.min(MAX_TIME);
        let fetched = into.size();
        let taken = bounds.request.saturating_add(fetched);
        let share = &Share::new(self.max_body, taken, fetched);
        let fetches = urls.into_iter().enumerate().map(|(n, Wanted { url, uses })| async move {
            let outcome = match n < number {
                true => self.content(&url, Hold::new(&self.memory, share, uses, end)).await,
                false => Err(format!("the request has more than {MAX_URLS} URLs to fetch")),
            };
            (url, outcome)
        });
        // a slow server must not keep the URLs after its own from being requested
        let mut fetches = pin!(stream::iter(fetches).buffer_unordered(MAX_AT_ONCE));
        while let Some((url, outcome)) = fetches.next().await {
            into.add(url, outcome);
        }
    }

    async fn content(&self, url: &str, mut hold: Hold<'_>) -> Result<(Media, Kept), String> {
        let media = match media::held(url) {
            Some(held) => held?,
            None => self.fetch(url, &mut hold).await?,
        };
        let kept = hold.keep(media.size()).await.map_err(reason)?;
        Ok((media, kept))
    }

    async fn fetch(&self, url: &str, hold: &mut Hold<'_>) -> Outcome {
        let left = hold.until().saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("the time for fetching was over".to_owned());
        }
        let most = MAX_FILE.min(hold.fitting()?);
        let request = Request {
            method: "GET".to_owned(),
            url: url.to_owned(),
            headers: vec![("accept".to_owned(), ACCEPT.to_owned())],
            max_bytes: Some(most),
            timeout: Some(left),
            ..Request::default()
        };
        let response = self.client.fetch_into(hold, &self.policy, request).await.map_err(reason)?;
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

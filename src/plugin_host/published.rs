//! Files that plugins published: kept in memory for a while, under unguessable names.
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use prometheus_client::metrics::counter::Counter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::plugin_host::behalf::File;

/// The path of published files: `GET /files/<name>`.
pub(crate) const PATH: &str = "/files/";

/// The highest number of files: small files cost memory too.
const MOST_FILES: usize = 4096;

/// The random bytes of a name, as many as a key has: the name is the only protection.
const NAME_BYTES: usize = 24;

/// `plugins.files`: files that plugins publish, such as images.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FilesConfig {
    /// The origin in the addresses of files (`https://gateway.example.com`). The default is the
    /// origin of the request that the file belongs to.
    pub public_url: Option<String>,
    /// The time for which a file is kept.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub keep: Duration,
    /// The bytes of all files together. If they are exceeded, or if there are more than 4096 files,
    /// the oldest are dropped first.
    pub max_bytes: u64,
}

impl FilesConfig {
    /// Returns the problems of the config.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let is_origin = |url: &str| {
            url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        };
        if let Some(url) = self.public_url.as_deref().filter(|url| !is_origin(url)) {
            let message = format!("`{url}` is no URL that begins with `http://` or `https://`");
            problems.push(Problem::new("plugins.files.public_url", message));
        }
        if self.keep.is_zero() {
            problems.push(Problem::new("plugins.files.keep", "is 0: give at least a second"));
        }
        problems
    }
}

impl Default for FilesConfig {
    fn default() -> Self {
        Self { public_url: None, keep: Duration::from_secs(3600), max_bytes: 64 << 20 }
    }
}

/// All published files of the process. A restart drops them.
#[derive(Default)]
pub struct Published(Mutex<Files>);

#[derive(Default)]
struct Files {
    by_name: HashMap<String, File>,
    /// Names and their times of expiry, the oldest file first.
    order: VecDeque<(Instant, String)>,
    /// The earliest time of expiry.
    first_end: Option<Instant>,
    bytes: u64,
    /// Counts files that are dropped before their time.
    dropped: Counter,
}

impl Published {
    /// Keeps no file yet. `dropped` counts those that are dropped before their time.
    pub(crate) fn new(dropped: Counter) -> Self {
        Self(Mutex::new(Files { dropped, ..Files::default() }))
    }

    /// Keeps a file and returns its name. Returns `None` if the file is larger than `max_bytes`, or
    /// if the system provides no random numbers.
    pub fn keep(&self, file: File, config: &FilesConfig, now: Instant) -> Option<String> {
        let size = size(&file);
        if size > config.max_bytes {
            return None;
        }
        let mut random = [0; NAME_BYTES];
        getrandom::fill(&mut random).ok()?;
        let name = URL_SAFE_NO_PAD.encode(random);
        let mut files = self.lock();
        files.sweep(now);
        let is_full = |files: &Files| {
            files.bytes + size > config.max_bytes || files.order.len() >= MOST_FILES
        };
        while is_full(&files) && files.drop_oldest() {}
        files.bytes += size;
        let end = now + config.keep;
        files.first_end = Some(files.first_end.map_or(end, |first| first.min(end)));
        files.order.push_back((end, name.clone()));
        files.by_name.insert(name.clone(), file);
        Some(name)
    }

    /// Returns the media type and content of a file, unless it has expired.
    pub fn find(&self, name: &str, now: Instant) -> Option<(String, Bytes)> {
        let mut files = self.lock();
        files.sweep(now);
        let file = files.by_name.get(name)?;
        Some((file.media_type.clone(), file.content.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        self.0.lock()
    }
}

impl Files {
    /// Drops expired files. A reload may have changed `keep`, so an expired file may follow one
    /// that has not expired. Most calls only compare the clock with `first_end`, because one
    /// request may look up many files.
    fn sweep(&mut self, now: Instant) {
        if self.first_end.is_none_or(|end| end > now) {
            return;
        }
        let order = std::mem::take(&mut self.order);
        let (stays, over): (VecDeque<_>, VecDeque<_>) =
            order.into_iter().partition(|(end, _)| *end > now);
        self.order = stays;
        self.first_end = self.order.iter().map(|(end, _)| *end).min();
        for (_, name) in over {
            self.forget(&name);
        }
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((_, name)) = self.order.pop_front() else { return false };
        self.forget(&name);
        self.dropped.inc();
        true
    }

    fn forget(&mut self, name: &str) {
        if let Some(file) = self.by_name.remove(name) {
            self.bytes -= size(&file);
        }
    }
}

/// Returns the bytes of a file that depend on its plugin.
fn size(file: &File) -> u64 {
    (file.media_type.len() + file.content.len()) as u64
}

#[cfg(test)]
mod tests;

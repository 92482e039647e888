//! Files that plugins published: in memory for a while, each under a name that nobody can guess.
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::plugin_host::behalf::File;

/// Where callers find what was published: `GET /files/<name>`.
pub const PATH: &str = "/files/";

/// So many files at the most: small ones cost memory as well.
const MOST_FILES: usize = 4096;

/// As many random bytes as a key has: names are the only lock.
const NAME_BYTES: usize = 24;

/// `plugins.files`: what plugins publish, an image for instance.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FilesConfig {
    /// How callers reach the gateway (`https://gateway.example.com`), for the addresses of files; by
    /// default as the request that the file belongs to did.
    pub public_url: Option<String>,
    /// How long a file is kept.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub keep: Duration,
    /// Bytes of all files together; the oldest go first, also where there are more than 4096.
    pub max_bytes: u64,
}

impl FilesConfig {
    /// What is wrong with it.
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

/// All files of the process. A restart forgets them.
#[derive(Default)]
pub struct Published(Mutex<Files>);

#[derive(Default)]
struct Files {
    by_name: HashMap<String, File>,
    /// Names and when each is over, the oldest first.
    order: VecDeque<(Instant, String)>,
    /// None of them is over before.
    first_end: Option<Instant>,
    bytes: u64,
}

impl Published {
    /// Keeps a file and tells its name; `None` if it is larger than all the room there is, or if the
    /// machine has no random numbers.
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

    /// The file of a name, unless its time is over.
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
    /// A reload may have changed how long files are kept: what is over may stand behind what is not,
    /// and is found here all the same. One request may look for many: there is seldom more to it than
    /// a glance at the clock.
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
        true
    }

    fn forget(&mut self, name: &str) {
        if let Some(file) = self.by_name.remove(name) {
            self.bytes -= size(&file);
        }
    }
}

/// What memory a file takes, as far as its plugin decides.
fn size(file: &File) -> u64 {
    (file.media_type.len() + file.content.len()) as u64
}

#[cfg(test)]
mod tests;

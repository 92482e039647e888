//! `sinks:`, the places that events are sent to.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use http::HeaderMap;
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::{Problem, Secret};
use crate::net::proxy::Proxy;
use crate::telemetry::events::journal::Journal;
use crate::telemetry::events::names::Wanted;
use crate::telemetry::events::signature::{self, Key};
use crate::telemetry::post::{address, header};
use crate::wire::duration;

const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest file, in bytes, unless the config has another number.
const MAX_BYTES: u64 = 64 << 20;
/// The smallest value of `max_bytes`.
const LEAST_BYTES: u64 = 64 << 10;
/// The number of files, unless the config has another one.
const FILES: u32 = 5;
/// The largest value of `files`.
const MOST_FILES: u32 = 1000;
/// The longest name of a sink; names are labels in metrics.
const MAX_NAME: usize = 64;

/// A sink: `file` or `http`, and the events that it receives.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SinkConfig {
    /// The file for the events, one JSON object a line. Relative paths start at the folder of the config.
    pub file: Option<PathBuf>,
    /// The URL that receives the events in batches, by `POST`.
    #[schemars(with = "Option<String>")]
    pub http: Option<Secret>,
    /// The types of events; `*` stands for any characters.
    pub events: Vec<String>,
    /// For `file`: the size in bytes at which a new file begins, 64 MiB by default.
    pub max_bytes: Option<u64>,
    /// For `file`: the most files, with the one that is written; 5 by default. The oldest one is deleted.
    pub files: Option<u32>,
    /// For `http`: the key of the signature, `whsec_` and base64 as in Standard Webhooks. Without it nothing is signed.
    #[schemars(with = "Option<String>")]
    pub secret: Option<Secret>,
    /// For `http`: the headers of each request, such as `authorization`.
    #[schemars(with = "BTreeMap<String, String>")]
    pub headers: BTreeMap<String, Secret>,
    /// For `http`: the time for one request, 10 s by default.
    #[serde(with = "duration::optional")]
    #[schemars(with = "Option<String>")]
    pub timeout: Option<Duration>,
    /// For `http`: a PEM file with the authorities that may sign the receiver's certificate.
    pub ca_file: Option<PathBuf>,
    /// For `http`: the URL of an HTTP proxy on the way.
    #[schemars(with = "Option<String>")]
    pub proxy: Option<Secret>,
    /// Keys of a sink for Kafka, which get an error of their own.
    #[serde(skip_serializing)]
    #[schemars(skip)]
    kafka: Option<IgnoredAny>,
    #[serde(skip_serializing, rename = "type")]
    #[schemars(skip)]
    kind: Option<String>,
}

impl Default for SinkConfig {
    fn default() -> Self {
        Self {
            file: None,
            http: None,
            events: vec!["*".to_owned()],
            max_bytes: None,
            files: None,
            secret: None,
            headers: BTreeMap::new(),
            timeout: None,
            ca_file: None,
            proxy: None,
            kafka: None,
            kind: None,
        }
    }
}

/// A sink without wrong values.
pub(super) struct Built {
    pub(super) wanted: Wanted,
    pub(super) place: Place,
}

/// The place that a sink writes to.
pub(super) enum Place {
    /// A file.
    File(Journal),
    /// A receiver of requests.
    Http(Box<Hook>),
}

/// A receiver of requests, and everything that a request to it needs.
pub(super) struct Hook {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    pub(super) key: Option<Key>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) proxy: Option<Proxy>,
}

/// A wrong value: its key below the sink, and a message.
type Wrong = (String, String);

impl SinkConfig {
    /// Makes the paths start at a folder.
    pub(crate) fn resolve(&mut self, base_dir: &Path) {
        for path in [&mut self.file, &mut self.ca_file].into_iter().flatten() {
            *path = base_dir.join(&*path);
        }
    }

    /// Returns all values that may be secrets, for a comparison of digests.
    pub(crate) fn secrets(&self) -> String {
        let own = [&self.http, &self.secret, &self.proxy].into_iter().flatten();
        let all = own.chain(self.headers.values()).map(Secret::expose);
        all.collect::<Vec<_>>().join("\n")
    }

    /// Fails with each wrong value. Messages quote no secret.
    pub(super) fn build(&self) -> Result<Built, Vec<Wrong>> {
        let mut wrong: Vec<Wrong> = self.of_kafka().into_iter().collect();
        if !wrong.is_empty() && self.file.is_none() && self.http.is_none() {
            return Err(wrong);
        }
        let mut keep = |found: Vec<Wrong>| wrong.extend(found);
        let wanted = Wanted::new(&self.events).map_err(&mut keep).ok();
        let place = match (&self.file, &self.http) {
            (Some(file), None) => self.journal(file).map(Place::File),
            (None, Some(url)) => self.hook(url).map(|hook| Place::Http(Box::new(hook))),
            (None, None) => {
                Err(alone(String::new(), "neither `file` nor `http`: give one of them"))
            }
            (Some(_), Some(_)) => {
                Err(alone(String::new(), "both `file` and `http`: give one of them"))
            }
        };
        let place = place.map_err(&mut keep).ok();
        match (wanted, place) {
            (Some(wanted), Some(place)) if wrong.is_empty() => Ok(Built { wanted, place }),
            _ => Err(wrong),
        }
    }

    /// Returns the problem of a sink for Kafka, or of one with a `type`.
    fn of_kafka(&self) -> Option<Wrong> {
        const KAFKA: &str = "Kafka is not supported: send the events by `http` to a bridge, such as the HTTP source of \
             Vector or Kafka Connect";
        const TYPE: &str = "unknown key: a sink has either `file` or `http`";
        match (self.kafka, self.kind.as_deref()) {
            (Some(_), _) => Some(("kafka".to_owned(), KAFKA.to_owned())),
            (None, Some("kafka")) => Some(("type".to_owned(), KAFKA.to_owned())),
            (None, Some(_)) => Some(("type".to_owned(), TYPE.to_owned())),
            (None, None) => None,
        }
    }

    fn journal(&self, file: &Path) -> Result<Journal, Vec<Wrong>> {
        let mut wrong = Vec::new();
        let mut note = |key: &str, message: String| wrong.push((key.to_owned(), message));
        let others = [
            ("secret", self.secret.is_some()),
            ("headers", !self.headers.is_empty()),
            ("timeout", self.timeout.is_some()),
            ("ca_file", self.ca_file.is_some()),
            ("proxy", self.proxy.is_some()),
        ];
        for (key, _) in others.into_iter().filter(|(_, is_set)| *is_set) {
            note(key, "belongs to a sink with `http`".to_owned());
        }
        let max_bytes = self.max_bytes.unwrap_or(MAX_BYTES);
        if max_bytes < LEAST_BYTES {
            note("max_bytes", format!("must be at least {LEAST_BYTES}, found {max_bytes}"));
        }
        let files = self.files.unwrap_or(FILES);
        if !(1..=MOST_FILES).contains(&files) {
            note("files", format!("must be from 1 to {MOST_FILES}, found {files}"));
        }
        if file.file_name().is_none() {
            note("file", "expected the path of a file".to_owned());
        }
        match wrong.is_empty() {
            true => Ok(Journal::new(file, max_bytes, files)),
            false => Err(wrong),
        }
    }

    fn hook(&self, url: &Secret) -> Result<Hook, Vec<Wrong>> {
        let mut wrong = Vec::new();
        let mut note = |key: &str, message: String| wrong.push((key.to_owned(), message));
        for (key, is_set) in
            [("max_bytes", self.max_bytes.is_some()), ("files", self.files.is_some())]
        {
            if is_set {
                note(key, "belongs to a sink with `file`".to_owned());
            }
        }
        let timeout = self.timeout.unwrap_or(TIMEOUT);
        if timeout.is_zero() {
            note("timeout", "must be more than 0".to_owned());
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            match header(name, value.expose(), &signature::HEADERS) {
                Ok((name, value)) => headers.extend([(name, value)]),
                Err(message) => note(&format!("headers.{name}"), message),
            }
        }
        let key = self.secret.as_ref().map(|secret| Key::parse(secret.expose()));
        let key = key.transpose().unwrap_or_else(|message| {
            note("secret", message);
            None
        });
        let proxy = self.proxy.as_ref().map(|proxy| Proxy::parse(proxy.expose()));
        let proxy = proxy.transpose().unwrap_or_else(|message| {
            note("proxy", message);
            None
        });
        let url = address(url.expose(), "a URL such as `https://hooks.example.com/tidegate`");
        let url = url.map_err(|message| note("http", format!("expected {message}"))).ok();
        let made = |url| Hook { url, headers, timeout, key, ca_file: self.ca_file.clone(), proxy };
        match url.filter(|_| wrong.is_empty()) {
            Some(url) => Ok(made(url)),
            None => Err(wrong),
        }
    }
}

fn alone(key: String, message: &str) -> Vec<Wrong> {
    vec![(key, message.to_owned())]
}

/// Returns each wrong value of the sinks that could be read, by their names.
pub(crate) fn problems(sinks: &[(String, Option<SinkConfig>)]) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut files = BTreeSet::new();
    let names = |config: &SinkConfig| config.file.as_deref().map(|file| older(file, config.files));
    let older: Vec<(&str, BTreeSet<PathBuf>)> = sinks
        .iter()
        .filter_map(|(name, config)| Some((&**name, config.as_ref().and_then(names)?)))
        .collect();
    for (name, config) in sinks {
        let is_name = (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        if !is_name {
            let message = format!(
                "a sink has a name of at most {MAX_NAME} letters, digits, `_`, `-` and `.`"
            );
            found.push(Problem::new(format!("sinks.{name}"), message));
        }
        let Some(config) = config else { continue };
        found.extend(config.build().err().into_iter().flatten().map(|wrong| of_sink(name, wrong)));
        let Some(file) = config.file.as_deref().map(lexical) else { continue };
        let rotated = older.iter().find(|(_, older)| older.contains(&file));
        if let Some((other, _)) = rotated {
            let message =
                format!("the sink `{other}` renames its older files to this name: choose another");
            found.push(of_sink(name, ("file".to_owned(), message)));
        }
        if !files.insert(file) {
            let message = "another sink writes to this file: name another".to_owned();
            found.push(of_sink(name, ("file".to_owned(), message)));
        }
    }
    found
}

/// Returns a path without `.` and `..`, so that two spellings of a name are one.
fn lexical(path: &Path) -> PathBuf {
    let mut found = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(found.pop()),
            part => found.push(part),
        }
    }
    found
}

/// Returns the names that a sink's older files have.
fn older(file: &Path, files: Option<u32>) -> BTreeSet<PathBuf> {
    let files = files.unwrap_or(FILES).min(MOST_FILES);
    let journal = Journal::new(&lexical(file), MAX_BYTES, files);
    (1..files).map(|n| journal.older(n)).collect()
}

/// Returns the problem of a sink.
pub(super) fn of_sink(name: &str, (key, message): Wrong) -> Problem {
    let dot = if key.is_empty() { "" } else { "." };
    Problem::new(format!("sinks.{name}{dot}{key}"), message)
}

//! `MockHost`: the gateway's facts and answers in a test, and the functions that plugins call.
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::http_message::{Request, Response};
use crate::level::Level;
use crate::plugin::Wants;
use crate::problem::{Problem, Result};

thread_local! {
    static HOST: RefCell<MockHost> = RefCell::new(MockHost::new());
}

/// The gateway's facts and answers during one call.
#[derive(Clone)]
pub struct MockHost {
    config: Value,
    context: Value,
    clock: u64,
    logs: Vec<(Level, String)>,
    fetches: Rc<Fetches>,
    models: Rc<Models>,
    kept: Rc<RefCell<BTreeMap<String, Kept>>>,
    published: Rc<RefCell<Vec<File>>>,
    /// The requested capabilities of the running plugin. `None` for code outside a plugin, which
    /// may do everything.
    wants: Option<Wants>,
}

/// A value of the store, and the time at which it expires.
struct Kept {
    value: Vec<u8>,
    until: Option<u64>,
}

/// A media type and a content.
type File = (String, Vec<u8>);
type Fetches = dyn Fn(&Request) -> Result<Response>;
type Models = dyn Fn(&Value) -> Result<Value>;

impl fmt::Debug for MockHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockHost").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Default for MockHost {
    fn default() -> Self {
        Self::new()
    }
}

impl MockHost {
    /// Makes a host without config and context, and with the clock at 0.
    pub fn new() -> Self {
        Self {
            config: json!({}),
            context: json!({}),
            clock: 0,
            logs: Vec::new(),
            fetches: Rc::new(|request| {
                let message = format!("nothing answers `{}`: use `on_fetch`", request.url);
                Err(Problem::new("unreachable", message))
            }),
            models: Rc::new(|_| {
                Err(Problem::new("not_granted", "no model answers: use `on_model_call`"))
            }),
            kept: Rc::default(),
            published: Rc::default(),
            wants: None,
        }
    }

    /// Sets the config.
    pub fn config(mut self, config: Value) -> Self {
        self.config = config;
        self
    }

    /// Sets the facts of an exchange.
    pub fn context(mut self, context: Value) -> Self {
        self.context = context;
        self
    }

    /// Sets the current time, in nanoseconds since 1970.
    pub fn clock(mut self, nanoseconds: u64) -> Self {
        self.clock = nanoseconds;
        self
    }

    /// Sets the function that answers [`http`](crate::http) requests. Redirects are followed as far
    /// as the plugin allows, and each hop calls this function. A test that needs a refusal of the
    /// gateway (such as an address that is not allowed) returns its [`Problem`] here.
    pub fn on_fetch(mut self, answer: impl Fn(&Request) -> Result<Response> + 'static) -> Self {
        self.fetches = Rc::new(answer);
        self
    }

    /// Sets the function that answers [`host::model_call`](crate::host::model_call).
    pub fn on_model_call(mut self, answer: impl Fn(&Value) -> Result<Value> + 'static) -> Self {
        self.models = Rc::new(answer);
        self
    }

    /// Puts a value in the plugin's store.
    pub fn kept(self, key: &str, value: &[u8]) -> Self {
        let kept = Kept { value: value.to_owned(), until: None };
        self.kept.borrow_mut().insert(key.to_owned(), kept);
        self
    }

    /// Returns the files published so far: media types and contents.
    pub fn published(&self) -> Vec<(String, Vec<u8>)> {
        self.published.borrow().clone()
    }

    /// Returns a copy for a plugin. It rejects everything that the plugin's manifest does not
    /// request.
    pub(crate) fn wanting(&self, wants: Wants) -> Self {
        Self { wants: Some(wants), ..self.clone() }
    }

    /// Runs code that calls the host, on this thread.
    pub fn run<T>(&self, what: impl FnOnce() -> T) -> T {
        let before = HOST.replace(self.clone());
        let result = what();
        HOST.set(before);
        result
    }
}

/// Returns the lines logged since [`MockHost::run`] began. Call it inside `run`.
pub fn logs() -> Vec<(Level, String)> {
    HOST.with_borrow(|host| host.logs.clone())
}

pub(crate) fn log(level: Level, message: &str) {
    HOST.with_borrow_mut(|host| host.logs.push((level, message.to_owned())));
}

pub(crate) fn clock() -> u64 {
    HOST.with_borrow(|host| host.clock)
}

pub(crate) fn config() -> String {
    HOST.with_borrow(|host| host.config.to_string())
}

pub(crate) fn context() -> String {
    HOST.with_borrow(|host| host.context.to_string())
}

/// Returns a clone from the cell, because an answer may itself call the host.
fn host() -> MockHost {
    HOST.with_borrow(MockHost::clone)
}

pub(crate) fn fetch(request: &Request) -> Result<Response> {
    /// The gateway's own limit.
    const MOST: u8 = 5;
    let host = host();
    let follows = request.redirects.map_or(MOST, |own| own.min(MOST));
    let mut hop = request.clone();
    for followed in 0..=follows {
        host.wants.map_or(Ok(()), |wants| wants.check_host(&hop.url))?;
        let mut answer = (host.fetches)(&hop)?;
        if answer.url.is_empty() {
            answer.url.clone_from(&hop.url);
        }
        let next = answer.location().map(|location| redirect::join(&hop.url, location));
        match next {
            Some(url) if followed < follows => hop = redirect::next(hop, answer.status, url),
            Some(_) if request.redirects.is_none() => break,
            _ => return Ok(answer),
        }
    }
    let message = format!("more than {MOST} redirects: ask for where they lead");
    Err(Problem::new("too_many_redirects", message))
}

pub(crate) fn model_call(request: &str) -> Result<String> {
    let request: Value = serde_json::from_str(request)
        .map_err(|e| Problem::invalid_input(format!("the request is no JSON: {e}")))?;
    let Some(alias) = request["model"].as_str() else {
        return Err(Problem::invalid_input("`model` is missing: it must be a string"));
    };
    let host = host();
    host.wants.map_or(Ok(()), |wants| wants.check_model(alias))?;
    (host.models)(&request).map(|message| message.to_string())
}

pub(crate) fn kv_get(key: &str) -> Option<Vec<u8>> {
    let host = host();
    let kept = host.kept.borrow();
    let kept = kept.get(key)?;
    kept.until.is_none_or(|until| host.clock < until).then(|| kept.value.clone())
}

pub(crate) fn kv_set(key: &str, value: &[u8], ttl_seconds: Option<u32>) -> Result<()> {
    let host = host();
    let mut kept = host.kept.borrow_mut();
    let others = kept.iter().filter(|(other, _)| *other != key);
    let others: usize = others.map(|(key, kept)| key.len() + kept.value.len()).sum();
    let used = others + key.len() + value.len();
    host.wants.map_or(Ok(()), |wants| wants.check_kv(used))?;
    let until = ttl_seconds.map(|seconds| host.clock + u64::from(seconds) * 1_000_000_000);
    kept.insert(key.to_owned(), Kept { value: value.to_owned(), until });
    Ok(())
}

pub(crate) fn kv_remove(key: &str) -> bool {
    host().kept.borrow_mut().remove(key).is_some()
}

pub(crate) fn publish(media_type: &str, content: &[u8]) -> Result<String> {
    let host = host();
    host.wants.map_or(Ok(()), |wants| wants.check_publish())?;
    let mut published = host.published.borrow_mut();
    published.push((media_type.to_owned(), content.to_owned()));
    Ok(format!("https://gateway.test/files/{}", published.len()))
}

/// Follows redirects like the host.
mod redirect {
    use crate::http_message::Request;

    /// Returns the request for the next hop.
    pub(super) fn next(mut request: Request, status: u16, url: String) -> Request {
        let is_get_now = match status {
            303 => request.method != "HEAD",
            301 | 302 => request.method == "POST",
            _ => false,
        };
        if is_get_now {
            (request.method, request.body) = ("GET".to_owned(), None);
        }
        Request { url, ..request }
    }

    /// Returns the address of a `location`, relative to another address.
    pub(super) fn join(base: &str, location: &str) -> String {
        let end = |text: &str, marks: &[char]| text.find(marks).unwrap_or(text.len());
        let is_whole = location[..end(location, &['/', '?', '#'])].contains(':');
        let (scheme, rest) = base.split_once("://").unwrap_or(("https", base));
        let (authority, path) = rest.split_at(end(rest, &['/', '?', '#']));
        let path = &path[..end(path, &['?', '#'])];
        match location {
            _ if is_whole => location.to_owned(),
            _ if location.starts_with("//") => format!("{scheme}:{location}"),
            _ if location.starts_with('/') => format!("{scheme}://{authority}{location}"),
            _ if location.starts_with('?') => format!("{scheme}://{authority}{path}{location}"),
            _ if location.starts_with('#') => format!("{}{location}", &base[..end(base, &['#'])]),
            _ => {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                format!("{scheme}://{authority}{}", without_dots(&format!("{folder}/{location}")))
            }
        }
    }

    /// Resolves dots: `/a/./b/../c` is `/a/c`.
    fn without_dots(path: &str) -> String {
        let (path, query) = path.split_at(path.find(['?', '#']).unwrap_or(path.len()));
        let mut kept = Vec::new();
        for part in path.split('/').skip(1) {
            match part {
                "." => {}
                ".." => drop(kept.pop()),
                part => kept.push(part),
            }
        }
        format!("/{}{query}", kept.join("/"))
    }
}

//! `PluginCall`: the host's state of one plugin call, and the terms of all calls of a plugin.
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};
use tokio::time::Instant;
use wasmtime_wasi::{WasiCtxView, WasiView};

use crate::error::Error;
use crate::plugin_host::behalf::Behalf;
use crate::plugin_host::grants::Grants;
use crate::plugin_host::kv::Kv;
use crate::plugin_host::means::Clock;
use crate::plugin_host::wasi::Wasi;
use crate::plugin_host::way_out::OwnWayOut;
use crate::wire::Document;

/// The terms of every call of a loaded plugin.
pub(super) struct Terms {
    /// The plugin's name, for its log lines.
    pub(super) name: Arc<str>,
    /// The operator's config as JSON text, without the keys of the gateway.
    pub(super) config: String,
    /// The capabilities of the plugin.
    pub(super) grants: Arc<Grants>,
    /// The plugin's access to the network, if any.
    pub(super) way_out: Option<OwnWayOut>,
    /// The plugin's own store.
    pub(super) kv: Arc<Kv>,
    /// The clock for the expiry of store entries.
    pub(super) clock: Clock,
    /// The bytes of memory that one call may use.
    pub(super) memory: usize,
}

/// The host's state of one call.
pub(super) struct PluginCall {
    pub(super) terms: Arc<Terms>,
    /// The exchange; `None` while the plugin is loaded.
    pub(super) facts: Option<Facts>,
    /// The parameters of a stage that is being created.
    pub(super) stage: Option<Arc<Map<String, Value>>>,
    /// The document of the call's resource.
    pub(super) document: Option<Document>,
    /// An error of the request itself, not of the plugin.
    pub(super) refused: Option<Error>,
    /// The bytes of input that others chose: parts of the document, a tool's input, responses.
    pub(super) input: usize,
    /// The last line that the plugin logged as an error.
    pub(super) last_words: Option<String>,
    /// The memory limit, and whether the plugin exceeded it.
    pub(super) memory: Memory,
    /// The WASI state of a component that uses it.
    pub(super) wasi: Option<Box<Wasi>>,
    /// The time limit of the call, waiting included.
    pub(super) limit: Duration,
    /// The deadline of the call. Every wait of the call ends before it.
    pub(super) until: Instant,
}

/// The size of the input that others chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// The input cannot be the reason for a failure.
    Usual,
    /// The input may be the reason why the plugin runs out of memory or time.
    Large,
}

/// The request that a plugin serves.
pub(super) struct Facts {
    /// The exchange, and the gateway services that the plugin may use in it.
    pub(super) behalf: Behalf,
    /// The stage's own parameters.
    pub(super) with: Arc<Map<String, Value>>,
    /// The bytes of a tool's input and options.
    pub(super) input: usize,
}

/// The limit on all linear memory and tables of one instance.
pub(super) struct Memory {
    /// The limit of all linear memories together, in bytes.
    pub(super) limit: usize,
    /// The bytes in use. A growth that was allowed and then failed counts as well: the engine
    /// reports other failures in the same way, so a guest could gain room by them.
    pub(super) used: usize,
    /// Whether the plugin exceeded the limit.
    pub(super) is_exceeded: bool,
}

/// The maximum number of table entries, more than a usual function table has.
const MAX_TABLE: usize = 20_000;

impl Terms {
    /// Returns the terms of a plugin while it is loaded: nothing is granted yet.
    pub(super) fn bare(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            config: self.config.clone(),
            grants: Arc::default(),
            way_out: None,
            kv: Arc::clone(&self.kv),
            clock: Arc::clone(&self.clock),
            memory: self.memory,
        }
    }
}

/// The longest time that remains for the plugin after a host function, to report its failure.
const LAST_WORD: Duration = Duration::from_millis(500);

/// The time limit of `describe`. It includes the start of the plugin, so it is long.
const DESCRIBE: Duration = Duration::from_secs(5);

impl PluginCall {
    /// Creates a call that reads a plugin's manifest.
    pub(super) fn loading(terms: &Arc<Terms>) -> Self {
        Self::new(terms, None, None, DESCRIBE)
    }

    /// Creates a call that begins now and has this time limit.
    pub(super) fn new(
        terms: &Arc<Terms>,
        facts: Option<Facts>,
        document: Option<Document>,
        limit: Duration,
    ) -> Self {
        let input = facts.as_ref().map_or(0, |facts| facts.input);
        Self {
            terms: Arc::clone(terms),
            facts,
            stage: None,
            document,
            refused: None,
            input,
            last_words: None,
            memory: Memory { limit: terms.memory, used: 0, is_exceeded: false },
            wasi: None,
            limit,
            until: Instant::now() + limit,
        }
    }

    /// Takes over the memory count and the output streams of the instance's previous call.
    pub(super) fn resume(&mut self, before: &mut Self) {
        self.wasi = before.wasi.take();
        self.memory.used = before.memory.used;
        if let Some(wasi) = &self.wasi {
            wasi.serve(self.request_id());
        }
    }

    /// Ends the guest's output. Its last line on standard error becomes its last words, unless it
    /// has logged an error.
    pub(super) fn finish(&mut self) {
        let printed = self.wasi.as_ref().and_then(|wasi| wasi.finish());
        self.last_words = self.last_words.take().or(printed);
    }

    /// Returns the size of the input. A parsed value may take a hundred times the bytes of its JSON text, so
    /// an input is large long before it fills the memory.
    pub(super) fn size(&self) -> Size {
        if self.input < self.memory.limit / 128 { Size::Usual } else { Size::Large }
    }

    /// Returns the time that a host function may take. The rest is left to the plugin, to report a failure.
    pub(super) fn time_left(&self) -> Duration {
        let left = self.until.saturating_duration_since(Instant::now());
        left.saturating_sub(LAST_WORD.min(left / 10))
    }

    /// Returns the key of the request's caller; empty while the plugin is loaded.
    pub(super) fn key(&self) -> &str {
        self.facts.as_ref().map_or("", |facts| facts.behalf.context.caller.id())
    }

    /// Returns the JSON text of `context`.
    pub(super) fn context(&self) -> String {
        match (&self.facts, &self.stage) {
            (Some(facts), _) => facts.to_json(),
            (None, Some(with)) => serde_json::json!({"with": **with}).to_string(),
            (None, None) => "{}".to_owned(),
        }
    }

    pub(super) fn request_id(&self) -> &str {
        self.facts.as_ref().map_or("", |facts| &facts.behalf.context.request_id)
    }
}

impl wasmtime::ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        let fits = used <= self.limit && maximum.is_none_or(|maximum| desired <= maximum);
        if fits {
            self.used = used;
        }
        self.is_exceeded |= !fits;
        Ok(fits)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE)
    }
}

impl WasiView for PluginCall {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.get_or_insert_with(|| {
            let request_id =
                self.facts.as_ref().map_or("", |facts| &facts.behalf.context.request_id);
            Box::new(Wasi::new(&self.terms.name, request_id))
        });
        wasi.view()
    }
}

impl Facts {
    fn to_json(&self) -> String {
        let context = &self.behalf.context;
        let context = ContextJson {
            request_id: &context.request_id,
            key: &context.caller.key,
            tags: &context.caller.tags,
            model: &context.model,
            session: &context.session,
            headers: Headers(&context.headers),
            with: &self.with,
        };
        serde_json::to_string(&context).unwrap_or_else(|_| "{}".to_owned())
    }
}

/// The context in the form that a plugin reads, serialized without a tree in between.
#[derive(serde::Serialize)]
struct ContextJson<'a, T> {
    request_id: &'a str,
    key: &'a str,
    tags: &'a T,
    model: &'a str,
    session: &'a str,
    headers: Headers<'a>,
    with: &'a Map<String, Value>,
}

/// The headers as an object. The values of a repeated header are joined.
struct Headers<'a>(&'a HeaderMap);

impl serde::Serialize for Headers<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let all = |name: &HeaderName| {
            let mut values = self.0.get_all(name).iter();
            let first = values.next().map_or(Cow::Borrowed(""), text);
            values.fold(first, |all, value| format!("{all}, {}", text(value)).into())
        };
        serializer.collect_map(self.0.keys().map(|name| (name.as_str(), all(name))))
    }
}

fn text(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

//! `Call`: the host's side of one call of a plugin, and what holds for all calls of it.
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

/// What holds for every call of a loaded plugin.
pub(super) struct Terms {
    /// The plugin's name, for its log lines.
    pub(super) name: Arc<str>,
    /// What the operator configured, without the gateway's own keys, as JSON text.
    pub(super) config: String,
    /// What it may reach.
    pub(super) grants: Arc<Grants>,
    /// How it reaches the network, where anything does.
    pub(super) way_out: Option<OwnWayOut>,
    /// Its own store.
    pub(super) kv: Arc<Kv>,
    /// By which entries of the store are over.
    pub(super) clock: Clock,
    /// Bytes of memory that one call may have.
    pub(super) memory: usize,
}

/// The host's side of one call.
pub(super) struct Call {
    pub(super) terms: Arc<Terms>,
    /// The exchange; none while the plugin is loaded.
    pub(super) facts: Option<Facts>,
    /// The parameters of a stage that is being made.
    pub(super) stage: Option<Arc<Map<String, Value>>>,
    /// What the call's document resource stands for.
    pub(super) document: Option<Document>,
    /// An error of the request itself (not of the plugin) that the call ran into.
    pub(super) refused: Option<Error>,
    /// The last line that the plugin logged as an error.
    pub(super) last_words: Option<String>,
    /// How much memory it may have, and whether it wanted more.
    pub(super) memory: Memory,
    /// What WASI holds, of a component that uses it.
    pub(super) wasi: Option<Box<Wasi>>,
    /// How long it may take, waiting included.
    pub(super) limit: Duration,
    /// When it has to be over: whatever it waits for ends before.
    pub(super) until: Instant,
}

/// For whom a plugin runs.
pub(super) struct Facts {
    /// The exchange, and what the plugin reaches within it.
    pub(super) behalf: Behalf,
    /// The stage's own parameters.
    pub(super) with: Arc<Map<String, Value>>,
}

/// A limit on all linear memory and tables of one instance.
pub(super) struct Memory {
    /// Bytes of all linear memories together.
    pub(super) limit: usize,
    /// How many they have. A growth that was allowed and failed all the same counts as well: the
    /// engine tells of others in the same way, and a guest could make room by those.
    pub(super) used: usize,
    /// The plugin wanted more.
    pub(super) is_exceeded: bool,
}

/// More entries than any sane plugin's function table has.
const MAX_TABLE: usize = 20_000;

impl Terms {
    /// What a plugin has while it is loaded: nothing is granted yet.
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

/// How long a plugin may take to describe itself; a start, so it is generous.
const DESCRIBE: Duration = Duration::from_secs(5);

impl Call {
    /// One that asks a plugin for its manifest.
    pub(super) fn loading(terms: &Arc<Terms>) -> Self {
        Self::new(terms, None, None, DESCRIBE)
    }

    /// A call that begins now and may take so long.
    pub(super) fn new(
        terms: &Arc<Terms>,
        facts: Option<Facts>,
        document: Option<Document>,
        limit: Duration,
    ) -> Self {
        Self {
            terms: Arc::clone(terms),
            facts,
            stage: None,
            document,
            refused: None,
            last_words: None,
            memory: Memory { limit: terms.memory, used: 0, is_exceeded: false },
            wasi: None,
            limit,
            until: Instant::now() + limit,
        }
    }

    /// Takes up what the call before it has left to the instance: its memory, and what it prints to.
    pub(super) fn resume(&mut self, before: &mut Self) {
        self.wasi = before.wasi.take();
        self.memory.used = before.memory.used;
        if let Some(wasi) = &self.wasi {
            wasi.serve(self.request_id());
        }
    }

    /// Ends what the guest has begun to print. Its last line on standard error are its last words,
    /// unless it has logged some.
    pub(super) fn finish(&mut self) {
        let printed = self.wasi.as_ref().and_then(|wasi| wasi.finish());
        self.last_words = self.last_words.take().or(printed);
    }

    /// Whose request it serves; empty while the plugin is loaded.
    pub(super) fn key(&self) -> &str {
        self.facts.as_ref().map_or("", |facts| &facts.behalf.context.caller.key)
    }

    /// What `context` tells.
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

impl WasiView for Call {
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
        let told = Told {
            request_id: &context.request_id,
            key: &context.caller.key,
            tags: &context.caller.tags,
            model: &context.model,
            session: &context.session,
            headers: Headers(&context.headers),
            with: &self.with,
        };
        serde_json::to_string(&told).unwrap_or_else(|_| "{}".to_owned())
    }
}

/// The context as a plugin reads it, written without a tree in between.
#[derive(serde::Serialize)]
struct Told<'a, T> {
    request_id: &'a str,
    key: &'a str,
    tags: &'a T,
    model: &'a str,
    session: &'a str,
    headers: Headers<'a>,
    with: &'a Map<String, Value>,
}

/// Headers as an object; the values of one that came several times are joined.
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

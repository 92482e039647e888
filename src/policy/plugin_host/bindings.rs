//! What a plugin may ask of the host during one call: the imports of `sdk/wit/tidegate.wit`.
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};
use wasmtime::component::{HasSelf, Linker, Resource};

use crate::error::{Error, ErrorKind, Result};
use crate::policy::Behalf;
use crate::policy::plugin_host::wasi::Wasi;
use crate::wire::{Document, Kind, Step};

wasmtime::component::bindgen!({
    path: "sdk/wit",
    interfaces: "
        import tidegate:plugin/types@0.1.0;
        import tidegate:plugin/host@0.1.0;
    ",
    imports: {
        "tidegate:plugin/host@0.1.0.fetch": async | trappable,
        "tidegate:plugin/host@0.1.0.model-call": async | trappable,
        default: trappable,
    },
    with: {
        "tidegate:plugin/host.request": RequestBody,
        "tidegate:plugin/host.message": MessageBody,
    },
});

use tidegate::plugin::host::{Host, HostMessage, HostRequest, HttpRequest, HttpResponse, Level};
pub(in crate::policy) use tidegate::plugin::types::{Action, Denial, Problem};

/// The version of the border that this gateway offers; every `0.1.x` plugin runs on it.
pub(super) const OFFERS: &str = "0.1.0";

/// A plugin's log line is cut here, in bytes: it is the plugin's word, not the gateway's.
const LONGEST_LINE: usize = 4096;

/// What a handle of the guest stands for: the one document of the call.
pub enum RequestBody {}
/// The same where it is a message.
pub enum MessageBody {}

/// The host's side of one call.
pub(in crate::policy) struct Call {
    /// The plugin's name, for its log lines.
    pub(in crate::policy) plugin: Arc<str>,
    /// What the operator configured, as JSON text.
    pub(in crate::policy) config: Arc<str>,
    /// The exchange; none while the plugin is loaded.
    pub(in crate::policy) facts: Option<Facts>,
    /// What the call's document resource stands for.
    pub(in crate::policy) document: Option<Document>,
    /// An error of the request itself (not of the plugin) that the call ran into.
    pub(in crate::policy) refused: Option<Error>,
    /// The last line that the plugin logged as an error.
    pub(in crate::policy) last_words: Option<String>,
    /// How much memory it may have, and whether it wanted more.
    pub(in crate::policy) memory: Memory,
    /// What WASI holds, of a component that uses it.
    pub(in crate::policy) wasi: Option<Box<Wasi>>,
}

/// What `context` tells.
pub(in crate::policy) struct Facts {
    /// The exchange, and what the plugin reaches within it.
    pub(in crate::policy) behalf: Behalf,
    /// The stage's own parameters.
    pub(in crate::policy) with: Arc<Map<String, Value>>,
}

/// A limit on all linear memory and tables of one call.
pub(in crate::policy) struct Memory {
    /// Bytes of one linear memory.
    pub(in crate::policy) limit: usize,
    /// The plugin wanted more.
    pub(in crate::policy) is_exceeded: bool,
}

/// More entries than any sane plugin's function table has.
const MAX_TABLE: usize = 20_000;

impl wasmtime::ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = desired <= self.limit && maximum.is_none_or(|maximum| desired <= maximum);
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

/// Everything that a plugin may import.
pub(super) fn link(linker: &mut Linker<Call>) -> wasmtime::Result<()> {
    tidegate::plugin::types::add_to_linker::<_, HasSelf<_>>(linker, |call| call)?;
    tidegate::plugin::host::add_to_linker::<_, HasSelf<_>>(linker, |call| call)
}

impl tidegate::plugin::types::Host for Call {}

impl Host for Call {
    fn log(&mut self, level: Level, mut message: String) -> wasmtime::Result<()> {
        if message.len() > LONGEST_LINE {
            let end = (0..=LONGEST_LINE).rev().find(|end| message.is_char_boundary(*end));
            message.truncate(end.unwrap_or(0));
            message.push('…');
        }
        let plugin = &*self.plugin;
        let request_id = self.facts.as_ref().map_or("", |facts| &facts.behalf.context.request_id);
        match level {
            Level::Error => tracing::error!(plugin, request_id, "{message}"),
            Level::Warn => tracing::warn!(plugin, request_id, "{message}"),
            Level::Info => tracing::info!(plugin, request_id, "{message}"),
            Level::Debug => tracing::debug!(plugin, request_id, "{message}"),
            Level::Trace => tracing::trace!(plugin, request_id, "{message}"),
        }
        if level == Level::Error {
            self.last_words = Some(message);
        }
        Ok(())
    }

    fn config(&mut self) -> wasmtime::Result<String> {
        Ok(self.config.to_string())
    }

    fn clock(&mut self) -> wasmtime::Result<u64> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    fn context(&mut self) -> wasmtime::Result<String> {
        Ok(self.facts.as_ref().map_or_else(|| "{}".to_owned(), Facts::to_json))
    }

    async fn fetch(&mut self, _: HttpRequest) -> wasmtime::Result<Result<HttpResponse, Problem>> {
        Ok(Err(not_granted("fetch")))
    }

    async fn model_call(&mut self, _: String) -> wasmtime::Result<Result<String, Problem>> {
        Ok(Err(not_granted("model-call")))
    }

    fn kv_get(&mut self, _: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn kv_set(
        &mut self,
        _: String,
        _: Vec<u8>,
        _: Option<u32>,
    ) -> wasmtime::Result<Result<(), Problem>> {
        Ok(Err(not_granted("kv-set")))
    }

    fn kv_remove(&mut self, _: String) -> wasmtime::Result<bool> {
        Ok(false)
    }

    fn publish(&mut self, _: String, _: Vec<u8>) -> wasmtime::Result<Result<String, Problem>> {
        Ok(Err(not_granted("publish")))
    }
}

fn not_granted(import: &str) -> Problem {
    Problem {
        code: "not_granted".to_owned(),
        message: format!("`{import}` is not granted to this plugin"),
        retryable: false,
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

impl HostRequest for Call {
    fn get(
        &mut self,
        _: Resource<RequestBody>,
        pointer: String,
    ) -> wasmtime::Result<Option<String>> {
        self.get(&pointer)
    }

    fn set(
        &mut self,
        _: Resource<RequestBody>,
        pointer: String,
        json: String,
    ) -> wasmtime::Result<Result<(), String>> {
        self.set(&pointer, json)
    }

    fn remove(&mut self, _: Resource<RequestBody>, pointer: String) -> wasmtime::Result<bool> {
        self.remove(&pointer)
    }

    fn bytes(&mut self, _: Resource<RequestBody>) -> wasmtime::Result<Vec<u8>> {
        self.bytes()
    }

    fn drop(&mut self, _: Resource<RequestBody>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl HostMessage for Call {
    fn get(
        &mut self,
        _: Resource<MessageBody>,
        pointer: String,
    ) -> wasmtime::Result<Option<String>> {
        self.get(&pointer)
    }

    fn set(
        &mut self,
        _: Resource<MessageBody>,
        pointer: String,
        json: String,
    ) -> wasmtime::Result<Result<(), String>> {
        self.set(&pointer, json)
    }

    fn remove(&mut self, _: Resource<MessageBody>, pointer: String) -> wasmtime::Result<bool> {
        self.remove(&pointer)
    }

    fn bytes(&mut self, _: Resource<MessageBody>) -> wasmtime::Result<Vec<u8>> {
        self.bytes()
    }

    fn drop(&mut self, _: Resource<MessageBody>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl Call {
    fn get(&mut self, pointer: &str) -> wasmtime::Result<Option<String>> {
        let found = self.with_document(|document| {
            let path = steps(document, pointer)?;
            document.get(&path.steps())
        })?;
        found.map(|json| Ok(String::from_utf8(json.into())?)).transpose()
    }

    fn set(&mut self, pointer: &str, json: String) -> wasmtime::Result<Result<(), String>> {
        self.with_document(|document| {
            let path = steps(document, pointer)?;
            match document.set(&path.steps(), json) {
                // the plugin's own mistake, and its to handle
                Err(error) if error.kind == ErrorKind::Api => Ok(Err(error.message)),
                done => done.map(Ok),
            }
        })
    }

    fn remove(&mut self, pointer: &str) -> wasmtime::Result<bool> {
        self.with_document(|document| {
            let path = steps(document, pointer)?;
            document.remove(&path.steps())
        })
    }

    fn bytes(&mut self) -> wasmtime::Result<Vec<u8>> {
        self.with_document(|document| Ok(document.to_bytes().into()))
    }

    /// An error of the document (a duplicate key) is the request's end, whatever the plugin thinks.
    fn with_document<T>(
        &mut self,
        access: impl FnOnce(&mut Document) -> Result<T>,
    ) -> wasmtime::Result<T> {
        let document = self.document.as_mut();
        let document = document.ok_or_else(|| wasmtime::Error::msg("the call has no document"))?;
        access(document).map_err(|error| {
            let trap = wasmtime::Error::msg(error.to_string());
            self.refused = Some(error);
            trap
        })
    }
}

/// A JSON pointer, cut and unescaped.
struct Path {
    tokens: Vec<Token>,
}

enum Token {
    Key(String),
    Index(i64),
}

impl Path {
    fn steps(&self) -> Vec<Step<'_>> {
        let step = |token| match token {
            &Token::Index(index) => Step::Index(index),
            Token::Key(key) => Step::Key(key),
        };
        self.tokens.iter().map(step).collect()
    }
}

/// Only the document knows whether `/a/0` names an element or a member: it is asked where a token
/// could be either.
fn steps(document: &mut Document, pointer: &str) -> Result<Path> {
    let mut path = Path { tokens: Vec::new() };
    for token in pointer.split('/').skip(1) {
        let number = match token {
            "-" => Some(None),
            _ => token.parse::<i64>().ok().map(Some),
        };
        let token = match number {
            Some(index) if document.kind(&path.steps())? == Some(Kind::Array) => match index {
                Some(index) => Token::Index(index),
                None => Token::Index(document.len(&path.steps())?.map_or(0, |count| count as i64)),
            },
            _ => Token::Key(token.replace("~1", "/").replace("~0", "~")),
        };
        path.tokens.push(token);
    }
    Ok(path)
}

//! The host functions that a plugin may import, as in `sdk/wit/tidegate.wit`.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use wasmtime::component::{HasSelf, Linker};

use crate::error::ErrorKind;
use crate::plugin_host::behalf::File;
use crate::plugin_host::call::PluginCall;
use crate::plugin_host::kv::{Full, Put};
use crate::plugin_host::wasi::LONGEST_LINE;

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

use tidegate::plugin::host::{Host, HttpRequest, HttpResponse, Level};
pub(super) use tidegate::plugin::types::{Action, Denial, Problem};

/// The interface version of this gateway. Every `0.1.x` plugin runs if it needs no function that is
/// missing here.
pub(super) const OFFERS: &str = "0.1.0";

/// The guest's handle to the document of the call, a request.
#[expect(unreachable_pub, reason = "the generated code exports it")]
pub enum RequestBody {}
/// The guest's handle to the document of the call, a message.
#[expect(unreachable_pub, reason = "the generated code exports it")]
pub enum MessageBody {}

/// Links every function that a plugin may import.
pub(super) fn link(linker: &mut Linker<PluginCall>) -> wasmtime::Result<()> {
    tidegate::plugin::types::add_to_linker::<_, HasSelf<_>>(linker, |call| call)?;
    tidegate::plugin::host::add_to_linker::<_, HasSelf<_>>(linker, |call| call)
}

impl tidegate::plugin::types::Host for PluginCall {}

impl Host for PluginCall {
    #[expect(
        clippy::cognitive_complexity,
        reason = "the macros of `tracing` count, one for each level"
    )]
    fn log(&mut self, level: Level, mut message: String) -> wasmtime::Result<()> {
        if message.len() > LONGEST_LINE {
            let end = (0..=LONGEST_LINE).rev().find(|end| message.is_char_boundary(*end));
            message.truncate(end.unwrap_or(0));
            message.push('…');
        }
        let plugin = &*self.terms.name;
        let request_id = self.request_id();
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
        Ok(self.terms.config.clone())
    }

    fn clock(&mut self) -> wasmtime::Result<u64> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    fn context(&mut self) -> wasmtime::Result<String> {
        Ok(Self::context(self))
    }

    async fn fetch(
        &mut self,
        request: HttpRequest,
    ) -> wasmtime::Result<Result<HttpResponse, Problem>> {
        Ok(self.fetched(request).await)
    }

    async fn model_call(&mut self, request: String) -> wasmtime::Result<Result<String, Problem>> {
        Ok(self.asked(request).await)
    }

    fn kv_get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        let is_granted = self.terms.grants.kv().is_ok();
        Ok(is_granted.then(|| self.terms.kv.get(&key, (self.terms.clock)())).flatten())
    }

    fn kv_set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_seconds: Option<u32>,
    ) -> wasmtime::Result<Result<(), Problem>> {
        let limit = match self.terms.grants.kv() {
            Ok(limit) => limit,
            Err(denial) => return Ok(Err(not_granted(denial))),
        };
        let ttl = ttl_seconds.map(|seconds| Duration::from_secs(seconds.into()));
        let kept = self.terms.kv.set(Put { key, value, ttl }, limit, (self.terms.clock)());
        Ok(kept.map_err(|Full { needed, left }| {
            let line = self.terms.grants.store_line();
            let message = format!(
                "the entry takes {needed} bytes, {left} of {limit} are left: remove others, or \
                 raise `{line}`"
            );
            problem("too_large", message)
        }))
    }

    fn kv_remove(&mut self, key: String) -> wasmtime::Result<bool> {
        let is_granted = self.terms.grants.kv().is_ok();
        Ok(is_granted && self.terms.kv.remove(&key, (self.terms.clock)()))
    }

    fn publish(
        &mut self,
        media_type: String,
        content: Vec<u8>,
    ) -> wasmtime::Result<Result<String, Problem>> {
        if let Err(denial) = self.terms.grants.publish() {
            return Ok(Err(not_granted(denial)));
        }
        let reach = self.facts.as_ref().and_then(|facts| facts.behalf.reach.as_ref());
        let Some(publish) = reach.and_then(|reach| reach.publish.as_ref()) else {
            return Ok(Err(not_granted("nothing can be published here".to_owned())));
        };
        let published = publish(File { media_type, content: Bytes::from(content) });
        Ok(published.map_err(|error| match error.kind {
            ErrorKind::RequestTooLarge => problem("too_large", error.message),
            kind => problem(kind.as_str(), error.message),
        }))
    }
}

/// Returns a problem that repeating the call does not solve.
pub(super) fn problem(code: &str, message: String) -> Problem {
    Problem { code: code.to_owned(), message, retryable: false }
}

pub(super) fn not_granted(denial: String) -> Problem {
    problem("not_granted", denial)
}

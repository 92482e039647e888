//! `Plugin`: a loaded WebAssembly component: its manifest, its hooks, its server tools.
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, Instance, Lower, Resource};

use crate::error::{Error, Result};
use crate::plugin_host::behalf::Behalf;
use crate::plugin_host::bindings::{Action, MessageBody, Problem, RequestBody};
use crate::plugin_host::call::{Call, Facts, Terms};
use crate::plugin_host::code::{Answer, Code};
use crate::plugin_host::decision::Decision;
use crate::plugin_host::describe::hooks_of_stage;
use crate::plugin_host::export::Export;
use crate::plugin_host::failure::{Cause, Failure, MAX_RESULT};
use crate::plugin_host::gate::{Gate, Seat};
use crate::plugin_host::manifest::{Manifest, ON_UNSUPPORTED};
use crate::plugin_host::run::Runner;
use crate::wire::{Document, Kind};

/// What a server tool is to do.
#[derive(Debug, Clone, Copy)]
pub struct ToolCall<'a> {
    /// The tool's name in the manifest.
    pub name: &'a str,
    /// What the model gave: the JSON text of an object.
    pub input: &'a str,
    /// The declaration without its `type`: the JSON text of an object.
    pub options: &'a str,
}

/// Why a server tool gave no result. Either is an `is_error` result for the model.
#[derive(Debug)]
pub enum ToolError {
    /// The tool says so, for the model to read.
    Problem {
        /// For programs.
        code: String,
        /// What was found and what would do.
        message: String,
        /// The same call may succeed later.
        retryable: bool,
    },
    /// It trapped, took too long, or wanted too much memory. The message names the plugin and may
    /// be shown; the source is a [`Failure`] with its last words, for the log only.
    Broke(Error),
}

/// A loaded plugin. Cloning is cheap; every call runs in an instance of its own, unless the operator
/// wants them reused.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Loaded>,
    /// Of those in its manifest: what its config, and its stage's parameters, leave something to do for.
    hooks: Arc<[String]>,
}

/// What a plugin has once it is loaded.
pub(super) struct Loaded {
    pub(super) code: Arc<Code>,
    pub(super) gate: Gate,
    pub(super) terms: Arc<Terms>,
    pub(super) manifest: Manifest,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("manifest", &self.inner.manifest).finish_non_exhaustive()
    }
}

impl Plugin {
    pub(super) fn new(loaded: Loaded, hooks: Vec<String>) -> Self {
        Self { inner: Arc::new(loaded), hooks: hooks.into() }
    }

    /// The same with the hooks that a stage's own parameters leave something to do for.
    ///
    /// Fails with what the plugin has against them.
    pub async fn at_stage(&self, with: &Arc<Map<String, Value>>) -> Result<Self, String> {
        if with.is_empty() {
            return Ok(self.clone());
        }
        let Loaded { code, terms, .. } = &*self.inner;
        let hooks = hooks_of_stage(code, terms, with).await?;
        Ok(Self { inner: Arc::clone(&self.inner), hooks: hooks.into() })
    }

    /// What the plugin says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.inner.manifest
    }

    /// Whether it may ask some model.
    pub fn may_ask_models(&self) -> bool {
        self.inner.terms.grants.has_models()
    }

    /// Whether it may keep files under addresses of the gateway.
    pub fn may_publish(&self) -> bool {
        self.inner.terms.grants.has_publish()
    }

    /// The hooks that it wants to be called for, by their names in the manifest.
    pub fn called_for(&self) -> &[String] {
        &self.hooks
    }

    /// Whether it wants to be called for one of them, be it for some targets only.
    pub fn is_called_for(&self, export: Export) -> bool {
        self.has(export.as_str())
            || (export == Export::OnUpstreamRequest && self.has(ON_UNSUPPORTED))
    }

    /// Its `on-upstream-request` is called only where a target does not understand all of a request.
    pub fn is_for_unsupported(&self) -> bool {
        self.has(ON_UNSUPPORTED) && !self.has(Export::OnUpstreamRequest.as_str())
    }

    fn has(&self, hook: &str) -> bool {
        self.hooks.iter().any(|named| named == hook)
    }

    /// Runs a server tool; the result is the JSON `content` of a `tool_result`: a string, or an
    /// array of blocks.
    pub async fn call_tool(
        &self,
        behalf: impl Into<Behalf>,
        call: ToolCall<'_>,
    ) -> Result<Bytes, ToolError> {
        let facts = Facts { behalf: behalf.into(), with: Arc::default() };
        let params = (call.name, call.input, call.options);
        let (host, result) = self.call::<_, String>(Export::CallTool, params, facts, None).await;
        let failed = |cause| {
            let task = format!("{} {}", Export::CallTool.as_str(), call.name);
            ToolError::Broke(self.failure(task, cause, host.last_words.clone()))
        };
        match result {
            Ok(Ok(content)) if content.len() > MAX_RESULT => Err(failed(Cause::Size(MAX_RESULT))),
            Ok(Ok(content)) if is_content(&content) => Ok(content.into()),
            Ok(Ok(_)) => Err(failed(Cause::Nonsense(
                "its result is neither a JSON string nor an array".to_owned(),
            ))),
            Ok(Err(problem)) => Err(ToolError::Problem {
                code: problem.code,
                message: problem.message,
                retryable: problem.retryable,
            }),
            Err(cause) => Err(failed(cause)),
        }
    }

    /// Runs `on-request` over a request.
    ///
    /// `with` are the stage's own parameters. An `Err` means that the stage broke (its message may
    /// be shown, its source is for the log), or that it ran into a part of the request that no
    /// stage may read (a duplicate key: a 400). The edits are lost then.
    pub async fn on_request(
        &self,
        behalf: impl Into<Behalf>,
        with: &Arc<Map<String, Value>>,
        request: Document,
    ) -> Result<(Document, Decision)> {
        let facts = Facts { behalf: behalf.into(), with: Arc::clone(with) };
        let params = (Resource::<RequestBody>::new_borrow(0),);
        self.hook(Export::OnRequest, params, facts, request).await
    }

    /// Runs `on-upstream-request` before an attempt. `target` is a JSON object with `provider`,
    /// `model` and `unsupported`. Otherwise as [`Plugin::on_request`].
    pub async fn on_upstream_request(
        &self,
        behalf: impl Into<Behalf>,
        with: &Arc<Map<String, Value>>,
        request: Document,
        target: &Value,
    ) -> Result<(Document, Decision)> {
        let facts = Facts { behalf: behalf.into(), with: Arc::clone(with) };
        let target = target.to_string();
        let params = (Resource::<RequestBody>::new_borrow(0), target.as_str());
        self.hook(Export::OnUpstreamRequest, params, facts, request).await
    }

    /// Runs `on-response` over a whole message. Otherwise as [`Plugin::on_request`].
    pub async fn on_response(
        &self,
        behalf: impl Into<Behalf>,
        with: &Arc<Map<String, Value>>,
        message: Document,
    ) -> Result<(Document, Decision)> {
        let facts = Facts { behalf: behalf.into(), with: Arc::clone(with) };
        let params = (Resource::<MessageBody>::new_borrow(0),);
        self.hook(Export::OnResponse, params, facts, message).await
    }

    async fn hook<P>(
        &self,
        export: Export,
        params: P,
        facts: Facts,
        document: Document,
    ) -> Result<(Document, Decision)>
    where
        P: ComponentNamedList + Lower + Send + Sync,
    {
        let (call, result) = self.call::<_, Action>(export, params, facts, Some(document)).await;
        let decided = match (call.refused, result) {
            (Some(refused), _) => return Err(refused),
            (None, Ok(Ok(action))) => Decision::of(export, action),
            (None, Ok(Err(problem))) => {
                Err(Cause::Problem(format!("{}: {}", problem.code, problem.message)))
            }
            (None, Err(cause)) => Err(cause),
        };
        let no_document = || Cause::Nonsense("its document is gone".to_owned());
        decided
            .and_then(|decision| Ok((call.document.ok_or_else(no_document)?, decision)))
            .map_err(|cause| self.failure(export.as_str().to_owned(), cause, call.last_words))
    }

    async fn call<P, R>(
        &self,
        export: Export,
        params: P,
        facts: Facts,
        document: Option<Document>,
    ) -> (Call, Result<Result<R, Problem>, Cause>)
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: wasmtime::component::Lift + Send + Sync + 'static,
    {
        let Loaded { code, gate, terms, .. } = &*self.inner;
        let seat = Seat::of(export);
        let call = Call::new(terms, Some(facts), document, gate.limit(seat));
        let Some(index) = code.export(export) else {
            return (call, Err(Cause::Nonsense(format!("it has no `{}`", export.as_str()))));
        };
        let body = async |store: &mut Store<Call>, instance: Instance| {
            let function = instance.get_typed_func::<P, Answer<R>>(&mut *store, index)?;
            Ok(function.call_async(store, params).await?.0)
        };
        Runner::gated(code, gate, seat).run(call, body).await
    }

    fn failure(&self, task: String, cause: Cause, last_words: Option<String>) -> Error {
        let Manifest { name, version, .. } = &self.inner.manifest;
        let (plugin, version) = (name.clone(), version.clone());
        Failure { plugin, version, task, cause, last_words }.into_error()
    }
}

/// The `content` of a `tool_result`, as far as the gateway cares.
fn is_content(text: &str) -> bool {
    let is_json = serde_json::from_str::<&RawValue>(text).is_ok();
    is_json && matches!(Kind::of(text.trim_ascii_start().as_bytes()), Kind::String | Kind::Array)
}

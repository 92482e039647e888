//! `Plugin`: a loaded WebAssembly component: its manifest, its hooks, its server tools.
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, Instance, Lower, Resource};

use crate::error::{Error, ErrorKind, Result};
use crate::plugin_host::behalf::Behalf;
use crate::plugin_host::bindings::{Action, MessageBody, Problem, RequestBody};
use crate::plugin_host::call::{Facts, PluginCall, Terms};
use crate::plugin_host::code::{Code, HostResult};
use crate::plugin_host::decision::Decision;
use crate::plugin_host::describe::hooks_of_stage;
use crate::plugin_host::export::Export;
use crate::plugin_host::failure::{Cause, Failure, MAX_RESULT};
use crate::plugin_host::gate::{Gate, Seat};
use crate::plugin_host::manifest::{Manifest, ON_UNSUPPORTED};
use crate::plugin_host::run::Runner;
use crate::wire::{Document, Kind};

/// A call of a server tool.
#[derive(Debug, Clone, Copy)]
pub struct ToolCall<'a> {
    /// The tool's name in the manifest.
    pub name: &'a str,
    /// The input from the model: the JSON text of an object.
    pub input: &'a str,
    /// The declaration without its `type`: the JSON text of an object.
    pub options: &'a str,
}

/// The error of a server tool. The model receives either as an `is_error` result.
#[derive(Debug)]
pub enum ToolError {
    /// The tool reported a problem, for the model to read.
    Problem {
        /// The code, for programs.
        code: String,
        /// The message: the value that was found, and the value that is expected.
        message: String,
        /// Whether the same call may succeed later.
        retryable: bool,
    },
    /// The plugin trapped, exceeded its time limit or its memory limit. The message names the
    /// plugin and callers may read it. The source is a [`Failure`] with its last words, for the log
    /// only.
    Broke(Error),
}

/// A loaded plugin. Cloning is cheap. Every call runs in its own instance, unless the operator
/// wants them reused.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Loaded>,
    /// The hooks of its manifest that its config and its stage's parameters use.
    hooks: Arc<[String]>,
}

/// The parts of a loaded plugin.
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

    /// Returns the plugin with only the hooks that a stage's parameters use.
    ///
    /// Fails with the plugin's objection to the parameters.
    pub async fn at_stage(&self, with: &Arc<Map<String, Value>>) -> Result<Self, String> {
        if with.is_empty() {
            return Ok(self.clone());
        }
        let Loaded { code, terms, .. } = &*self.inner;
        let hooks = hooks_of_stage(code, terms, with).await?;
        Ok(Self { inner: Arc::clone(&self.inner), hooks: hooks.into() })
    }

    /// Returns the plugin's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.inner.manifest
    }

    /// Returns the granted capabilities, and the config keys of those that it requests and does not get.
    pub(crate) fn granted(&self) -> (String, String) {
        self.inner.terms.grants.summary()
    }

    /// Returns the plugin's file name without its ending.
    pub(crate) fn file(&self) -> &str {
        self.inner.gate.file()
    }

    /// Returns the rest of a suspension after repeated failures; `None` if the plugin is called.
    pub(crate) fn suspended(&self) -> Option<Duration> {
        self.inner.gate.suspended()
    }

    /// Returns whether the plugin may call some model.
    pub fn may_ask_models(&self) -> bool {
        self.inner.terms.grants.has_models()
    }

    /// Returns whether the plugin may publish files at addresses of the gateway.
    pub fn may_publish(&self) -> bool {
        self.inner.terms.grants.has_publish()
    }

    /// Returns the names of the hooks that the gateway calls.
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

    /// Runs a server tool. The result is the JSON `content` of a `tool_result`: a string, or an
    /// array of blocks.
    pub async fn call_tool(
        &self,
        behalf: impl Into<Behalf>,
        call: ToolCall<'_>,
    ) -> Result<Bytes, ToolError> {
        let input = call.input.len().saturating_add(call.options.len());
        let facts = Facts { behalf: behalf.into(), with: Arc::default(), input };
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

    /// Runs `on-request` on a request.
    ///
    /// `with` are the stage's own parameters. An `Err` means that the stage failed, or that it read
    /// a part of the request that is invalid for every stage (a duplicate key: a 400). If the stage
    /// failed, callers may read the message, and the source is for the log. In both cases the edits
    /// are dropped.
    pub async fn on_request(
        &self,
        behalf: impl Into<Behalf>,
        with: &Arc<Map<String, Value>>,
        request: Document,
    ) -> Result<(Document, Decision)> {
        let facts = Facts { behalf: behalf.into(), with: Arc::clone(with), input: 0 };
        let params = (Resource::<RequestBody>::new_borrow(0),);
        self.hook(Export::OnRequest, params, facts, request).await
    }

    /// Runs `on-upstream-request` before an attempt. `target` is a JSON object with `provider`,
    /// `model` and `unsupported`. Otherwise like [`Plugin::on_request`].
    pub async fn on_upstream_request(
        &self,
        behalf: impl Into<Behalf>,
        with: &Arc<Map<String, Value>>,
        request: Document,
        target: &Value,
    ) -> Result<(Document, Decision)> {
        let facts = Facts { behalf: behalf.into(), with: Arc::clone(with), input: 0 };
        let target = target.to_string();
        let params = (Resource::<RequestBody>::new_borrow(0), target.as_str());
        self.hook(Export::OnUpstreamRequest, params, facts, request).await
    }

    /// Runs `on-response` on a whole message. Otherwise like [`Plugin::on_request`].
    pub async fn on_response(
        &self,
        behalf: impl Into<Behalf>,
        with: &Arc<Map<String, Value>>,
        message: Document,
    ) -> Result<(Document, Decision)> {
        let facts = Facts { behalf: behalf.into(), with: Arc::clone(with), input: 0 };
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
            (None, Err(Cause::Input(limit))) if export != Export::OnResponse => {
                return Err(self.too_large(limit));
            }
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
    ) -> (PluginCall, Result<Result<R, Problem>, Cause>)
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: wasmtime::component::Lift + Send + Sync + 'static,
    {
        let Loaded { code, gate, terms, .. } = &*self.inner;
        let seat = Seat::of(export);
        let call = PluginCall::new(terms, Some(facts), document, gate.limit(seat));
        let Some(index) = code.export(export) else {
            return (call, Err(Cause::Nonsense(format!("it has no `{}`", export.as_str()))));
        };
        let body = async |store: &mut Store<PluginCall>, instance: Instance| {
            let function = instance.get_typed_func::<P, HostResult<R>>(&mut *store, index)?;
            Ok(function.call_async(store, params).await?.0)
        };
        Runner::gated(code, gate, seat).run(call, body).await
    }

    /// Returns the error of a request that does not fit into the plugin's memory. The caller chose its size.
    fn too_large(&self, limit: usize) -> Error {
        let (name, limit) = (&self.inner.manifest.name, limit >> 20);
        let message = format!(
            "the request is too large for the plugin `{name}`, which needs more than its {limit} MiB of memory for it"
        );
        let log = format!("{message}: raise its `memory` in `plugins.config`");
        Error::new(ErrorKind::RequestTooLarge, message).with_log(log)
    }

    fn failure(&self, task: String, cause: Cause, last_words: Option<String>) -> Error {
        let Manifest { name, version, .. } = &self.inner.manifest;
        let (plugin, version) = (name.clone(), version.clone());
        Failure { plugin, version, task, cause, last_words }.into_error()
    }
}

/// Returns whether a text has the form of a `tool_result`'s `content`.
fn is_content(text: &str) -> bool {
    let is_json = serde_json::from_str::<&RawValue>(text).is_ok();
    is_json && matches!(Kind::of(text.trim_ascii_start().as_bytes()), Kind::String | Kind::Array)
}

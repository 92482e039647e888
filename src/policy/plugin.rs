//! `Plugin`: a loaded WebAssembly component: its manifest, its hooks, its server tools.
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::time::Instant;
use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, Instance, Lower, Resource};

use crate::error::{Error, ErrorKind, Result};
use crate::policy::plugin_host::{
    Action, Answer, Call, Cause, Code, Denial, Export, Facts, Failure, Gate, MAX_RESULT,
    MessageBody, PluginHost, Reported, RequestBody, Terms, hooks_of_stage,
};
pub use crate::policy::plugin_host::{Manifest, ToolManifest, Wants};
use crate::policy::{Behalf, Hook, Hooks, Outcome, PassedOver, Verdict};
use crate::wire::{Document, Kind, Reply};

/// In a manifest: `on-upstream-request`, where the target does not understand all of a request.
pub(super) const ON_UNSUPPORTED: &str = "on-unsupported";

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
    inner: Arc<Inner>,
    /// Of those in its manifest: what its config, and its stage's parameters, leave something to do for.
    hooks: Arc<[String]>,
}

struct Inner {
    host: Arc<PluginHost>,
    code: Arc<Code>,
    gate: Gate,
    terms: Arc<Terms>,
    manifest: Manifest,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("manifest", &self.inner.manifest).finish_non_exhaustive()
    }
}

impl Plugin {
    pub(in crate::policy) fn new(
        host: Arc<PluginHost>,
        (code, gate): (Arc<Code>, Gate),
        terms: Arc<Terms>,
        (manifest, hooks): (Manifest, Vec<String>),
    ) -> Self {
        let inner = Arc::new(Inner { host, code, gate, terms, manifest });
        Self { inner, hooks: hooks.into() }
    }

    /// The same with the hooks that a stage's own parameters leave something to do for.
    ///
    /// Fails with what the plugin has against them.
    pub async fn at_stage(&self, with: &Arc<Map<String, Value>>) -> Result<Self, String> {
        if with.is_empty() {
            return Ok(self.clone());
        }
        let Inner { host, code, terms, .. } = &*self.inner;
        let hooks = hooks_of_stage(host, code, terms, with).await?;
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

    /// Which hooks it wants to be called for: of a stage that has nothing to do there is none.
    pub fn hooks(&self) -> Hooks {
        let has = |export: Export| {
            self.has(export.as_str())
                || (export == Export::OnUpstreamRequest && self.has(ON_UNSUPPORTED))
        };
        let exports = [
            (Export::OnRequest, Hook::Request),
            (Export::OnUpstreamRequest, Hook::UpstreamRequest),
            (Export::OnResponse, Hook::Response),
        ];
        exports.into_iter().filter(|(export, _)| has(*export)).map(|(_, hook)| hook).collect()
    }

    /// The same by their names in the manifest.
    pub fn called_for(&self) -> &[String] {
        &self.hooks
    }

    /// Its `on-upstream-request` is called only where a target does not understand all of a request.
    pub(super) fn is_for_unsupported(&self) -> bool {
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
    ) -> Result<(Document, Outcome)> {
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
    ) -> Result<(Document, Outcome)> {
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
    ) -> Result<(Document, Outcome)> {
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
    ) -> Result<(Document, Outcome)>
    where
        P: ComponentNamedList + Lower + Send + Sync,
    {
        let (call, result) = self.call::<_, Action>(export, params, facts, Some(document)).await;
        let decided = match (call.refused, result) {
            (Some(refused), _) => return Err(refused),
            (None, Ok(Ok(Action::PassOver(why)))) => passed_over(export, &why),
            (None, Ok(Ok(action))) => outcome(action),
            (None, Ok(Err(problem))) => {
                Err(Cause::Problem(format!("{}: {}", problem.code, problem.message)))
            }
            (None, Err(cause)) => Err(cause),
        };
        let no_document = || Cause::Nonsense("its document is gone".to_owned());
        decided
            .and_then(|outcome| Ok((call.document.ok_or_else(no_document)?, outcome)))
            .map_err(|cause| self.failure(export.as_str().to_owned(), cause, call.last_words))
    }

    async fn call<P, R>(
        &self,
        export: Export,
        params: P,
        facts: Facts,
        document: Option<Document>,
    ) -> (Call, Result<Result<R, Reported>, Cause>)
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: wasmtime::component::Lift + Send + Sync + 'static,
    {
        let inner = &*self.inner;
        let limits = inner.host.limits;
        let limit = match export {
            Export::CallTool => inner.gate.deadline.unwrap_or(limits.tool),
            _ => inner.gate.hook_deadline.unwrap_or(limits.hook),
        };
        let until = Instant::now() + limit;
        let call = Call::new(&inner.terms, Some(facts), document, until);
        let Some(index) = inner.code.export(export) else {
            return (call, Err(Cause::Nonsense(format!("it has no `{}`", export.as_str()))));
        };
        let body = async |store: &mut Store<Call>, instance: Instance| {
            let function = instance.get_typed_func::<P, Answer<R>>(&mut *store, index)?;
            Ok(function.call_async(store, params).await?.0)
        };
        inner.host.run((&inner.code, &inner.gate), call, limit, body).await
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

fn outcome(action: Action) -> Result<Outcome, Cause> {
    let verdict = match action {
        Action::Next => Verdict::Continue,
        Action::Route(model) => {
            return Ok(Outcome { route: Some(model), ..Outcome::default() });
        }
        Action::Respond(message) if message.len() > MAX_RESULT => {
            return Err(Cause::Size(MAX_RESULT));
        }
        Action::Respond(message) => {
            let document = Document::parse(message.into())
                .map_err(|e| Cause::Nonsense(format!("its answer: {}", e.message)))?;
            Verdict::Respond(Box::new(Reply::json(document.to_bytes())))
        }
        Action::Deny(denial) => Verdict::Deny(Box::new(refusal(denial)?)),
        Action::PassOver(why) => Verdict::Deny(Box::new(PassedOver::error(&why))),
    };
    Ok(Outcome { verdict, ..Outcome::default() })
}

/// A target is passed over where there is one.
fn passed_over(export: Export, why: &str) -> Result<Outcome, Cause> {
    match export {
        Export::OnUpstreamRequest => outcome(Action::PassOver(why.to_owned())),
        _ => Err(Cause::Nonsense(format!("it passes a target over in `{}`", export.as_str()))),
    }
}

fn refusal(denial: Denial) -> Result<Error, Cause> {
    let status = StatusCode::from_u16(denial.status)
        .ok()
        .filter(|status| status.is_client_error() || status.is_server_error())
        .ok_or_else(|| {
            Cause::Nonsense(format!("it denies with status {}: use 400 to 599", denial.status))
        })?;
    let kind = match denial.status {
        401 => ErrorKind::Authentication,
        403 => ErrorKind::Permission,
        404 => ErrorKind::NotFound,
        413 => ErrorKind::RequestTooLarge,
        429 => ErrorKind::RateLimit,
        503 | 529 => ErrorKind::Overloaded,
        500.. => ErrorKind::Api,
        _ => ErrorKind::InvalidRequest,
    };
    let mut error = Error::new(kind, denial.message);
    error.status = Some(status);
    Ok(error)
}

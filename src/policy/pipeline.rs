//! `Pipeline`: which stages there are, which of them a request runs through, and the server tools.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use wildmatch::WildMatch;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::policy::plugin::{Plugin, ToolError, ToolManifest};
use crate::policy::script::{Call, Script};
use crate::policy::script_api::{State, With};
use crate::policy::{Hooks, OnError, Outcome, Verdict, WhenConfig};
use crate::telemetry::metrics::{StageMetrics, ToolMetrics};
use crate::wire::{Document, MessagesRequest, message};

/// The stages of a generation in their order, and its server tools.
pub struct Pipeline {
    pub(super) stages: Vec<Stage>,
    pub(super) hooks: Hooks,
    /// By the name that callers declare behind `gateway:`.
    pub(super) tools: BTreeMap<String, ServedTool>,
}

/// One stage: what it runs, and for which requests.
pub struct Stage {
    pub(super) name: String,
    pub(super) work: Work,
    pub(super) when: When,
    pub(super) on_error: OnError,
    pub(super) on_request: StageMetrics,
}

/// What a stage runs.
pub enum Work {
    /// A Rhai policy.
    Script(Script, With),
    /// A WebAssembly plugin.
    Plugin(Plugin, Arc<Map<String, Value>>),
}

/// A server tool, the plugin that has it, and what its calls add to.
pub struct ServedTool {
    pub(super) plugin: Plugin,
    pub(super) manifest: ToolManifest,
    pub(super) metrics: ToolMetrics,
}

/// A call that the model made of a server tool.
#[derive(Debug, Clone)]
pub struct ToolCall<'a> {
    /// The tool's name behind `gateway:`.
    pub tool: &'a str,
    /// What the model gave, JSON.
    pub input: Bytes,
    /// What the declaration holds beside its `type`, a JSON object.
    pub options: Bytes,
}

/// What the model gets to read of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolOutput {
    content: String,
    /// The call failed; the content says why.
    pub is_error: bool,
}

impl ToolOutput {
    /// A failure that the model reads.
    pub fn error(message: &str) -> Self {
        Self { content: json!(message).to_string(), is_error: true }
    }

    /// The content as a JSON list of blocks; an empty text is none, since the API refuses those.
    pub fn blocks(&self) -> String {
        match self.content.trim() {
            r#""""# => "[]".to_owned(),
            blocks if blocks.starts_with('[') => blocks.to_owned(),
            _ => format!("[{{\"type\":\"text\",\"text\":{}}}]", self.content),
        }
    }
}

impl Pipeline {
    /// Which hooks some stage defines.
    pub fn hooks(&self) -> Hooks {
        self.hooks
    }

    /// Runs `on_request` of every stage that is for this request, in order, until one ends it.
    ///
    /// Fails with a 500 that names the stage if one broke that fails closed, and with a 400 if the
    /// caller's own body is at fault.
    pub async fn on_request(
        &self,
        ctx: &Arc<Context>,
        request: MessagesRequest,
    ) -> Result<(MessagesRequest, Verdict)> {
        if !self.hooks.request {
            return Ok((request, Verdict::Continue));
        }
        let state = State::default();
        let mut request = request;
        for stage in
            self.stages.iter().filter(|stage| stage.has_on_request() && stage.when.is_for(ctx))
        {
            let (passed, verdict) = stage.on_request(ctx, &state, request).await?;
            request = passed;
            if !matches!(verdict, Verdict::Continue) {
                return Ok((request, verdict));
            }
        }
        Ok((request, Verdict::Continue))
    }

    /// There are server tools at all.
    pub fn has_tools(&self) -> bool {
        !self.tools.is_empty()
    }

    /// The names that callers may declare behind `gateway:`.
    pub fn tool_names(&self) -> Vec<&str> {
        self.tools.keys().map(String::as_str).collect()
    }

    /// What the upstream is told of a tool.
    pub fn tool(&self, name: &str) -> Option<&ToolManifest> {
        self.tools.get(name).map(|tool| &tool.manifest)
    }

    /// Runs a server tool. A failure is a result that the model reads; the log has the details.
    pub async fn call_tool(&self, ctx: &Arc<Context>, call: ToolCall<'_>) -> ToolOutput {
        let Some(tool) = self.tools.get(call.tool) else {
            return ToolOutput::error("there is no such tool");
        };
        let started = Instant::now();
        let (Ok(input), Ok(options), true) = (
            std::str::from_utf8(&call.input),
            std::str::from_utf8(&call.options),
            message::is_object(&call.input),
        ) else {
            tool.metrics.failed(started.elapsed());
            return ToolOutput::error("the input is no JSON object: call the tool again with one");
        };
        let plugin_call = crate::policy::plugin::ToolCall { name: call.tool, input, options };
        match tool.plugin.call_tool(ctx, plugin_call).await {
            Ok(content) => {
                tool.metrics.succeeded(started.elapsed());
                // the host has checked that it is JSON text
                let content = String::from_utf8_lossy(&content).into_owned();
                ToolOutput { content, is_error: false }
            }
            Err(failure) => {
                tool.metrics.failed(started.elapsed());
                ToolOutput::error(&told(ctx, call.tool, failure))
            }
        }
    }
}

/// What the model reads of a failure.
fn told(ctx: &Context, tool: &str, failure: ToolError) -> String {
    match failure {
        ToolError::Problem { code, message, .. } => format!("{code}: {message}"),
        ToolError::Broke(error) => {
            let source = error.source.as_deref().map(tracing::field::display);
            tracing::warn!(request_id = ctx.request_id, tool, error = %error.message, source, "a server tool broke");
            error.message
        }
    }
}

impl Stage {
    fn has_on_request(&self) -> bool {
        self.hooks().request
    }

    pub(super) fn hooks(&self) -> Hooks {
        match &self.work {
            Work::Script(script, _) => script.hooks(),
            Work::Plugin(plugin, _) => plugin.hooks(),
        }
    }

    async fn on_request(
        &self,
        ctx: &Arc<Context>,
        state: &State,
        request: MessagesRequest,
    ) -> Result<(MessagesRequest, Verdict)> {
        let endpoint = request.endpoint;
        let before = (self.on_error == OnError::Skip).then(|| request.clone());
        let started = Instant::now();
        let done = match self.run(ctx, state, request.into_document()).await {
            Ok((document, outcome)) => self.passed(document, outcome, endpoint),
            Err(error) => Err(error),
        };
        self.on_request.observe(started.elapsed());
        match (done, before) {
            (Err(error), before) if error.kind != ErrorKind::InvalidRequest => {
                self.on_request.failed();
                let before = before.ok_or_else(|| self.broke(&error))?;
                let source = error.source.as_deref().map(tracing::field::display);
                tracing::warn!(request_id = ctx.request_id, stage = self.name, error = %error.message, source, "a stage broke and was skipped");
                Ok((before, Verdict::Continue))
            }
            (done, _) => done,
        }
    }

    async fn run(
        &self,
        ctx: &Arc<Context>,
        state: &State,
        document: Document,
    ) -> Result<(Document, Outcome)> {
        match &self.work {
            Work::Script(script, with) => {
                script.on_request(&Call { context: ctx, with, state }, document)
            }
            Work::Plugin(plugin, with) => plugin.on_request(ctx, with, document).await,
        }
    }

    /// What a stage leaves must still be a request; that it is not is the stage's fault.
    fn passed(
        &self,
        document: Document,
        outcome: Outcome,
        endpoint: crate::wire::Endpoint,
    ) -> Result<(MessagesRequest, Verdict)> {
        let request = MessagesRequest::from_document(document, endpoint);
        let mut request = request.map_err(|e| {
            let message =
                format!("stage `{}` left a request that cannot be sent: {}", self.name, e.message);
            Error::new(ErrorKind::Api, message)
        })?;
        if let Some(model) = &outcome.route {
            request.set_model(model)?;
        }
        Ok((request, outcome.verdict))
    }

    fn broke(&self, error: &Error) -> Error {
        let broken = Error::new(ErrorKind::Api, error.message.clone());
        match &error.source {
            Some(source) => broken.with_source(source.to_string()),
            None => broken,
        }
    }
}

/// Which requests a stage is for.
#[derive(Debug, Default)]
pub struct When {
    model: Option<WildMatch>,
    key: Option<WildMatch>,
    tags: Vec<(String, WildMatch)>,
}

impl When {
    pub(super) fn new(config: &WhenConfig) -> Self {
        let pattern = |text: &Option<String>| text.as_deref().map(WildMatch::new);
        Self {
            model: pattern(&config.model),
            key: pattern(&config.key),
            tags: config
                .tags
                .iter()
                .map(|(tag, text)| (tag.clone(), WildMatch::new(text)))
                .collect(),
        }
    }

    fn is_for(&self, ctx: &Context) -> bool {
        let fits = |pattern: &Option<WildMatch>, text: &str| {
            pattern.as_ref().is_none_or(|pattern| pattern.matches(text))
        };
        fits(&self.model, &ctx.model)
            && fits(&self.key, &ctx.caller.key)
            && self.tags.iter().all(|(tag, pattern)| {
                ctx.caller.tags.get(tag).is_some_and(|value| pattern.matches(value))
            })
    }
}

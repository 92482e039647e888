//! Calls of server tools: the hooks over a call and its result, and the call itself.
use std::time::Instant;

use bytes::Bytes;
use serde_json::json;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::plugin_host::{self, ToolError};
use crate::policy::script::{Decision, Done};
use crate::policy::stage::{self, Settled};
use crate::policy::watch::Ran;
use crate::policy::{Hook, Passage};
use crate::telemetry::lives::LastError;
use crate::wire::{Document, Kind, Step, message};

/// A call of a server tool by the model.
#[derive(Debug, Clone)]
pub struct ToolCall<'a> {
    /// The tool's name without the prefix `gateway:`.
    pub tool: &'a str,
    /// The id of the call: `toolu_…`.
    pub id: &'a str,
    /// The input from the model, as JSON.
    pub input: Bytes,
    /// The fields of the declaration other than `type`, as a JSON object.
    pub options: Bytes,
}

/// The result of a call, as the model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolOutput {
    content: String,
    /// Whether the call failed; the content has the reason.
    pub is_error: bool,
    /// The failure's code for programs: defined by the plugin or by the API.
    pub code: Option<String>,
}

impl ToolOutput {
    /// Returns a success: the JSON `content` of a `tool_result`, a string or a list of blocks.
    pub fn new(content: String) -> Self {
        Self { content, is_error: false, code: None }
    }

    /// Returns a failure with a message for the model.
    pub fn error(message: &str) -> Self {
        Self { content: json!(message).to_string(), is_error: true, code: None }
    }

    /// Returns a failure with a code that the model reads before the message.
    pub fn problem(code: &str, message: &str) -> Self {
        let code = code.to_owned();
        Self { code: Some(code.clone()), ..Self::error(&format!("{code}: {message}")) }
    }

    /// Returns the content as a JSON list of blocks. Empty text becomes an empty list, since the API
    /// rejects it.
    pub fn blocks(&self) -> String {
        match self.content.trim() {
            r#""""# => "[]".to_owned(),
            blocks if blocks.starts_with('[') => blocks.to_owned(),
            _ => format!("[{{\"type\":\"text\",\"text\":{}}}]", self.content),
        }
    }
}

/// The next step of a call after `on_tool_call`.
pub(super) enum Called<'a> {
    Run(ToolCall<'a>),
    Answered(ToolOutput),
}

impl Passage {
    /// Runs a server tool and the stages around it. A failure becomes a result that the model reads; the log
    /// has the details.
    pub async fn call_tool(&self, call: ToolCall<'_>) -> ToolOutput {
        let started = Instant::now();
        let name = call.tool;
        let output = self.answer_tool(call).await;
        self.ctx.story.tool_called(name, started.elapsed(), output.is_error);
        output
    }

    async fn answer_tool(&self, call: ToolCall<'_>) -> ToolOutput {
        let hooks = self.pipeline.hooks();
        let effects = call.clone();
        let output = match self.on_tool_call(call) {
            Ok(Called::Run(call)) => self.run_tool(&call).await,
            Ok(Called::Answered(output)) => output,
            Err(error) => self.closed(&error),
        };
        if !hooks.has(Hook::ToolResult) {
            return output;
        }
        self.on_tool_result(&effects, output).unwrap_or_else(|error| self.closed(&error))
    }

    /// Returns the result after a failure of a stage that fails closed: the tool does not run, or its result
    /// is withheld.
    fn closed(&self, error: &Error) -> ToolOutput {
        // the model wrote it, and can write another one
        if error.kind == ErrorKind::InvalidRequest {
            return ToolOutput::error(&error.message);
        }
        let source = error.source.as_deref().map(tracing::field::display);
        tracing::warn!(request_id = self.ctx.request_id, error = %error.message, source, "stage failed around a server tool");
        ToolOutput::error(&error.message)
    }

    /// Runs `on_tool_call` of every stage over a call with an object as input, until one ends it.
    ///
    /// Fails if a stage fails closed.
    pub(super) fn on_tool_call<'a>(&self, call: ToolCall<'a>) -> Result<Called<'a>> {
        if !self.pipeline.hooks().has(Hook::ToolCall) || !message::is_object(&call.input) {
            return Ok(Called::Run(call));
        }
        let facts = self.facts();
        let mut call = call;
        for stage in self.stages(Hook::ToolCall) {
            let Some((script, of_script)) = stage.script(facts) else { continue };
            let document = call.document()?;
            let before = facts.watch.map(|_| document.to_bytes());
            let work = || {
                let done = script.run(Hook::ToolCall, &of_script, document)?;
                let input = done.document.field("input").filter(|input| message::is_object(input));
                let input =
                    input.ok_or_else(|| left(stage.name(), "an `input` that is not an object"))?;
                Ok((done, input))
            };
            let spare = stage.spare(|| ());
            let settled = stage.guard_now(Hook::ToolCall, facts, spare, work)?;
            let Settled::Done((Done { decision, effects, .. }, input), took) = settled else {
                continue;
            };
            if call.input != input {
                stage.note_edit(Hook::ToolCall, &self.ctx);
                stage
                    .note_values(Hook::ToolCall, &self.ctx, || [call.input.clone(), input.clone()]);
            }
            call.input = input;
            if let (Some(watch), Some(before)) = (facts.watch, before) {
                let after = call.document()?.to_bytes();
                let ran = Ran::of_tool(took, before, after, &decision, &effects.wishes);
                watch.show_run(stage.name(), Hook::ToolCall, ran);
            }
            self.keep(effects.wishes);
            match decision {
                Decision::Continue | Decision::Drop => {}
                Decision::Respond(content) => {
                    let output = ToolOutput::new(content.into_tool_result());
                    return Ok(Called::Answered(output));
                }
                Decision::Deny(error) => {
                    stage.note_denial(Hook::ToolCall, &self.ctx);
                    return Ok(Called::Answered(ToolOutput::error(&error.message)));
                }
            }
        }
        Ok(Called::Run(call))
    }

    /// Runs `on_tool_result` of every stage. Fails if a stage fails closed.
    pub(super) fn on_tool_result(
        &self,
        call: &ToolCall<'_>,
        output: ToolOutput,
    ) -> Result<ToolOutput> {
        let facts = self.facts();
        let mut output = output;
        for stage in self.stages(Hook::ToolResult) {
            let Some((script, of_script)) = stage.script(facts) else { continue };
            let document = call.with_result(&output)?;
            let before = facts.watch.map(|_| document.to_bytes());
            let work = || {
                let Done { document, decision, effects } =
                    script.run(Hook::ToolResult, &of_script, document)?;
                Ok((result_of(stage.name(), &decision, document)?, decision, effects))
            };
            let spare = stage.spare(|| ());
            let settled = stage.guard_now(Hook::ToolResult, facts, spare, work)?;
            let Settled::Done((result, decision, effects), took) = settled else { continue };
            // a failure that stays a failure keeps its code
            let code = output.code.clone().filter(|_| result.is_error);
            let result = ToolOutput { code, ..result };
            match decision {
                Decision::Deny(_) => stage.note_denial(Hook::ToolResult, &self.ctx),
                _ if result.blocks() != output.blocks() => {
                    stage.note_edit(Hook::ToolResult, &self.ctx);
                    let values = || [output.blocks().into(), result.blocks().into()];
                    stage.note_values(Hook::ToolResult, &self.ctx, values);
                }
                _ => {}
            }
            output = result;
            if let (Some(watch), Some(before)) = (facts.watch, before) {
                let after = call.with_result(&output)?.to_bytes();
                let ran = Ran::of_tool(took, before, after, &decision, &effects.wishes);
                watch.show_run(stage.name(), Hook::ToolResult, ran);
            }
            self.keep(effects.wishes);
        }
        Ok(output)
    }

    async fn run_tool(&self, call: &ToolCall<'_>) -> ToolOutput {
        let Some(tool) = self.pipeline.tools.get(call.tool) else {
            return ToolOutput::error("there is no such tool");
        };
        let started = Instant::now();
        let (Ok(input), Ok(options), true) = (
            std::str::from_utf8(&call.input),
            std::str::from_utf8(&call.options),
            message::is_object(&call.input),
        ) else {
            tool.metrics.failed(started.elapsed());
            return ToolOutput::error(
                "the input is not a JSON object: call the tool again with a JSON object",
            );
        };
        let plugin_call = plugin_host::ToolCall { name: call.tool, input, options };
        match tool.plugin.call_tool(self.facts().behalf(), plugin_call).await {
            Ok(content) => {
                tool.metrics.succeeded(started.elapsed());
                tool.life.ran(started.elapsed());
                // the host has checked that this is JSON text
                ToolOutput::new(String::from_utf8_lossy(&content).into_owned())
            }
            Err(failure) => {
                tool.metrics.failed(started.elapsed());
                tool.life.ran(started.elapsed());
                tool.life.failed(last_error(&self.ctx, &failure));
                failure_output(&self.ctx, call.tool, failure)
            }
        }
    }
}

/// Returns the failure of a tool as operators see it.
fn last_error(ctx: &Context, failure: &ToolError) -> LastError {
    match failure {
        ToolError::Broke(error) => stage::last_error(ctx, error),
        ToolError::Problem { code, message, .. } => {
            stage::last_error(ctx, &Error::new(ErrorKind::Api, format!("{code}: {message}")))
        }
    }
}

impl ToolCall<'_> {
    /// Returns the document for `on_tool_call`.
    pub(super) fn document(&self) -> Result<Document> {
        let head = json!({"tool": self.tool, "id": self.id});
        let mut document = Document::parse(head.to_string().into())?;
        document.set(&[Step::Key("input")], self.input.clone())?;
        document.set(&[Step::Key("options")], self.options.clone())?;
        Ok(document)
    }

    /// Returns the document for `on_tool_result`.
    pub(super) fn with_result(&self, output: &ToolOutput) -> Result<Document> {
        let head = json!({"tool": self.tool, "id": self.id});
        let mut document = Document::parse(head.to_string().into())?;
        if message::is_object(&self.input) {
            document.set(&[Step::Key("input")], self.input.clone())?;
        }
        document.set(&[Step::Key("content")], output.blocks())?;
        document.set_value(&[Step::Key("is_error")], &output.is_error)?;
        Ok(document)
    }
}

fn result_of(stage: &str, decision: &Decision, document: Document) -> Result<ToolOutput> {
    match decision {
        Decision::Continue | Decision::Drop => read(stage, document),
        Decision::Respond(content) => Ok(ToolOutput::new(content.clone().into_tool_result())),
        Decision::Deny(error) => Ok(ToolOutput::error(&error.message)),
    }
}

/// Reads the result that a stage leaves.
fn read(stage: &str, document: Document) -> Result<ToolOutput> {
    let content = document.field("content").unwrap_or_default();
    if !matches!(Kind::of(&content), Kind::Array | Kind::String) {
        return Err(left(stage, "a `content` that is neither a text nor a list of blocks"));
    }
    let content = String::from_utf8_lossy(&content).into_owned();
    let is_error = document.field("is_error").is_some_and(|flag| &flag[..] == b"true");
    Ok(ToolOutput { content, is_error, code: None })
}

fn left(stage: &str, what: &str) -> Error {
    Error::new(ErrorKind::Api, format!("stage `{stage}` left {what}"))
}

/// Returns the text that the model reads about a failure, and logs the failure.
fn failure_output(ctx: &Context, tool: &str, failure: ToolError) -> ToolOutput {
    match failure {
        ToolError::Problem { code, message, .. } => ToolOutput::problem(&code, &message),
        ToolError::Broke(error) if error.is_logged => ToolOutput::error(&error.message),
        ToolError::Broke(error) => {
            let source = error.source.as_deref().map(tracing::field::display);
            tracing::warn!(request_id = ctx.request_id, tool, error = %error.message, source, "server tool failed");
            ToolOutput::error(&error.message)
        }
    }
}

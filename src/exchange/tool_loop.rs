//! The tool loop: joins several upstream turns into one message and runs the server tools between them.
//!
//! The loop is a plain future that sends the events into a channel. The stream that the caller
//! reads drives it. Dropping the stream drops the loop, the upstream call and the running tools.
use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{Stream, StreamExt};
use http::header::CONTENT_TYPE;
use serde_json::json;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::{Error, ErrorKind, Result};
use crate::exchange::binding;
use crate::exchange::failover::{self, Sent, Turn};
use crate::exchange::route::{Choice, Route};
use crate::gateway::Gateway;
use crate::policy::{Passage, ToolCall, ToolOutput};
use crate::server_tools::budget::Budget;
use crate::server_tools::citations::{Forms, Sources};
use crate::server_tools::hidden::Hidden;
use crate::server_tools::images::Images;
use crate::server_tools::splice::Splice;
use crate::server_tools::tool::{Face, ServerTool, ServerToolCall};
use crate::server_tools::{declare, face, history, transcript};
use crate::wire::message::Fold;
use crate::wire::surrogates::Joined;
use crate::wire::{Event, EventKind, EventStream, MessagesRequest, Reply, ReplyBody, Step};

/// The size of the channel. A burst of small events fits, so that the tasks do not switch for each
/// event.
const BUFFERED: usize = 64;

/// The time to wait for the end of a body after its last event. The end usually follows at once,
/// and waiting for it keeps the connection for the next turn.
const LINGER: Duration = Duration::from_millis(50);

/// A request with server tools, ready for an upstream.
pub(super) struct Task {
    /// The targets of the first turn.
    pub(super) route: Route,
    /// The request of the first turn.
    pub(super) request: MessagesRequest,
    /// The tools that the gateway runs.
    pub(super) tools: Vec<ServerTool>,
    /// The sources that answers may cite.
    pub(super) sources: Sources,
}

/// Sends the first turn; its errors still have a status. The reply is a stream, or the fold of the
/// same stream if the caller wants none.
pub(super) async fn start(
    gateway: &Arc<Gateway>,
    passage: &Arc<Passage>,
    task: Task,
) -> Result<Reply> {
    let Task { route, mut request, tools, sources } = task;
    let wants_stream = request.is_stream();
    request.set_stream(true)?;
    let Sent { reply, choice } = failover::send(passage, &route, &request, Turn::FIRST).await?;
    let Reply { status, mut headers, body } = reply;
    let first = streamed(body)?;
    let (caller, events) = mpsc::channel(BUFFERED);
    let conversation = Conversation {
        gateway: Arc::clone(gateway),
        passage: Arc::clone(passage),
        deadline: route.terms.end_by(Instant::now() + gateway.tools.timeout),
        is_bound: binding::is_bound(&request),
        holder: choice,
        route,
        request,
        hidden: tools.iter().any(|tool| !tool.face.is_shown()).then(Hidden::default),
        caller,
    };
    let events = Turns { events, run: Some(Box::pin(conversation.drive(first, tools, sources))) };
    if wants_stream {
        return Ok(Reply { status, headers, body: ReplyBody::Events(Box::pin(events)) });
    }
    headers.remove(CONTENT_TYPE);
    let body = ReplyBody::Full(fold(events).await?);
    Ok(Reply { status, headers, body })
}

fn streamed(body: ReplyBody) -> Result<EventStream> {
    match body {
        // the splice and the tools read each delta by itself
        ReplyBody::Events(events) => Ok(Box::pin(Joined::new(events))),
        ReplyBody::Full(_) => Err(Error::new(
            ErrorKind::BadUpstream,
            "the upstream did not stream though the request has `stream: true`",
        )),
    }
}

async fn fold(mut events: Turns) -> Result<Bytes> {
    let mut fold = Fold::default();
    while let Some(event) = events.next().await {
        fold.push(&event?)?;
    }
    fold.finish()
}

/// A conversation that the gateway continues by itself.
struct Conversation {
    gateway: Arc<Gateway>,
    passage: Arc<Passage>,
    route: Route,
    /// The target of the last turn.
    holder: Choice,
    /// Whether something in the conversation is valid for that target only.
    is_bound: bool,
    request: MessagesRequest,
    deadline: Instant,
    /// The turns so far, if the caller does not see all of them.
    hidden: Option<Hidden>,
    caller: Sender<Result<Event>>,
}

/// The tools of a conversation, and their remaining budget.
struct Kit<'a> {
    tools: &'a [ServerTool],
    forms: Forms,
    images: Images<'a>,
    budget: Budget,
}

/// The step after the results of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// One more turn.
    Turn,
    /// The last turn, in which the model may call no tool.
    Conclude,
    /// A pause until the caller continues.
    Pause,
    /// The end: the model called a tool in the last turn in spite of the rule.
    End,
}

impl Next {
    /// Rejects calls in the last turn. Some models call a tool although they may not; the tool is
    /// not run then.
    fn may_call(self) -> std::result::Result<(), ToolOutput> {
        match self {
            Self::Conclude => Err(ToolOutput::error("not run: this turn may call nothing")),
            _ => Ok(()),
        }
    }

    /// Returns the stop reason of a message that the gateway ends.
    fn stop_reason(self) -> Option<&'static str> {
        match self {
            Self::Pause => Some("pause_turn"),
            Self::End => Some("end_turn"),
            Self::Turn | Self::Conclude => None,
        }
    }
}

impl Conversation {
    /// Runs the loop. An error becomes the last item of the stream.
    async fn drive(self, first: EventStream, tools: Vec<ServerTool>, sources: Sources) {
        let caller = self.caller.clone();
        if let Err(error) = self.run(first, &tools, sources).await {
            // fails only if the caller is gone
            let _ = caller.send(Err(error)).await;
        }
    }

    async fn run(
        mut self,
        first: EventStream,
        tools: &[ServerTool],
        sources: Sources,
    ) -> Result<()> {
        let gateway = Arc::clone(&self.gateway);
        let mut kit = Kit {
            tools,
            forms: sources.forms,
            images: Images::new(&gateway.shared.published, sources.forms.images),
            budget: Budget::new(tools, &self.request, gateway.tools.max_calls),
        };
        let mut splice = Splice::with_sources(tools, sources);
        let mut events = first;
        let mut next = Next::Turn;
        for turn in 1.. {
            if !self.relay(&mut events, &mut splice).await? {
                return Ok(());
            }
            // tools take no place at the target, and may call it themselves
            failover::leave_limits(&self.passage.ctx);
            let calls = splice.calls();
            if calls.is_empty() {
                self.note(&splice, &calls, &[])?;
                return self.end(&mut splice, None).await;
            }
            let said = splice.blocks()?;
            let taken = take(next, &calls, &mut splice, &mut kit);
            let outputs = self.run_calls(&calls, taken, tools, &said).await;
            let results = self.report(&calls, &outputs, &mut splice, &kit).await?;
            self.note(&splice, &calls, &results)?;
            if splice.callers_call().is_some() {
                return self.end(&mut splice, None).await;
            }
            let is_shown = calls.iter().any(|call| tools[call.tool].face.is_shown());
            next = self.after(next, turn, is_shown);
            if let Some(reason) = next.stop_reason() {
                return self.end(&mut splice, Some(reason)).await;
            }
            let container = splice.container();
            self.is_bound |= binding::binds(&said) || container.is_some();
            self.extend(&said, &results)?;
            if let Some(container) = container {
                binding::reuse(self.request.document_mut(), &container)?;
            }
            if next == Next::Conclude {
                declare::forbid(self.request.document_mut())?;
            }
            splice.next_turn()?;
            events = self.next_turn(turn + 1).await?;
        }
        Ok(())
    }

    /// Sends the events of a turn to the caller. Returns `false` if the upstream ended it with an
    /// `error` event.
    async fn relay(&self, events: &mut EventStream, splice: &mut Splice<'_>) -> Result<bool> {
        while let Some(event) = next(events, splice).await {
            let event = event?;
            let is_error = event.kind == EventKind::Error;
            if let Some(event) = splice.push(event)? {
                self.send(event).await?;
            }
            if is_error {
                return Ok(false);
            }
        }
        match splice.is_turn_complete() {
            true => Ok(true),
            false => Err(Error::new(ErrorKind::BadUpstream, "the upstream's stream broke off")),
        }
    }

    /// Runs the allowed calls of a turn concurrently; the results keep their order. `said` are the blocks of
    /// the turn.
    async fn run_calls(
        &self,
        calls: &[ServerToolCall],
        taken: Vec<Result<(), ToolOutput>>,
        tools: &[ServerTool],
        said: &[Bytes],
    ) -> Vec<ToolOutput> {
        let running = calls.iter().zip(taken).map(|(call, taken)| async move {
            match taken {
                Ok(()) => self.run_tool(&tools[call.tool], call, said).await,
                Err(refused) => refused,
            }
        });
        join_all(running).await
    }

    /// Sends the visible results to the caller. Returns all results in the upstream's form.
    async fn report(
        &self,
        calls: &[ServerToolCall],
        outputs: &[ToolOutput],
        splice: &mut Splice<'_>,
        kit: &Kit<'_>,
    ) -> Result<Vec<Bytes>> {
        let mut results = Vec::with_capacity(calls.len());
        for (call, output) in calls.iter().zip(outputs) {
            let tool = &kit.tools[call.tool];
            let shown = shown(tool, output, &kit.images);
            self.send_all(splice.result(call, &shown)?).await?;
            let content = face::for_upstream(tool, call, output, kit.forms, &kit.images);
            splice.note_result(call, output, &content);
            results.push(result_block(call, output, &content));
        }
        Ok(results)
    }

    /// Decides the step after a turn with calls. After a pause, a caller continues with the blocks
    /// that it received. It would not have any hidden calls, so its message would end at a point
    /// from which no upstream continues. In that case the model concludes.
    fn after(&self, now: Next, turn: u32, is_shown: bool) -> Next {
        let is_out = turn >= self.gateway.tools.max_turns || Instant::now() >= self.deadline;
        match (now, is_out, is_shown) {
            (Next::Conclude, ..) => Next::End,
            (_, false, _) => Next::Turn,
            (_, true, true) => Next::Pause,
            (_, true, false) => Next::Conclude,
        }
    }

    /// Runs one tool. `said` are the blocks of the turn that makes the call.
    async fn run_tool(
        &self,
        tool: &ServerTool,
        call: &ServerToolCall,
        said: &[Bytes],
    ) -> ToolOutput {
        let options = match tool.wants_transcript {
            true => transcript::added(&tool.options, &self.request, said),
            false => tool.options.clone(),
        };
        let call = ToolCall { tool: &tool.name, id: &call.id, input: call.input.clone(), options };
        let started = Instant::now();
        let output = self.passage.call_tool(call);
        timeout_at(self.deadline, output).await.unwrap_or_else(|_| {
            // the call was dropped before it could record itself
            self.passage.ctx.story.tool_called(&tool.name, started.elapsed(), true);
            ToolOutput::error("the time limit for tool calls in this request was reached")
        })
    }

    /// Records the finished turn if its caller does not see everything.
    fn note(
        &mut self,
        splice: &Splice<'_>,
        calls: &[ServerToolCall],
        results: &[Bytes],
    ) -> Result<()> {
        if let Some(hidden) = &mut self.hidden {
            hidden.push(splice.noted(calls, results)?);
        }
        Ok(())
    }

    /// Ends the message. Keeps the hidden calls, because the caller may continue without knowing
    /// them.
    async fn end(mut self, splice: &mut Splice<'_>, stop_reason: Option<&str>) -> Result<()> {
        if let Some((hidden, id)) = self.hidden.take().zip(splice.seen_call()) {
            self.gateway.shared.carried.keep(self.passage.ctx.caller.id(), &id, hidden);
        }
        self.send_all(splice.finish(stop_reason)?).await
    }

    /// Appends a turn to the request. The earlier part stays the same bytes, so that the upstream's
    /// prompt cache works.
    fn extend(&mut self, said: &[Bytes], results: &[Bytes]) -> Result<()> {
        let document = self.request.document_mut();
        let messages = [Step::Key("messages")];
        document.push(&messages, history::message("assistant", said))?;
        document.push(&messages, history::message("user", results))?;
        declare::free_choice(document)
    }

    async fn next_turn(&mut self, number: u32) -> Result<EventStream> {
        let turn = Turn { number, holder: Some(&self.holder), is_bound: self.is_bound };
        let sent = failover::send(&self.passage, &self.route, &self.request, turn).await?;
        self.holder = sent.choice;
        streamed(sent.reply.body)
    }

    async fn send_all(&self, events: Vec<Event>) -> Result<()> {
        for event in events {
            self.send(event).await?;
        }
        Ok(())
    }

    /// Sends an event to the caller. Fails only if the caller is gone, which then does not receive
    /// the error either.
    async fn send(&self, event: Event) -> Result<()> {
        let sent = self.caller.send(Ok(event)).await;
        sent.map_err(|_| Error::new(ErrorKind::Api, "the caller is gone"))
    }
}

/// Takes each call from the budget, and counts those that may run. The others have their result already.
fn take(
    next: Next,
    calls: &[ServerToolCall],
    splice: &mut Splice<'_>,
    kit: &mut Kit<'_>,
) -> Vec<Result<(), ToolOutput>> {
    let taken = calls.iter().map(|call| {
        let may = next.may_call().and_then(|()| kit.budget.take(call, &kit.tools[call.tool]));
        if may.is_ok() {
            splice.count(call);
        }
        may
    });
    taken.collect()
}

/// Returns the next event. After a complete message, an upstream that does not close is not waited
/// for.
async fn next(events: &mut EventStream, splice: &Splice<'_>) -> Option<Result<Event>> {
    match splice.is_turn_complete() {
        true => timeout(LINGER, events.next()).await.ok().flatten(),
        false => events.next().await,
    }
}

/// Returns a result in the caller's form. Only results of an MCP server have placeholders for
/// images.
fn shown<'a>(
    tool: &ServerTool,
    output: &'a ToolOutput,
    images: &Images<'_>,
) -> Cow<'a, ToolOutput> {
    match tool.face {
        Face::Mcp => images.for_caller(output),
        _ => Cow::Borrowed(output),
    }
}

fn result_block(call: &ServerToolCall, output: &ToolOutput, content: &str) -> Bytes {
    let mut head = json!({"type": "tool_result", "tool_use_id": call.id});
    if output.is_error {
        head["is_error"] = true.into();
    }
    let mut text = head.to_string();
    text.pop();
    text.push_str(&format!(",\"content\":{content}}}"));
    text.into()
}

/// The events of all turns. Polling it runs the loop.
struct Turns {
    events: Receiver<Result<Event>>,
    run: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Stream for Turns {
    type Item = Result<Event>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Event>>> {
        if let Poll::Ready(event) = self.events.poll_recv(cx) {
            return Poll::Ready(event);
        }
        // the loop continues only when the caller has taken every event: this is the back-pressure
        if let Some(run) = &mut self.run
            && run.as_mut().poll(cx).is_ready()
        {
            // the sender is dropped with the loop: the events in the channel end the stream
            self.run = None;
        }
        // polled once, never in a loop: a task that has used up its budget gets `Pending` here
        // until it has yielded, although the channel has events
        self.events.poll_recv(cx)
    }
}

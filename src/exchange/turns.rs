//! The tool loop: asks the upstream, runs the server tools it calls, and goes on until it answers.
//!
//! The loop is a plain `async fn` that pushes events into a bounded channel; the stream that the
//! caller reads drives it. Whoever drops the stream drops the loop, and with it the upstream call
//! and the tools that run.
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
use crate::exchange::attempts::{self, Sent};
use crate::exchange::meter::{Meter, Spent};
use crate::exchange::route::{Choice, Route, Terms};
use crate::gateway::Gateway;
use crate::models::{Alias, Target};
use crate::policy::{Passage, ToolCall, ToolOutput};
use crate::server_tools::budget::Budget;
use crate::server_tools::citations::Sources;
use crate::server_tools::declare;
use crate::server_tools::face;
use crate::server_tools::hidden::Hidden;
use crate::server_tools::history;
use crate::server_tools::images::Images;
use crate::server_tools::splice::Splice;
use crate::server_tools::tool::{Call, Face, ServerTool};
use crate::server_tools::transcript;
use crate::wire::message::Fold;
use crate::wire::{Event, EventKind, EventStream, MessagesRequest, Reply, ReplyBody, Step};

/// Enough that a burst of small events does not switch back and forth for each.
const BUFFERED: usize = 64;

/// The end of a body comes with its last event, or right behind it; waiting for it keeps the
/// connection for the next turn.
const LINGER: Duration = Duration::from_millis(50);

/// A conversation that the gateway goes on with by itself.
struct Conversation {
    gateway: Arc<Gateway>,
    passage: Arc<Passage>,
    alias: Arc<Alias>,
    target: Arc<Target>,
    tools: Vec<ServerTool>,
    sources: Sources,
    request: MessagesRequest,
    terms: Terms,
    deadline: Instant,
    /// For the meter, which counts a conversation that breaks as well.
    spent: Arc<Spent>,
}

/// How it goes on behind the results of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// With one more turn.
    Turn,
    /// With the last one, which calls nothing.
    Conclude,
    /// When the caller comes back.
    Pause,
    /// Not at all: the last turn called something all the same.
    End,
}

impl Next {
    /// Some models call a tool although they may not; it is not run then.
    fn may_call(self) -> std::result::Result<(), ToolOutput> {
        match self {
            Self::Conclude => Err(ToolOutput::error("not run: this turn may call nothing")),
            _ => Ok(()),
        }
    }

    /// Of a message that the gateway ends.
    fn stop_reason(self) -> Option<&'static str> {
        match self {
            Self::Pause => Some("pause_turn"),
            Self::End => Some("end_turn"),
            Self::Turn | Self::Conclude => None,
        }
    }
}

/// What a conversation begins with.
pub struct Ask<'a> {
    /// Whom to ask.
    pub route: Route<'a>,
    /// The first request, ready for an upstream.
    pub request: MessagesRequest,
    /// What the gateway runs itself.
    pub tools: Vec<ServerTool>,
    /// What answers to it may cite.
    pub sources: Sources,
}

/// Sends the first turn; its refusal is still a status. The reply is a stream, or, for a caller
/// that wants none, the fold of the same stream.
pub async fn start(
    gateway: &Arc<Gateway>,
    passage: &Arc<Passage>,
    ask: Ask<'_>,
    meter: &mut Meter,
) -> Result<Reply> {
    let Ask { route, mut request, tools, sources } = ask;
    let wants_stream = request.is_stream();
    request.set_stream(true)?;
    let Sent { reply, choice } = attempts::send(passage, &route, &request, meter).await?;
    if let Some(model) = choice.asked {
        request.set_model(model)?;
    }
    let Reply { status, mut headers, body } = reply;
    let ReplyBody::Events(first) = body else {
        return Err(Error::new(
            ErrorKind::BadUpstream,
            "the upstream did not stream though it was asked to",
        ));
    };
    let conversation = Conversation {
        gateway: Arc::clone(gateway),
        passage: Arc::clone(passage),
        alias: Arc::clone(choice.alias),
        target: Arc::clone(choice.target),
        tools,
        sources,
        request,
        terms: route.terms,
        deadline: route.terms.end_by(Instant::now() + gateway.tools.timeout),
        spent: meter.spent(),
    };
    let events = Turns::start(conversation, first);
    if wants_stream {
        return Ok(Reply { status, headers, body: ReplyBody::Events(Box::pin(events)) });
    }
    headers.remove(CONTENT_TYPE);
    let body = ReplyBody::Full(fold(events).await?);
    Ok(Reply { status, headers, body })
}

async fn fold(mut events: Turns) -> Result<Bytes> {
    let mut fold = Fold::default();
    while let Some(event) = events.next().await {
        fold.push(&event?)?;
    }
    fold.finish()
}

impl Conversation {
    async fn run(mut self, first: EventStream, caller: &Sender<Result<Event>>) -> Result<()> {
        let tools = std::mem::take(&mut self.tools);
        let forms = self.sources.forms;
        let mut splice = Splice::with_sources(&tools, std::mem::take(&mut self.sources));
        let gateway = Arc::clone(&self.gateway);
        let images = Images::new(&gateway.shared.published, forms.images);
        let mut events = first;
        let mut budget = Budget::new(&tools, &self.request, self.gateway.tools.max_calls);
        let mut hidden = tools.iter().any(|tool| !tool.face.is_shown()).then(Hidden::default);
        let mut next = Next::Turn;
        for turn in 1.. {
            if !relay(&mut events, &mut splice, (caller, &self.spent)).await? {
                return Ok(());
            }
            let calls = splice.calls();
            if calls.is_empty() {
                note(&mut hidden, &splice, (&calls, &[]))?;
                return self.end((caller, hidden), &mut splice, None).await;
            }
            let take = |call| next.may_call().and_then(|()| budget.take(call, &tools[call.tool]));
            let taken: Vec<_> = calls.iter().map(take).collect();
            for (call, _) in calls.iter().zip(&taken).filter(|(_, taken)| taken.is_ok()) {
                splice.count(call);
            }
            let said = splice.blocks()?;
            let running = calls.iter().zip(taken).map(|(call, taken)| async {
                match taken {
                    Ok(()) => self.run_tool(&tools[call.tool], call, &said).await,
                    Err(refused) => refused,
                }
            });
            // at once; results keep the order of the calls
            let outputs = join_all(running).await;
            let mut results = Vec::with_capacity(calls.len());
            for (call, output) in calls.iter().zip(&outputs) {
                let shown = shown(&tools[call.tool], output, &images);
                send_all(caller, splice.result(call, &shown)?).await?;
                let content = face::for_upstream(&tools[call.tool], call, output, (forms, &images));
                splice.told(call, output, &content);
                results.push(result_block(call, output, &content));
            }
            note(&mut hidden, &splice, (&calls, &results))?;
            if splice.callers_call().is_some() {
                return self.end((caller, hidden), &mut splice, None).await;
            }
            let is_shown = calls.iter().any(|call| tools[call.tool].face.is_shown());
            next = self.behind(next, turn, is_shown);
            if let Some(reason) = next.stop_reason() {
                return self.end((caller, hidden), &mut splice, Some(reason)).await;
            }
            self.go_on(&said, &results)?;
            if next == Next::Conclude {
                declare::forbid(self.request.document_mut())?;
            }
            splice.next_turn();
            events = self.next_turn().await?;
        }
        Ok(())
    }

    /// How it goes on behind a turn with calls. A caller that goes on from a pause sends back what it
    /// has seen. Of calls that it has not seen nothing would be left, and the message would end where
    /// no upstream goes on: the model concludes.
    fn behind(&self, now: Next, turn: u32, is_shown: bool) -> Next {
        let is_out = turn >= self.gateway.tools.max_turns || Instant::now() >= self.deadline;
        match (now, is_out, is_shown) {
            (Next::Conclude, ..) => Next::End,
            (_, false, _) => Next::Turn,
            (_, true, true) => Next::Pause,
            (_, true, false) => Next::Conclude,
        }
    }

    /// `said` are the blocks of the turn that makes the call.
    async fn run_tool(&self, tool: &ServerTool, call: &Call, said: &[Bytes]) -> ToolOutput {
        let options = match tool.wants_transcript {
            true => transcript::added(&tool.options, &self.request, said),
            false => tool.options.clone(),
        };
        let call = ToolCall { tool: &tool.name, id: &call.id, input: call.input.clone(), options };
        let output = self.passage.call_tool(call);
        timeout_at(self.deadline, output).await.unwrap_or_else(|_| {
            ToolOutput::error("the time that all tools of one request may take is over")
        })
    }

    /// Ends the message. Its caller may go on, and does not know of the calls that were hidden from it.
    async fn end(
        &self,
        (caller, hidden): (&Sender<Result<Event>>, Option<Hidden>),
        splice: &mut Splice<'_>,
        stop_reason: Option<&str>,
    ) -> Result<()> {
        if let Some((hidden, id)) = hidden.zip(splice.seen_call()) {
            self.gateway.shared.carried.keep(&self.passage.ctx.caller.key, &id, hidden);
        }
        send_all(caller, splice.finish(stop_reason)?).await
    }

    /// The same request, longer: what was sent before stays the same bytes, so that the upstream's
    /// prompt cache holds.
    fn go_on(&mut self, said: &[Bytes], results: &[Bytes]) -> Result<()> {
        let document = self.request.document_mut();
        let messages = [Step::Key("messages")];
        document.push(&messages, history::message("assistant", said))?;
        document.push(&messages, history::message("user", results))?;
        declare::free_choice(document)
    }

    async fn next_turn(&self) -> Result<EventStream> {
        let choice = Choice { alias: &self.alias, target: &self.target, asked: None };
        let sent = attempts::send_to(&self.passage, &choice, &self.request, self.terms).await?;
        match sent.body {
            ReplyBody::Events(events) => Ok(events),
            ReplyBody::Full(_) => Err(Error::new(
                ErrorKind::BadUpstream,
                "the upstream did not stream though it was asked to",
            )),
        }
    }
}

/// Notes the finished turn where its caller does not see everything.
fn note(
    hidden: &mut Option<Hidden>,
    splice: &Splice<'_>,
    (calls, results): (&[Call], &[Bytes]),
) -> Result<()> {
    if let Some(hidden) = hidden {
        hidden.push(splice.noted(calls, results)?);
    }
    Ok(())
}

/// Passes a turn on; `false` if the upstream ended it with an `error` event.
async fn relay(
    events: &mut EventStream,
    splice: &mut Splice<'_>,
    (caller, spent): (&Sender<Result<Event>>, &Spent),
) -> Result<bool> {
    while let Some(event) = next(events, splice).await {
        let event = event?;
        let is_error = event.kind == EventKind::Error;
        let tells_usage = matches!(event.kind, EventKind::MessageStart | EventKind::MessageDelta);
        let shown = splice.push(event)?;
        if tells_usage {
            spent.set(splice.spent());
        }
        if let Some(event) = shown {
            send(caller, event).await?;
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

/// The next event. Behind a whole message an upstream that does not close is not waited for.
async fn next(events: &mut EventStream, splice: &Splice<'_>) -> Option<Result<Event>> {
    match splice.is_turn_complete() {
        true => timeout(LINGER, events.next()).await.ok().flatten(),
        false => events.next().await,
    }
}

async fn send_all(caller: &Sender<Result<Event>>, events: Vec<Event>) -> Result<()> {
    for event in events {
        send(caller, event).await?;
    }
    Ok(())
}

/// Fails only when nobody reads any more; then nobody sees the error either.
async fn send(caller: &Sender<Result<Event>>, event: Event) -> Result<()> {
    let sent = caller.send(Ok(event)).await;
    sent.map_err(|_| Error::new(ErrorKind::Api, "the caller is gone"))
}

/// What the caller sees of a result. Only those of an MCP server have words for images.
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

fn result_block(call: &Call, output: &ToolOutput, content: &str) -> Bytes {
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

impl Turns {
    fn start(conversation: Conversation, first: EventStream) -> Self {
        let (caller, events) = mpsc::channel(BUFFERED);
        let run = Box::pin(async move {
            if let Err(error) = conversation.run(first, &caller).await {
                // fails only when nobody reads any more
                let _ = caller.send(Err(error)).await;
            }
        });
        Self { events, run: Some(run) }
    }
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
        // it goes on only when the caller has taken everything: that is the back-pressure
        if let Some(run) = &mut self.run
            && run.as_mut().poll(cx).is_ready()
        {
            // the sender is dropped with it: what is left in the channel ends the stream
            self.run = None;
        }
        // asked once, never in a loop: a task that has used up its budget gets `Pending` here, with
        // events in the channel, until it has yielded
        self.events.poll_recv(cx)
    }
}

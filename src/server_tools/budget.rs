//! How often the server tools of one request may still be called.
use std::borrow::Cow;

use bytes::Bytes;
use memchr::memmem;

use crate::policy::ToolOutput;
use crate::server_tools::tool::{Call, ServerTool, UPSTREAM_PREFIX};
use crate::wire::MessagesRequest;
use crate::wire::content::{self, Block, Message};

/// What is left.
#[derive(Debug)]
pub struct Budget {
    /// Of all tools together, and how many there were.
    calls: (u32, u32),
    /// Of each of the request's tools: what is left, and what its `max_uses` is.
    uses: Vec<Option<(u64, u64)>>,
}

impl Budget {
    /// `max_calls` for the request, and of each tool's `max_uses` what the history sent along has
    /// left. Ours have it for the conversation, the API's own tools for each request (messages-api.md,
    /// `max_uses`), and with it for the turn that the request carries on. The request is as an upstream
    /// takes it.
    pub fn new(tools: &[ServerTool], request: &MessagesRequest, max_calls: u32) -> Self {
        let mut uses: Vec<Option<(u64, u64)>> =
            tools.iter().map(|tool| tool.max_uses.map(|most| (most, most))).collect();
        if uses.iter().any(Option::is_some) {
            let history = request.document().field("messages").unwrap_or_default();
            let (called, turn) = called(&history);
            let counting = |tool: &ServerTool| match tool.counts_history {
                true => &called[..],
                false => &called[turn..],
            };
            for (tool, left) in tools.iter().zip(&mut uses) {
                let count =
                    counting(tool).iter().filter(|name| **name == tool.upstream_name).count();
                *left = left.map(|(left, most)| (left.saturating_sub(count as u64), most));
            }
        }
        Self { calls: (max_calls, max_calls), uses }
    }

    /// Takes a call from what is left; else what the model is told instead of a result.
    pub fn take(&mut self, call: &Call, tool: &ServerTool) -> Result<(), ToolOutput> {
        if let Some((0, most)) = self.uses[call.tool] {
            let name = &tool.upstream_name;
            let message =
                format!("`{name}` has been used up (`max_uses` is {most}): go on without it");
            return Err(ToolOutput::problem("max_uses_exceeded", &message));
        }
        if self.calls.0 == 0 {
            let most = self.calls.1;
            let message = format!("not run: a request may make {most} tool calls in all");
            return Err(ToolOutput::error(&message));
        }
        self.calls.0 -= 1;
        if let Some((left, _)) = &mut self.uses[call.tool] {
            *left -= 1;
        }
        Ok(())
    }
}

/// The names of our tools that a history calls, each as often as it does, and which of them is the
/// first in the turn that the history ends with.
fn called(messages: &Bytes) -> (Vec<String>, usize) {
    if memmem::find(messages, UPSTREAM_PREFIX.as_bytes()).is_none() {
        return (Vec::new(), 0);
    }
    let messages = content::elements(messages);
    // one of another form is for the upstream to refuse: the others count
    let messages = messages.iter().filter_map(|message| {
        let message = Message::of(message)?;
        Some((message.role()?, message.content()?))
    });
    let mut names = Vec::new();
    let mut turn = 0;
    for (role, content) in messages {
        let begins = role == "user" && names.len() > turn;
        if !begins && !content.get().contains(UPSTREAM_PREFIX) {
            continue;
        }
        let blocks = content::listed(content);
        let blocks: Vec<Block<'_>> = blocks.into_iter().filter_map(Block::of).collect();
        // results carry the turn on, whatever a client puts beside them
        if begins && !blocks.iter().any(|block| block.is("tool_result")) {
            turn = names.len();
        }
        let calls = blocks.iter().filter(|block| block.is("tool_use"));
        names.extend(calls.filter_map(|block| block.name().map(Cow::into_owned)));
    }
    (names, turn)
}

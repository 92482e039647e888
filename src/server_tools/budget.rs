//! Counts how often the server tools of one request may still be called.
use std::borrow::Cow;

use bytes::Bytes;
use memchr::memmem;

use crate::policy::ToolOutput;
use crate::server_tools::tool::{ServerTool, ServerToolCall, UPSTREAM_PREFIX};
use crate::wire::MessagesRequest;
use crate::wire::content::{self, Block, Message};

/// The remaining calls of a request.
#[derive(Debug)]
pub(crate) struct Budget {
    /// The remaining calls of all tools together, and their limit.
    calls: (u32, u32),
    /// The remaining calls of each of the request's tools, and its `max_uses`.
    uses: Vec<Option<(u64, u64)>>,
}

impl Budget {
    /// Creates the budget: `max_calls` for the request, and for each tool its `max_uses` minus the
    /// calls in the history.
    ///
    /// For the gateway's tools `max_uses` holds for the conversation. For the API's own tools it
    /// holds for each request, and so for the turn that the request continues (messages-api.md,
    /// `max_uses`). The request is in the upstream's form.
    pub(crate) fn new(tools: &[ServerTool], request: &MessagesRequest, max_calls: u32) -> Self {
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

    /// Takes a call from the budget. Fails with the text for the model if the budget is used up.
    pub(crate) fn take(
        &mut self,
        call: &ServerToolCall,
        tool: &ServerTool,
    ) -> Result<(), ToolOutput> {
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

/// Returns the names of the gateway's tools that a history calls, one for each call, and the index
/// of the first call in the history's last turn.
fn called(messages: &Bytes) -> (Vec<String>, usize) {
    if memmem::find(messages, UPSTREAM_PREFIX.as_bytes()).is_none() {
        return (Vec::new(), 0);
    }
    let messages = content::elements(messages);
    // messages of another form are for the upstream to reject: the others count
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
        // results continue the turn, even if a client adds other blocks
        if begins && !blocks.iter().any(|block| block.is("tool_result")) {
            turn = names.len();
        }
        let calls = blocks.iter().filter(|block| block.is("tool_use"));
        names.extend(calls.filter_map(|block| block.name().map(Cow::into_owned)));
    }
    (names, turn)
}

//! `Rewrite`: the edits of a request that a cloud needs, and the list of its losses.
use serde_json::Value;

use crate::error::Result;
use crate::providers::accepts::Accepts;
use crate::providers::dropped::Dropped;
use crate::wire::{Document, Kind, Step};

/// The reason of a loss that the table of the door states.
const NOT_TAKEN: &str = "this upstream does not take it";
const OF_BETA: &str = "it belongs to a beta that this upstream does not take";

type Path = Vec<Step<'static>>;

/// A request on its way into the form that one upstream takes.
pub(super) struct Rewrite {
    /// The request.
    pub(super) document: Document,
    /// The losses so far.
    pub(super) dropped: Vec<Dropped>,
}

impl Rewrite {
    pub(super) fn new(document: Document) -> Self {
        Self { document, dropped: Vec::new() }
    }

    /// Records betas that are not sent, and removes the parts of the request that they unlock.
    pub(super) fn without_betas(&mut self, dropped: &[String], sent: &[String]) -> Result<()> {
        let lost = dropped.iter().map(|name| Dropped::content(name.clone(), "", NOT_TAKEN));
        self.dropped.extend(lost);
        for (betas, gated) in GATES {
            let has = |list: &[String]| list.iter().any(|name| betas.contains(&name.as_str()));
            if has(dropped) && !has(sent) {
                self.close(*gated)?;
            }
        }
        Ok(())
    }

    fn close(&mut self, gated: Gated) -> Result<()> {
        match gated {
            Gated::Member(path, name) => {
                let path: Path = path.iter().map(|key| Step::Key(key)).collect();
                self.remove(&path, name, OF_BETA).map(drop)
            }
            Gated::Updates => {
                let path = [Step::Key("thinking"), Step::Key("display")];
                match self.text(&path)?.as_deref() {
                    Some("updates") => self.remove(&path, "thinking.display", OF_BETA).map(drop),
                    _ => Ok(()),
                }
            }
            Gated::OfMessage(name) => self.each_message(|this, message| {
                let path = [message, &[Step::Key(name)]].concat();
                this.remove(&path, name, OF_BETA).map(drop)
            }),
            Gated::ToolChanges => self.without_tool_changes(),
            Gated::Tools(family) => self.without_tools_if(|kind| kind.starts_with(family), OF_BETA),
        }
    }

    /// Removes the top-level fields outside a closed list, in the order of the request.
    pub(super) fn only_fields(&mut self, allowed: &[&str]) -> Result<()> {
        let names: Vec<String> = self.document.names().map(ToOwned::to_owned).collect();
        for name in names.into_iter().filter(|name| !allowed.contains(&name.as_str())) {
            self.document.remove(&[Step::Key(&name)])?;
            let pointer = format!("/{name}");
            self.dropped.push(match HINTS.contains(&name.as_str()) {
                true => Dropped::hint(name, pointer, NOT_TAKEN),
                false => Dropped::content(name, pointer, NOT_TAKEN),
            });
        }
        Ok(())
    }

    /// Removes these top-level fields.
    pub(super) fn without_fields(&mut self, names: &[&'static str]) -> Result<()> {
        for name in names {
            self.remove(&[Step::Key(name)], name, NOT_TAKEN)?;
        }
        Ok(())
    }

    /// Removes tools of types that the upstream lacks. A choice of a removed tool goes too, and with the
    /// last tool the list and the choice.
    pub(super) fn without_tools(&mut self, accepts: &Accepts) -> Result<()> {
        self.without_tools_if(|kind| accepts.lacks_tool(kind), NOT_TAKEN)
    }

    fn without_tools_if(
        &mut self,
        is_lacked: impl Fn(&str) -> bool,
        reason: &'static str,
    ) -> Result<()> {
        let tools = Step::Key("tools");
        let all = self.document.len(&[tools])?.unwrap_or_default();
        let (mut left, mut removed) = (all, Vec::new());
        for number in 0..all {
            let at = Step::Index((number + left - all) as i64);
            let kind = self.text(&[tools, at, Step::Key("type")])?;
            let Some(kind) = kind.filter(|kind| is_lacked(kind)) else { continue };
            removed.extend(self.text(&[tools, at, Step::Key("name")])?);
            self.document.remove(&[tools, at])?;
            let (name, pointer) = (format!("tool:{kind}"), format!("/tools/{number}"));
            self.dropped.push(Dropped::content(name, pointer, reason));
            left -= 1;
        }
        if left == 0 && all > 0 {
            self.document.remove(&[tools])?;
            self.document.remove(&[Step::Key("tool_choice")])?;
        }
        let chosen = self.text(&[Step::Key("tool_choice"), Step::Key("name")])?;
        if chosen.is_some_and(|chosen| removed.contains(&chosen)) {
            self.remove(&[Step::Key("tool_choice")], "tool_choice", "its tool was left out")?;
        }
        Ok(())
    }

    /// Moves the options of `custom` to the tool itself.
    pub(super) fn flat_tools(&mut self) -> Result<()> {
        let tools = Step::Key("tools");
        if !self.mentions("tools", b"\"custom\"") {
            return Ok(());
        }
        for at in 0..self.document.len(&[tools])?.unwrap_or_default() as i64 {
            let custom = [tools, Step::Index(at), Step::Key("custom")];
            if self.document.kind(&custom)? != Some(Kind::Object) {
                continue;
            }
            let deferred =
                self.document.get(&[&custom[..], &[Step::Key("defer_loading")]].concat())?;
            if let Some(deferred) = deferred {
                self.document
                    .set(&[tools, Step::Index(at), Step::Key("defer_loading")], deferred)?;
            }
            self.document.remove(&custom)?;
        }
        Ok(())
    }

    /// Removes members of every `cache_control`. The upstream then caches as it does without them.
    pub(super) fn without_in_cache_control(
        &mut self,
        members: &'static [&'static str],
    ) -> Result<()> {
        let quoted = |member: &&str| format!("\"{member}\"").into_bytes();
        let mut strip =
            |this: &mut Self, path: &[Step<'static>]| this.strip_cache_control(path, members);
        for field in ["system", "tools", "messages"] {
            if members.iter().any(|member| self.mentions(field, &quoted(member))) {
                self.each_object(&mut vec![Step::Key(field)], &mut strip)?;
            }
        }
        Ok(())
    }

    fn strip_cache_control(
        &mut self,
        path: &[Step<'static>],
        members: &[&'static str],
    ) -> Result<()> {
        let control = [path, &[Step::Key("cache_control")]].concat();
        if self.document.kind(&control)? != Some(Kind::Object) {
            return Ok(());
        }
        for member in members {
            let path = [&control[..], &[Step::Key(member)]].concat();
            if self.document.remove(&path)? {
                let name = format!("cache_control.{member}");
                self.dropped.push(Dropped::hint(name, pointer(&path), NOT_TAKEN));
            }
        }
        Ok(())
    }

    /// Moves the older `output_format` to its place in `output_config`.
    pub(super) fn folded_format(&mut self) -> Result<()> {
        let Some(format) = self.document.field("output_format") else { return Ok(()) };
        self.document.remove(&[Step::Key("output_format")])?;
        let config = Step::Key("output_config");
        if self.document.kind(&[config])? != Some(Kind::Object) {
            self.document.set(&[config], "{}")?;
        }
        let path = [config, Step::Key("format")];
        match self.document.kind(&path)? {
            None => self.document.set(&path, format),
            Some(_) => Ok(()),
        }
    }

    /// Removes edits of a type from `context_management`, and the field if no edit is left.
    pub(super) fn without_context_edit(&mut self, kind: &'static str) -> Result<()> {
        let edits = [Step::Key("context_management"), Step::Key("edits")];
        let Some(all) = self.document.len(&edits)? else { return Ok(()) };
        let mut left = all;
        for at in (0..all).rev() {
            let edit = [edits[0], edits[1], Step::Index(at as i64)];
            let found = self.text(&[&edit[..], &[Step::Key("type")]].concat())?;
            if found.as_deref() == Some(kind) && self.document.remove(&edit)? {
                left -= 1;
                self.dropped.push(Dropped::content(kind, pointer(&edit), NOT_TAKEN));
            }
        }
        if left == 0 && all > 0 {
            self.document.remove(&edits[..1])?;
        }
        Ok(())
    }

    /// Removes `tool_addition` and `tool_removal`, and messages that have nothing else.
    fn without_tool_changes(&mut self) -> Result<()> {
        if !TOOL_CHANGES.iter().any(|kind| self.mentions("messages", kind.as_bytes())) {
            return Ok(());
        }
        let messages = Step::Key("messages");
        for at in (0..self.document.len(&[messages])?.unwrap_or_default()).rev() {
            let content = [messages, Step::Index(at as i64), Step::Key("content")];
            if self.is_emptied_of_tool_changes(&content)? {
                self.document.remove(&content[..2])?;
            }
        }
        Ok(())
    }

    /// Removes the changes from the content of a message. Returns whether nothing else was there.
    fn is_emptied_of_tool_changes(&mut self, content: &[Step<'static>; 3]) -> Result<bool> {
        let all = self.document.len(content)?.unwrap_or_default();
        let mut left = all;
        for block in (0..all).rev() {
            let block = [&content[..], &[Step::Index(block as i64)]].concat();
            let kind = self.text(&[&block[..], &[Step::Key("type")]].concat())?;
            if let Some(kind) = kind.filter(|kind| TOOL_CHANGES.contains(&kind.as_str())) {
                self.remove(&block, &format!("block:{kind}"), OF_BETA)?;
                left -= 1;
            }
        }
        Ok(left == 0 && all > 0)
    }

    /// Removes the value at a path and records the loss. Returns whether it was there.
    fn remove(&mut self, path: &[Step<'_>], name: &str, reason: &'static str) -> Result<bool> {
        let was_there = self.document.remove(path)?;
        if was_there {
            self.dropped.push(Dropped::content(name.to_owned(), pointer(path), reason));
        }
        Ok(was_there)
    }

    fn each_message(
        &mut self,
        act: impl Fn(&mut Self, &[Step<'static>]) -> Result<()>,
    ) -> Result<()> {
        for at in 0..self.document.len(&[Step::Key("messages")])?.unwrap_or_default() {
            let message = [Step::Key("messages"), Step::Index(at as i64)];
            if self.document.kind(&message)? == Some(Kind::Object) {
                act(self, &message)?;
            }
        }
        Ok(())
    }

    /// Visits the objects at a path and in the content of each: messages, blocks, tools.
    pub(super) fn each_object(
        &mut self,
        path: &mut Path,
        act: &mut impl FnMut(&mut Self, &[Step<'static>]) -> Result<()>,
    ) -> Result<()> {
        match self.document.kind(path)? {
            Some(Kind::Array) => {
                for at in 0..self.document.len(path)?.unwrap_or_default() {
                    path.push(Step::Index(at as i64));
                    self.each_object(path, act)?;
                    path.pop();
                }
            }
            Some(Kind::Object) => {
                act(self, path)?;
                for way in [&["content"][..], &["source", "content"]] {
                    let depth = path.len();
                    path.extend(way.iter().map(|key| Step::Key(key)));
                    self.each_object(path, act)?;
                    path.truncate(depth);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns the string at a path; `None` if there is another value or none.
    pub(super) fn text(&mut self, path: &[Step<'_>]) -> Result<Option<String>> {
        let found = self.document.look(path)?;
        let Some((Kind::String, Some(json))) = found else { return Ok(None) };
        Ok(serde_json::from_slice(&json).ok())
    }

    /// Returns whether a text occurs in a top-level field. A search is much cheaper than a walk.
    fn mentions(&self, field: &str, text: &[u8]) -> bool {
        let field = self.document.field(field);
        field.is_some_and(|field| memchr::memmem::find(&field, text).is_some())
    }

    /// Sets a top-level field unless the request has it.
    pub(super) fn set_missing(&mut self, name: &str, value: impl Into<Value>) -> Result<()> {
        match self.document.has(name) {
            true => Ok(()),
            false => self.document.set_value(&[Step::Key(name)], &value.into()),
        }
    }
}

/// A part of a request that a beta unlocks.
#[derive(Clone, Copy)]
enum Gated {
    /// A value by its path, and its name.
    Member(&'static [&'static str], &'static str),
    /// `thinking.display: updates`
    Updates,
    /// A member of messages.
    OfMessage(&'static str),
    /// The blocks `tool_addition` and `tool_removal`.
    ToolChanges,
    /// Tools whose type begins so.
    Tools(&'static str),
}

/// The parts that betas unlock: any one of the betas is enough.
const GATES: &[(&[&str], Gated)] = &[
    (&["advisor-tool-2026-03-01"], Gated::Tools("advisor_")),
    (
        &["thinking-binding-controls-2026-08-01"],
        Gated::Member(&["thinking", "block_binding"], "thinking.block_binding"),
    ),
    (&["thinking-display-updates-2026-08-18"], Gated::Updates),
    (&["mid-conversation-system-clear-at-2026-08-21"], Gated::OfMessage("clear_at")),
    (
        &["mid-conversation-output-config-2026-07-01", "per-turn-control-2026-07-01"],
        Gated::OfMessage("output_config"),
    ),
    (&["mid-conversation-tool-changes-2026-07-01", "inline-tools-2026-09-15"], Gated::ToolChanges),
    (
        &["task-budgets-2026-03-13"],
        Gated::Member(&["output_config", "task_budget"], "output_config.task_budget"),
    ),
    (
        &["context-management-2025-06-27", "compact-2026-01-12"],
        Gated::Member(&["context_management"], "context_management"),
    ),
    (&["compact-2026-09-04"], Gated::Member(&["compaction"], "compaction")),
    (&["fast-mode-2026-02-01"], Gated::Member(&["speed"], "speed")),
    (&["message-threads-2026-08-12"], Gated::Member(&["thread"], "thread")),
    (
        &["mcp-client-2025-04-04", "mcp-client-2025-11-20", "mcp-client-2026-09-15"],
        Gated::Member(&["mcp_servers"], "mcp_servers"),
    ),
    (
        &["skills-2025-10-02", "code-execution-2025-08-25", "files-api-2025-04-14"],
        Gated::Member(&["container"], "container"),
    ),
];

/// The blocks that change the tools within a conversation.
const TOOL_CHANGES: [&str; 2] = ["tool_addition", "tool_removal"];

/// Fields whose loss changes the price or the speed only.
const HINTS: [&str; 4] = ["cache_control", "service_tier", "tags", "diagnostics"];

/// Returns the JSON pointer of a path.
pub(super) fn pointer(path: &[Step<'_>]) -> String {
    path.iter().fold(String::new(), |pointer, step| match step {
        Step::Key(key) => format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")),
        Step::Index(at) => format!("{pointer}/{at}"),
    })
}

#[cfg(test)]
mod tests;

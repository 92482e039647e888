//! Conversations as texts: `text_of`, `last_user_text`, `each_text`.
use rhai::{Dynamic, Engine, FnPtr, ImmutableString, Map, NativeCallContext};

use crate::policy::script::error::{Answer, Told};
use crate::policy::script::place::{List, Object};
use crate::policy::script::run::Run;

/// Registers the functions with an engine.
pub(super) fn register(engine: &mut Engine) {
    engine
        .register_fn("text_of", |content: Dynamic| text_of(&content))
        .register_fn("last_user_text", last_user_text)
        .register_fn("each_text", each_text)
        .register_fn("each_text", each_text_of);
}

/// The separator between the texts of blocks.
const BETWEEN: &str = "\n";

fn text_of(content: &Dynamic) -> Answer<String> {
    let mut texts = Vec::new();
    collect(content, &mut |text| texts.push(text))?;
    Ok(texts.join(BETWEEN))
}

/// Passes on the texts of a content: a text, blocks, one block, or any value with a `content`.
fn collect(content: &Dynamic, found: &mut impl FnMut(ImmutableString)) -> Answer<()> {
    Run::check_time()?;
    if content.is_unit() {
        return Ok(());
    }
    if let Ok(text) = content.as_immutable_string_ref() {
        found(text.clone());
        return Ok(());
    }
    if let Some(list) = content.read_lock::<List>().map(|list| list.clone()) {
        return list.into_iter().try_for_each(|block| collect_block(&block?, found));
    }
    if let Ok(blocks) = content.as_array_ref() {
        return blocks.iter().try_for_each(|block| collect_block(block, found));
    }
    match member(content, "content")? {
        Some(inner) if !inner.is_unit() => collect_inner(&inner, found),
        Some(_) => collect_block(content, found),
        None => {
            let kind = content.type_name();
            Err(Told(format!(
                "`text_of` takes a text, blocks or a message, not a value of type `{kind}`"
            ))
            .into())
        }
    }
}

/// Passes on the texts of a content within a message: a text or blocks only, so that a loop of values cannot
/// keep the walk going.
fn collect_inner(content: &Dynamic, found: &mut impl FnMut(ImmutableString)) -> Answer<()> {
    match member(content, "content")? {
        Some(_) => Ok(()),
        None => collect(content, found),
    }
}

fn collect_block(block: &Dynamic, found: &mut impl FnMut(ImmutableString)) -> Answer<()> {
    Run::check_time()?;
    let kind = member(block, "type")?.unwrap_or_default();
    if kind.into_immutable_string().is_ok_and(|kind| kind == "text")
        && let Some(text) = member(block, "text")?
        && let Ok(text) = text.into_immutable_string()
    {
        found(text);
    }
    Ok(())
}

/// Returns a member of an object or map; `()` if it has no such member, `None` if the value is neither.
fn member(value: &Dynamic, key: &str) -> Answer<Option<Dynamic>> {
    let object = value.read_lock::<Object>().map(|object| object.clone());
    if let Some(mut object) = object {
        return object.get(key.into()).map(Some);
    }
    let map = value.read_lock::<Map>();
    Ok(map.map(|map| map.get(key).cloned().unwrap_or_default()))
}

fn last_user_text(request: &mut Object) -> Answer<String> {
    let Some(mut messages) = request.get("messages".into())?.try_cast::<List>() else {
        return Ok(String::new());
    };
    for index in (0..messages.len()?).rev() {
        let message = messages.get(index)?;
        let role = member(&message, "role")?.unwrap_or_default();
        if role.into_immutable_string().is_ok_and(|role| role == "user") {
            let content = member(&message, "content")?.unwrap_or_default();
            let text = text_of(&content)?;
            if !text.is_empty() {
                return Ok(text);
            }
        }
    }
    Ok(String::new())
}

fn each_text(ctx: NativeCallContext<'_>, place: &mut Object, change: FnPtr) -> Answer<i64> {
    let mut visit = Visit { ctx: &ctx, change, part: Part::All, changed: 0 };
    if place.contains("messages".into())? {
        visit.content(place, "system")?;
        visit.messages(place)?;
    } else if place.contains("content".into())? {
        visit.content(place, "content")?;
    } else {
        visit.block(place)?;
    }
    Ok(visit.changed)
}

fn each_text_of(
    ctx: NativeCallContext<'_>,
    request: &mut Object,
    part: &str,
    change: FnPtr,
) -> Answer<i64> {
    let part = match part {
        "system" => Part::System,
        "messages" => Part::Messages,
        "tool_results" => Part::ToolResults,
        "tool_inputs" => Part::ToolInputs,
        _ => {
            let known = "`each_text` takes the parts `system`, `messages`, `tool_results` and `tool_inputs`";
            return Err(Told(known.to_owned()).into());
        }
    };
    let mut visit = Visit { ctx: &ctx, change, part, changed: 0 };
    match part {
        Part::System => visit.content(request, "system")?,
        _ => visit.messages(request)?,
    }
    Ok(visit.changed)
}

/// The texts of a request that a walk visits.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    All,
    System,
    /// The texts of messages, without tool results.
    Messages,
    ToolResults,
    /// The inputs of tool calls in earlier turns.
    ToolInputs,
}

/// A walk over texts. Thinking, signatures and citations are not visited: the upstream would reject a
/// request with changes there. Tool inputs are no prose, and are visited only if they are named.
struct Visit<'a> {
    ctx: &'a NativeCallContext<'a>,
    change: FnPtr,
    part: Part,
    changed: i64,
}

impl Visit<'_> {
    fn messages(&mut self, request: &mut Object) -> Answer<()> {
        let Some(messages) = request.get("messages".into())?.try_cast::<List>() else {
            return Ok(());
        };
        for message in messages {
            if let Some(mut message) = message?.try_cast::<Object>() {
                self.content(&mut message, "content")?;
            }
        }
        Ok(())
    }

    /// Visits a content: a text, or blocks.
    fn content(&mut self, object: &mut Object, key: &'static str) -> Answer<()> {
        let content = object.get(key.into())?;
        if content.is_string() {
            return match self.part {
                Part::ToolResults | Part::ToolInputs => Ok(()),
                _ => self.text(object, key, content),
            };
        }
        let Some(blocks) = content.try_cast::<List>() else { return Ok(()) };
        for block in blocks {
            if let Some(mut block) = block?.try_cast::<Object>() {
                self.block(&mut block)?;
            }
        }
        Ok(())
    }

    fn block(&mut self, block: &mut Object) -> Answer<()> {
        Run::check_time()?;
        let Ok(kind) = block.get("type".into())?.into_immutable_string() else { return Ok(()) };
        match (kind.as_str(), self.part) {
            ("text", Part::ToolResults | Part::ToolInputs) => Ok(()),
            ("tool_use" | "mcp_tool_use", Part::ToolInputs) => self.values(block, "input"),
            ("text", _) => {
                let text = block.get("text".into())?;
                self.text(block, "text", text)
            }
            ("tool_result" | "mcp_tool_result", Part::All | Part::ToolResults) => {
                self.within(Part::All, block, "content")
            }
            ("search_result", Part::All | Part::Messages) => self.content(block, "content"),
            ("document", Part::All | Part::Messages) => self.document(block),
            _ => Ok(()),
        }
    }

    /// Visits the content of a block as texts of `part`, then restores the part of the walk.
    fn within(&mut self, part: Part, block: &mut Object, key: &'static str) -> Answer<()> {
        let outer = std::mem::replace(&mut self.part, part);
        let done = self.content(block, key);
        self.part = outer;
        done
    }

    /// Visits every text in a value, at any depth, but not the names of members.
    fn values(&mut self, object: &mut Object, key: &str) -> Answer<()> {
        let value = object.get(key.into())?;
        if value.is_string() {
            return self.text(object, key, value);
        }
        if let Some(mut inner) = value.read_lock::<Object>().map(|inner| inner.clone()) {
            for key in inner.keys()? {
                self.values(&mut inner, &key.into_immutable_string().unwrap_or_default())?;
            }
        }
        let Some(mut list) = value.try_cast::<List>() else { return Ok(()) };
        for index in 0..list.len()? {
            self.element(&mut list, index)?;
        }
        Ok(())
    }

    fn element(&mut self, list: &mut List, index: i64) -> Answer<()> {
        let value = list.get(index)?;
        if let Some(mut object) = value.read_lock::<Object>().map(|object| object.clone()) {
            for key in object.keys()? {
                self.values(&mut object, &key.into_immutable_string().unwrap_or_default())?;
            }
            return Ok(());
        }
        if let Some(mut inner) = value.read_lock::<List>().map(|inner| inner.clone()) {
            return (0..inner.len()?).try_for_each(|index| self.element(&mut inner, index));
        }
        match self.changed(value)? {
            Some(after) => list.set(index, after),
            None => Ok(()),
        }
    }

    /// Visits a document with its text inline; files are not visited.
    fn document(&mut self, block: &mut Object) -> Answer<()> {
        let Some(mut source) = block.get("source".into())?.try_cast::<Object>() else {
            return Ok(());
        };
        let Ok(kind) = source.get("type".into())?.into_immutable_string() else { return Ok(()) };
        match kind.as_str() {
            "text" => {
                let text = source.get("data".into())?;
                self.text(&mut source, "data", text)
            }
            "content" => self.content(&mut source, "content"),
            _ => Ok(()),
        }
    }

    fn text(&mut self, object: &mut Object, key: &str, text: Dynamic) -> Answer<()> {
        match self.changed(text)? {
            Some(after) => object.set(key.into(), after),
            None => Ok(()),
        }
    }

    /// Returns the replacement of a text, if it changes.
    fn changed(&mut self, text: Dynamic) -> Answer<Option<Dynamic>> {
        let Ok(before) = text.into_immutable_string() else { return Ok(None) };
        Run::check_time()?;
        let after: Dynamic = self.change.call_within_context(self.ctx, (before.clone(),))?;
        if after.is_unit() {
            return Ok(None);
        }
        let after = after.into_immutable_string().map_err(|kind| {
            Told(format!(
                "the function given to `each_text` must return the new text or nothing, not a value of type `{kind}`"
            ))
        })?;
        let is_new = after != before;
        self.changed += i64::from(is_new);
        Ok(is_new.then(|| after.into()))
    }
}

//! Conversations as texts: `text_of`, `last_user_text`, `each_text`.
use rhai::{Dynamic, Engine, FnPtr, ImmutableString, Map, NativeCallContext};

use crate::policy::script::error::{AuthorError, ScriptResult};
use crate::policy::script::place::Part::{self as Step, Index, Key};
use crate::policy::script::place::{List, Object, Place};
use crate::policy::script::run::Run;
use crate::policy::script::walk;
use crate::wire::content::places::Part;
use crate::wire::document::texts::Name;

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

fn text_of(content: &Dynamic) -> ScriptResult<String> {
    let mut texts = Vec::new();
    collect(content, &mut |text| texts.push(text))?;
    Ok(texts.join(BETWEEN))
}

/// Passes on the texts of a content: a text, blocks, one block, or any value with a `content`.
fn collect(content: &Dynamic, found: &mut impl FnMut(ImmutableString)) -> ScriptResult<()> {
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
            Err(AuthorError(format!(
                "`text_of` takes a text, blocks or a message, not a value of type `{kind}`"
            ))
            .into())
        }
    }
}

/// Passes on the texts of a content within a message: a text or blocks only, so that a loop of values cannot
/// keep the walk going.
fn collect_inner(content: &Dynamic, found: &mut impl FnMut(ImmutableString)) -> ScriptResult<()> {
    match member(content, "content")? {
        Some(_) => Ok(()),
        None => collect(content, found),
    }
}

fn collect_block(block: &Dynamic, found: &mut impl FnMut(ImmutableString)) -> ScriptResult<()> {
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
fn member(value: &Dynamic, key: &str) -> ScriptResult<Option<Dynamic>> {
    let object = value.read_lock::<Object>().map(|object| object.clone());
    if let Some(mut object) = object {
        return object.get(key.into()).map(Some);
    }
    let map = value.read_lock::<Map>();
    Ok(map.map(|map| map.get(key).cloned().unwrap_or_default()))
}

fn last_user_text(request: &mut Object) -> ScriptResult<String> {
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

fn each_text(ctx: NativeCallContext<'_>, place: &mut Object, change: FnPtr) -> ScriptResult<i64> {
    let mut visit = Visit { ctx: &ctx, change, changed: 0 };
    visit.all(&place.0, &[Part::System, Part::Messages, Part::ToolResults])?;
    Ok(visit.changed)
}

fn each_text_of(
    ctx: NativeCallContext<'_>,
    request: &mut Object,
    part: &str,
    change: FnPtr,
) -> ScriptResult<i64> {
    let part = match part {
        "system" => Part::System,
        "messages" => Part::Messages,
        "tool_results" => Part::ToolResults,
        "tool_inputs" => Part::ToolInputs,
        "tools" => Part::Tools,
        _ => {
            let known = "`each_text` takes the parts `system`, `messages`, `tool_results`, `tool_inputs` and `tools`";
            return Err(AuthorError(known.to_owned()).into());
        }
    };
    let mut visit = Visit { ctx: &ctx, change, changed: 0 };
    visit.all(&request.0, &[part])?;
    Ok(visit.changed)
}

/// A walk over texts.
struct Visit<'a> {
    ctx: &'a NativeCallContext<'a>,
    change: FnPtr,
    changed: i64,
}

/// A text, or a value that holds texts, and its place in the document.
struct Reached {
    place: Place,
    name: Name,
    is_values: bool,
}

impl Visit<'_> {
    /// Visits the system prompt and tools of a request, then one message after the other, so that a long
    /// conversation takes little memory; of any other value, everything at once.
    fn all(&mut self, place: &Place, parts: &[Part]) -> ScriptResult<()> {
        let messages = place.child(Key("messages".into()));
        let count = messages.with(None, |document, path| document.len(path))?;
        let Some(count) = count else { return self.below(place, parts) };
        let beside: Vec<Part> =
            parts.iter().copied().filter(|part| part.is_beside_messages()).collect();
        if !beside.is_empty() {
            self.below(place, &beside)?;
        }
        let within: Vec<Part> =
            parts.iter().copied().filter(|part| !part.is_beside_messages()).collect();
        for index in 0..count as i64 {
            if within.is_empty() {
                break;
            }
            self.below(&messages.child(Index(index)), &within)?;
        }
        Ok(())
    }

    /// Visits the texts below a place. The document is free again before any function of the script runs.
    fn below(&mut self, start: &Place, parts: &[Part]) -> ScriptResult<()> {
        Run::check_time()?;
        let mut reached = Vec::new();
        walk::texts(start, parts, |found, is_values| {
            if let Some((name, way)) = found.path.split_last() {
                let place = way.iter().fold(start.clone(), |place, name| place.child(step(name)));
                reached.push(Reached { place, name: name.clone(), is_values });
            }
            Ok(())
        })?;
        for Reached { place, name, is_values } in reached {
            match (is_values, name) {
                (_, Name::Index(index)) => self.element(&mut List(place), index as i64)?,
                (true, Name::Key(key)) => self.values(&mut Object(place), &key)?,
                (false, Name::Key(key)) => {
                    let mut object = Object(place);
                    let text = object.get(key.as_ref().into())?;
                    self.text(&mut object, &key, text)?;
                }
            }
        }
        Ok(())
    }

    /// Visits every text in a value, at any depth, but not the names of members.
    fn values(&mut self, object: &mut Object, key: &str) -> ScriptResult<()> {
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

    fn element(&mut self, list: &mut List, index: i64) -> ScriptResult<()> {
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

    fn text(&mut self, object: &mut Object, key: &str, text: Dynamic) -> ScriptResult<()> {
        match self.changed(text)? {
            Some(after) => object.set(key.into(), after),
            None => Ok(()),
        }
    }

    /// Returns the replacement of a text, if it changes.
    fn changed(&mut self, text: Dynamic) -> ScriptResult<Option<Dynamic>> {
        let Ok(before) = text.into_immutable_string() else { return Ok(None) };
        Run::check_time()?;
        let after: Dynamic = self.change.call_within_context(self.ctx, (before.clone(),))?;
        if after.is_unit() {
            return Ok(None);
        }
        let after = after.into_immutable_string().map_err(|kind| {
            AuthorError(format!(
                "the function given to `each_text` must return the new text or nothing, not a value of type `{kind}`"
            ))
        })?;
        let is_new = after != before;
        self.changed += i64::from(is_new);
        Ok(is_new.then(|| after.into()))
    }
}

/// Returns the step of a place to a name.
fn step(name: &Name) -> Step {
    match name {
        Name::Key(key) => Key(key.as_ref().into()),
        Name::Index(index) => Index(*index as i64),
    }
}

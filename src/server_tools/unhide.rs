//! Puts calls of hidden tools back into the history of a caller that has never seen them.
use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Instant;

use bytes::Bytes;
use memchr::memmem;

use crate::error::Result;
use crate::server_tools::hidden::{Carried, Hidden, HiddenBlock, Shape};
use crate::wire::content;
use crate::wire::{Document, Kind, MessagesRequest, Step, scan};

/// Puts the kept calls and results of this caller back into its messages, and returns the
/// `tool_use_id`s of the results. `history::restore` has to run afterwards: it turns calls and
/// results inside an assistant's message into turns. Changes nothing else. If nothing is kept for
/// this caller, it costs one lookup.
pub(crate) fn put_back(
    request: &mut MessagesRequest,
    carried: &Carried,
    caller: &str,
) -> Result<HashSet<String>> {
    let mut unseen = HashSet::new();
    if !carried.has(caller, Instant::now()) {
        return Ok(unseen);
    }
    let Some(text) = request.document().field("messages") else { return Ok(unseen) };
    if memmem::find(&text, b"tool_use").is_none() {
        return Ok(unseen);
    }
    let document = request.document_mut();
    let messages = document.len(&[Step::Key("messages")])?.unwrap_or_default() as i64;
    for n in 0..messages {
        let shapes = shapes(document, n)?;
        // from the end, so that earlier positions stay valid
        for at in (0..shapes.len()).rev().filter(|at| !shapes[*at].id.is_empty()) {
            let Some(hidden) = carried.find(caller, &shapes[at].id) else { continue };
            let is_callers = shapes[at].kind == "tool_use";
            // the upstream rejects a call without an answer after it
            if is_callers && !takes_results(document, n + 1)? {
                continue;
            }
            let results = match places(&shapes, at, &hidden) {
                Some(places) => insert(document, n, &places)?,
                None if is_callers => insert_last_turn(document, n, at, &hidden)?,
                None => continue,
            };
            unseen.extend(results);
        }
    }
    Ok(unseen)
}

/// Returns the shapes of the blocks in an assistant's message; none if its content is a string.
fn shapes(document: &mut Document, n: i64) -> Result<Vec<Shape>> {
    let content = field(n, "content");
    if !has_role(document, n, "assistant")? || document.kind(&content)? != Some(Kind::Array) {
        return Ok(Vec::new());
    }
    let blocks = document.len(&content)?.unwrap_or_default();
    let mut shapes = Vec::with_capacity(blocks);
    for at in 0..blocks {
        shapes.push(shape(&document.get(&block(n, at))?.unwrap_or_default()));
    }
    Ok(shapes)
}

/// Returns the shape of a block. A block of an unknown form gets an empty shape, which matches
/// nothing.
fn shape(block: &[u8]) -> Shape {
    let Some(block) = content::Block::read(block) else { return Shape::default() };
    let kind = block.kind();
    if kind.is_empty() {
        return Shape::default();
    }
    Shape {
        is_empty: kind == "text" && block.text().is_some_and(|text| text.is_empty()),
        kind: kind.into_owned(),
        id: block.id().unwrap_or_default().into_owned(),
    }
}

/// Returns the hidden blocks in order, each with the index of the caller's block before which it
/// belongs. `at` is the call by which the message was found. Returns `None` if the caller has
/// changed the message.
fn places<'a>(
    shapes: &[Shape],
    at: usize,
    hidden: &'a Hidden,
) -> Option<Vec<(usize, &'a HiddenBlock)>> {
    let blocks = hidden.blocks();
    let found = blocks.iter().position(|block| is_shown(block, &shapes[at]))?;
    let mut places = Vec::new();
    let mut here = at;
    for block in blocks[..found].iter().rev() {
        match block {
            HiddenBlock::Shown(shape) if here > 0 && shapes[here - 1] == *shape => here -= 1,
            HiddenBlock::Shown(shape) if shape.may_be_missing() => {}
            HiddenBlock::Shown(_) => return None,
            block => places.push((here, block)),
        }
    }
    places.reverse();
    here = at + 1;
    for block in &blocks[found + 1..] {
        match block {
            HiddenBlock::Shown(shape) if shapes.get(here) == Some(shape) => here += 1,
            HiddenBlock::Shown(shape) if shape.may_be_missing() => {}
            HiddenBlock::Shown(_) => return None,
            block => places.push((here, block)),
        }
    }
    // a call that the caller has to answer stands in the last turn of its message
    (shapes[at].kind != "tool_use" || here == shapes.len()).then_some(places)
}

fn is_shown(block: &HiddenBlock, shape: &Shape) -> bool {
    matches!(block, HiddenBlock::Shown(shown) if shown == shape)
}

/// Inserts hidden blocks at their places. Returns the ids of the calls that the inserted results
/// answer.
fn insert(
    document: &mut Document,
    n: i64,
    places: &[(usize, &HiddenBlock)],
) -> Result<Vec<String>> {
    let mut answers = Vec::new();
    for (at, hidden) in places.iter().rev() {
        if let HiddenBlock::Call(text) | HiddenBlock::Result(text) = hidden {
            document.insert(&block(n, *at), text.clone())?;
            answers.extend(answered(text));
        }
    }
    Ok(answers)
}

/// Restores the last turn of a message that the caller has changed: the calls before the call by
/// which it was found, and the results before the caller's.
fn insert_last_turn(
    document: &mut Document,
    n: i64,
    at: usize,
    hidden: &Hidden,
) -> Result<Vec<String>> {
    let mut answers = Vec::new();
    for hidden in hidden.last_turn().iter().rev() {
        match hidden {
            HiddenBlock::Shown(_) => {}
            HiddenBlock::Call(call) => document.insert(&block(n, at), call.clone())?,
            HiddenBlock::Result(result) => {
                document.insert(&block(n + 1, 0), result.clone())?;
                answers.extend(answered(result));
            }
        }
    }
    Ok(answers)
}

fn field(n: i64, key: &str) -> [Step<'_>; 3] {
    [Step::Key("messages"), Step::Index(n), Step::Key(key)]
}

fn block(n: i64, at: usize) -> [Step<'static>; 4] {
    [Step::Key("messages"), Step::Index(n), Step::Key("content"), Step::Index(at as i64)]
}

fn has_role(document: &mut Document, n: i64, role: &str) -> Result<bool> {
    let text = document.get(&field(n, "role"))?.unwrap_or_default();
    Ok(scan::is_string(&text, role))
}

fn takes_results(document: &mut Document, n: i64) -> Result<bool> {
    let is_user = has_role(document, n, "user")?;
    Ok(is_user && document.kind(&field(n, "content"))? == Some(Kind::Array))
}

/// Returns the id of the call that a result answers.
fn answered(result: &Bytes) -> Option<String> {
    content::Block::read(result)?.tool_use_id().map(Cow::into_owned)
}

//! `on_text` over the text blocks of a message that has them whole.
use crate::error::{Error, Result};
use crate::policy::script::{Decision, Script, ScriptCall};
use crate::policy::{Outcome, Verdict};
use crate::wire::{Document, Kind, Step};

/// Runs `on_text` over each text block of the message at `place`, in order, until the script denies one.
/// A `content` that is a string is one text.
pub(super) fn edit(
    script: &Script,
    call: &ScriptCall<'_>,
    document: Document,
    place: &[Step<'_>],
) -> Result<(Document, Outcome)> {
    let mut document = document;
    let mut outcome = Outcome::default();
    let content = below(place, &[Step::Key("content")]);
    let texts = match document.kind(&content)? {
        Some(Kind::String) => vec![content],
        Some(Kind::Array) => {
            let blocks = document.len(&content)?.unwrap_or_default();
            (0..blocks as i64).map(|n| below(&content, &[Step::Index(n)])).collect()
        }
        _ => Vec::new(),
    };
    for place in texts {
        let Some((place, text)) = text_at(&mut document, place)? else { continue };
        let (changed, decision, effects) = script.on_text(call, &text)?;
        outcome.wishes.extend(effects.wishes);
        if let Decision::Deny(error) = decision {
            outcome.verdict = Verdict::Deny(error);
            break;
        }
        if let Some(changed) = changed {
            document.set_value(&place, &changed)?;
        }
    }
    Ok((document, outcome))
}

/// Returns the text of the string or text block at `place`, with the text's own place.
pub(super) fn text_at<'a>(
    document: &mut Document,
    place: Vec<Step<'a>>,
) -> Result<Option<(Vec<Step<'a>>, String)>> {
    let place = match document.kind(&place)? {
        Some(Kind::String) => place,
        Some(Kind::Object) => {
            let kind = document.get(&below(&place, &[Step::Key("type")]))?.unwrap_or_default();
            if serde_json::from_slice::<String>(&kind).ok().as_deref() != Some("text") {
                return Ok(None);
            }
            below(&place, &[Step::Key("text")])
        }
        _ => return Ok(None),
    };
    if document.kind(&place)? != Some(Kind::String) {
        return Ok(None);
    }
    let text = document.get(&place)?.unwrap_or_default();
    let text = serde_json::from_slice(&text).map_err(|_| unreadable())?;
    Ok(Some((place, text)))
}

fn below<'a>(place: &[Step<'a>], steps: &[Step<'a>]) -> Vec<Step<'a>> {
    place.iter().chain(steps).copied().collect()
}

/// Returns the error for text that a script cannot be given: such text must not pass unchecked.
pub(super) fn unreadable() -> Error {
    let message =
        "a text of the answer has an invalid escape (no character), so `on_text` cannot read it";
    Error::invalid(message)
}

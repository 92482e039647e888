//! Runs `on_text` over a window, with a look at the text after it: a match may reach beyond the window.
//!
//! The text after the window is buffered. If the script makes the same of the window and of the rest as of
//! both together, then no match reaches from one into the other, and the window may be released.
use crate::error::Result;
use crate::policy::Wishes;
use crate::policy::script::{Decision, Script, ScriptCall};
use crate::policy::window::Window;

/// The result of `on_text` for a window.
#[expect(clippy::large_enum_variant, reason = "made for each window of a stream, and never kept")]
pub(super) enum Checked {
    /// A match may reach beyond the window: nothing is released.
    Held,
    /// The first `bytes` of the text are released.
    Released {
        bytes: usize,
        /// The replacement of this text, if it changes.
        changed: Option<String>,
        decision: Decision,
        wishes: Wishes,
    },
}

/// Runs `on_text` over the window of a text. Of all runs, only the one whose result is sent has side effects.
pub(super) fn show(
    script: &Script,
    call: &ScriptCall<'_>,
    text: &str,
    window: Window,
) -> Result<Checked> {
    let Window { release, seen, is_full } = window;
    let runs = Runs { script, call };
    if release == seen {
        return runs.released(&text[..release]);
    }
    let Some(whole_after) = runs.look(&text[..seen])? else {
        // the whole is denied, and all of it stays back
        return runs.released(&text[..seen]);
    };
    let (part, rest) = text[..seen].split_at(release);
    call.state.begin_part();
    let shown = runs.released(part)?;
    if runs.is_seamless(&shown, &Seam { part, rest, whole_after: &whole_after })? {
        call.state.keep_part();
        return Ok(shown);
    }
    call.state.undo_part();
    match is_full {
        true => runs.released(&text[..seen]),
        false => Ok(Checked::Held),
    }
}

/// A text in two parts, and the replacement of the whole.
struct Seam<'a> {
    part: &'a str,
    rest: &'a str,
    whole_after: &'a str,
}

/// The runs of one script for one request.
struct Runs<'a> {
    script: &'a Script,
    call: &'a ScriptCall<'a>,
}

impl Runs<'_> {
    /// Returns whether the script makes the same of both parts as of the whole.
    fn is_seamless(&self, shown: &Checked, seam: &Seam<'_>) -> Result<bool> {
        let Checked::Released { changed, decision, .. } = shown else { return Ok(false) };
        if !matches!(decision, Decision::Continue) {
            return Ok(true);
        }
        let part_after = changed.as_deref().unwrap_or(seam.part);
        let Some(rest_after) = seam.whole_after.strip_prefix(part_after) else { return Ok(false) };
        if part_after == seam.part && rest_after == seam.rest {
            return Ok(true);
        }
        Ok(self.look(seam.rest)?.is_none_or(|after| after == rest_after))
    }

    /// Returns the text that the script makes of a text, without side effects; `None` if it denies it.
    fn look(&self, text: &str) -> Result<Option<String>> {
        self.call.state.begin_part();
        let looked = self.script.on_text_ahead(self.call, text);
        self.call.state.undo_part();
        let (changed, decision, _) = looked?;
        let is_passed = matches!(decision, Decision::Continue);
        Ok(is_passed.then(|| changed.unwrap_or_else(|| text.to_owned())))
    }

    fn released(&self, text: &str) -> Result<Checked> {
        let (changed, decision, effects) = self.script.on_text(self.call, text)?;
        let (bytes, wishes) = (text.len(), effects.wishes);
        Ok(Checked::Released { bytes, changed, decision, wishes })
    }
}

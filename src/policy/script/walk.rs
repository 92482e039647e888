//! A walk over the texts of a place in the document, within the time of the script.
use crate::error::{Error, ErrorKind, Result};
use crate::policy::script::error::ScriptResult;
use crate::policy::script::place::Place;
use crate::policy::script::run::Run;
use crate::wire::content::places::Part;
use crate::wire::document::texts::{Found, Seen};

/// Calls `visit` for the texts of these parts below a place; `is_values` if every string in the JSON is a text.
/// The document is locked meanwhile: `visit` runs no function of the script.
pub(super) fn texts(
    place: &Place,
    parts: &[Part],
    mut visit: impl FnMut(Found<'_>, bool) -> Result<()>,
) -> ScriptResult<()> {
    let walked = place.with(None, |document, start| {
        document.texts(start, parts, |seen| {
            in_time()?;
            match seen {
                Seen::Object => Ok(()),
                Seen::Text(found) => visit(found, false),
                Seen::Values(found) => visit(found, true),
            }
        })
    });
    if walked.is_err() {
        // a walk that ran out of time is no fault of the script's
        Run::check_time()?;
    }
    walked
}

/// Fails if the script ran out of time. [`texts`] replaces this error, which has no meaning of its own.
pub(super) fn in_time() -> Result<()> {
    Run::check_time().map_err(|_| Error::new(ErrorKind::Api, "out of time"))
}

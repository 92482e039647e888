//! `Decision`: the checked result of a plugin's hook.
use bytes::Bytes;
use http::StatusCode;

use crate::error::{Error, ErrorKind};
use crate::plugin_host::bindings::{Action, Denial};
use crate::plugin_host::export::Export;
use crate::plugin_host::failure::{Cause, MAX_RESULT};
use crate::wire::Document;

/// The decision of a plugin. Its edits are in the document.
#[derive(Debug)]
pub enum Decision {
    /// The request continues.
    Next,
    /// The request goes to this model (alias) instead.
    Route(String),
    /// The gateway returns this message, a JSON object, to the caller.
    Respond(Bytes),
    /// The plugin denies the request. This is a decision, not a failure of the plugin.
    Deny(Box<Error>),
    /// The gateway tries the next target, for this reason. Valid before an attempt only.
    PassOver(String),
}

impl Decision {
    /// Fails if the action cannot be carried out. The plugin counts as broken then.
    pub(super) fn of(export: Export, action: Action) -> Result<Self, Cause> {
        match action {
            Action::Next => Ok(Self::Next),
            Action::Route(model) => Ok(Self::Route(model)),
            Action::Respond(message) => answer(message).map(Self::Respond),
            Action::Deny(denial) => refusal(denial).map(|error| Self::Deny(Box::new(error))),
            // only a hook before an attempt has a target to pass over
            Action::PassOver(why) if export == Export::OnUpstreamRequest => Ok(Self::PassOver(why)),
            Action::PassOver(_) => {
                Err(Cause::Nonsense(format!("it passes a target over in `{}`", export.as_str())))
            }
        }
    }
}

fn answer(message: String) -> Result<Bytes, Cause> {
    if message.len() > MAX_RESULT {
        return Err(Cause::Size(MAX_RESULT));
    }
    let document = Document::parse(message.into())
        .map_err(|e| Cause::Nonsense(format!("its answer: {}", e.message)))?;
    Ok(document.to_bytes())
}

fn refusal(denial: Denial) -> Result<Error, Cause> {
    let status = StatusCode::from_u16(denial.status)
        .ok()
        .filter(|status| status.is_client_error() || status.is_server_error())
        .ok_or_else(|| {
            Cause::Nonsense(format!("it denies with status {}: use 400 to 599", denial.status))
        })?;
    let mut error = Error::new(ErrorKind::of_status(status), denial.message);
    error.status = Some(status);
    Ok(error)
}

//! `on_error`: stages reword an error before the caller reads it.

use bytes::Bytes;
use serde_json::json;

use crate::error::Error;
use crate::policy::script::Done;
use crate::policy::stage::Settled;
use crate::policy::watch::{Decided, Ran};
use crate::policy::{Hook, Passage};
use crate::wire::{Document, Step};

impl Passage {
    /// Runs `on_error`: stages may change the message that the caller reads. A stage that fails here changes
    /// nothing, because the original error is more important.
    pub fn on_error(&self, error: Error) -> Error {
        if !self.pipeline.hooks.has(Hook::Error) {
            return error;
        }
        let facts = self.facts();
        let mut error = error;
        for stage in self.stages(Hook::Error) {
            let Some((script, call)) = stage.script(facts) else { continue };
            let before = document_of(&error);
            let work = || {
                let document = Document::parse(before.clone())?;
                let Done { document, effects, .. } = script.run(Hook::Error, &call, document)?;
                Ok((document.field("message").unwrap_or_default(), effects.wishes))
            };
            let settled = stage.guard_now(Hook::Error, facts, Some(()), work);
            let Ok(Settled::Done((text, wishes), took)) = settled else { continue };
            if let Ok(message) = serde_json::from_slice::<String>(&text)
                && message != message_for_caller(&error)
            {
                reword(&mut error, message);
                stage.note_values(Hook::Error, &self.ctx, || [before.clone(), document_of(&error)]);
            }
            if let Some(watch) = facts.watch {
                let after = document_of(&error);
                let (left, decision) = (after.clone(), Decided::GoOn);
                let ran =
                    Ran { time: took, before, left, after, decision, route: None, wishes: &wishes };
                watch.show_run(stage.name(), Hook::Error, ran);
            }
            self.keep(wishes);
        }
        error
    }
}

/// Returns the error as a JSON value for hooks.
pub(super) fn document_of(error: &Error) -> Bytes {
    let shown = json!({
        "status": error.status().as_u16(),
        "type": error.kind.as_str(),
        "message": message_for_caller(error),
    });
    shown.to_string().into()
}

/// Returns the message that the caller would read.
fn message_for_caller(error: &Error) -> String {
    #[derive(serde::Deserialize)]
    struct Inner {
        message: String,
    }
    #[derive(serde::Deserialize)]
    struct Envelope {
        error: Inner,
    }
    let answer = error.answer().map(|answer| answer.body());
    let envelope = answer.and_then(|body| serde_json::from_slice::<Envelope>(body).ok());
    envelope.map_or_else(|| error.message.clone(), |envelope| envelope.error.message)
}

/// Sets the message, also in the upstream's own body. Other bytes of that body stay unchanged.
fn reword(error: &mut Error, message: String) {
    if let Some(answer) = error.answer_mut() {
        let path = [Step::Key("error"), Step::Key("message")];
        let edited = Document::parse(answer.body().clone()).and_then(|mut body| {
            body.set_value(&path, &message)?;
            Ok(body.to_bytes())
        });
        if let Ok(body) = edited {
            *answer.body_mut() = body;
        }
    }
    error.message = message;
}

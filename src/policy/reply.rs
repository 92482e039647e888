//! The hooks over an answer: `on_text` and `on_response` over a whole message, `stream` over events.
use std::sync::Arc;

use bytes::Bytes;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::policy::blocks;
use crate::policy::stage::{Settled, Stage};
use crate::policy::{Hook, Outcome, Passage, Verdict, stream};
use crate::wire::{Document, Mark, Reply, ReplyBody};

/// A message before a stage.
struct Earlier {
    mark: Mark,
    /// The message; only in an exchange that is recorded.
    body: Option<Bytes>,
}

impl Earlier {
    fn of(document: &Document, ctx: &Context) -> Self {
        let body = ctx.story.recording().map(|_| document.to_bytes());
        Self { mark: document.mark(), body }
    }
}

impl Passage {
    /// Runs the hooks over texts, events and the message of an answer, before it is sent.
    pub async fn on_reply(self: &Arc<Self>, reply: Reply) -> Result<Reply> {
        let Reply { status, headers, body } = reply;
        let body = match body {
            ReplyBody::Full(message) => ReplyBody::Full(self.on_message(message).await?),
            ReplyBody::Events(events) => ReplyBody::Events(stream::through(self, events)),
        };
        Ok(Reply { status, headers, body })
    }

    /// Runs `on_text` and `on_response` over a message that has not been sent.
    async fn on_message(&self, message: Bytes) -> Result<Bytes> {
        if !self.pipeline.hooks.has_any(&[Hook::Text, Hook::Response]) {
            return Ok(message);
        }
        let mut document = Document::parse(message).map_err(|e| {
            Error::new(ErrorKind::BadUpstream, "the answer is not a JSON object").with_source(e)
        })?;
        for stage in self.stages(Hook::Text) {
            let spare = stage.spare(|| document.clone());
            let before = Earlier::of(&document, &self.ctx);
            let work = || match stage.script(self.facts()) {
                Some((script, call)) => blocks::edit(script, &call, document, &[]),
                None => Ok((document, Outcome::default())),
            };
            let settled = stage.guard_now(Hook::Text, self.facts(), spare, work)?;
            document = self.passed(stage, Hook::Text, before, settled)?;
        }
        for stage in self.stages(Hook::Response) {
            let spare = stage.spare(|| document.clone());
            let before = Earlier::of(&document, &self.ctx);
            let work = async {
                let (document, outcome) = stage.on_response(self.facts(), document).await?;
                stage.refuse_ends(Hook::Response, &outcome)?;
                Ok((document, outcome))
            };
            let settled = stage.guard(Hook::Response, self.facts(), spare, work).await?;
            document = self.passed(stage, Hook::Response, before, settled)?;
        }
        Ok(document.to_bytes())
    }

    /// Returns the message as a stage leaves it. Fails if the stage denies it.
    fn passed(
        &self,
        stage: &Stage,
        hook: Hook,
        before: Earlier,
        settled: Settled<(Document, Outcome), Document>,
    ) -> Result<Document> {
        let (message, outcome) = match settled {
            Settled::Done(done, _) => done,
            Settled::Skipped(message) => return Ok(message),
        };
        self.keep(outcome.wishes);
        if message.mark() != before.mark {
            stage.note_edit(hook, &self.ctx);
            if let Some(body) = before.body {
                stage.note_values(hook, &self.ctx, || [body, message.to_bytes()]);
            }
        }
        match outcome.verdict {
            Verdict::Deny(error) => {
                stage.note_denial(hook, &self.ctx);
                Err(*error)
            }
            Verdict::Continue | Verdict::Respond(_) => Ok(message),
        }
    }
}

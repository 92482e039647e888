//! `Tracker`: follows the prompt of one exchange from the client to the upstream.
use std::hash::BuildHasher;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use bytes::Bytes;
use foldhash::quality::RandomState;
use http::HeaderValue;

use crate::telemetry::continuity::{Answered, Cached};
use crate::telemetry::prompts::{Compared, Edit, Level, Prompts, Sent};
use crate::wire::prompt::{self, Fields, Prompt};
use crate::wire::{Document, MessagesRequest};

/// The seed of this process.
static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// A prompt on its way. Without a breakpoint it is not read.
#[derive(Debug)]
pub(crate) struct Tracker {
    prompts: Arc<Prompts>,
    session: u64,
    model: u64,
    client: Client,
    /// The edits by `on_request`, then those of the attempt by `on_upstream_request`.
    edits: Vec<Edit>,
    /// The number of edits by `on_request`; `None` before the first attempt.
    shared: Option<usize>,
    /// The prompt that was read last. Its bytes are kept, so no other text has their address.
    last: Option<(Fields, Arc<Prompt>)>,
    /// The prompt of the attempt, if it has a breakpoint.
    sent: Option<Arc<Prompt>>,
}

/// The prompt as the client sent it.
#[derive(Debug)]
enum Client {
    /// The whole request, without a breakpoint. It is read only if the gateway or a stage adds one.
    Plain(Bytes),
    /// The fields of a request that may have a breakpoint.
    Unread(Fields),
    Read(Level),
}

impl Tracker {
    /// Follows a request as the client sent it. `session` is the client's own name, which several keys may use.
    pub(crate) fn new(
        prompts: &Arc<Prompts>,
        key: &str,
        session: &str,
        request: &MessagesRequest,
    ) -> Self {
        let document = request.document();
        let text = document.to_bytes();
        let client = match prompt::may_be_cached(&text) {
            true => Client::Unread(Fields::of(document)),
            false => Client::Plain(text),
        };
        Self {
            prompts: Arc::clone(prompts),
            session: HASHES.hash_one((key, session)),
            model: HASHES.hash_one(request.model()),
            client,
            edits: Vec::new(),
            shared: None,
            last: None,
            sent: None,
        }
    }

    /// Notes that `on_request` of a stage edited the request.
    pub(crate) fn edited(&mut self, stage: &Arc<str>, request: &MessagesRequest) {
        self.note(stage, request, Some(HASHES.hash_one(request.model())));
    }

    /// Notes that `on_upstream_request` of a stage edited the request, which names the upstream's model by now.
    pub(crate) fn edited_for_attempt(&mut self, stage: &Arc<str>, request: &MessagesRequest) {
        self.note(stage, request, None);
    }

    fn note(&mut self, stage: &Arc<str>, request: &MessagesRequest, model: Option<u64>) {
        let Some(fields) = self.followed(request.document()) else { return };
        let before = match self.edits.last() {
            Some(edit) => edit.level.clone(),
            None => self.client(),
        };
        let level = Level { model: model.unwrap_or(before.model), prompt: self.read(fields) };
        if level.model != before.model || level.prompt != before.prompt {
            self.edits.push(Edit { stage: Arc::clone(stage), level });
        }
    }

    /// Begins an attempt: the edits of the one before it are gone.
    pub(crate) fn begin_attempt(&mut self) {
        let shared = *self.shared.get_or_insert(self.edits.len());
        self.edits.truncate(shared);
        self.sent = None;
    }

    /// Notes the request of an attempt as its target receives it.
    pub(crate) fn sends(&mut self, request: &MessagesRequest) {
        let Some(fields) = self.followed(request.document()) else { return };
        self.client();
        let prompt = self.read(fields);
        self.sent = prompt.is_cached().then_some(prompt);
    }

    /// Compares the prompt of the attempt, which its target answered; `None` if it has no breakpoint. Keeps no text.
    pub(super) fn answered(
        &mut self,
        target: &HeaderValue,
        rerouted: Option<&str>,
    ) -> Option<Answered> {
        let prompt = self.sent.take()?;
        let client = self.client();
        self.last = None;
        let sent = Sent {
            client,
            edits: self.edits.clone(),
            prompt,
            target: HASHES.hash_one(target.as_bytes()),
            rerouted: rerouted.map(|alias| HASHES.hash_one(alias)),
        };
        let own = Cached::default();
        let Compared { verdict, before } =
            self.prompts.answered(self.session, sent, &own, Instant::now());
        Some(Answered { verdict, before, own })
    }

    /// Returns the fields of a request if it may have a breakpoint. An edited field is a copy, so it is made only then.
    fn followed(&self, document: &Document) -> Option<Fields> {
        if let Client::Plain(text) = &self.client {
            let pieces = document.to_pieces();
            // the client's own bytes have none
            let mut new = pieces.as_slice().iter().filter(|piece| !lies_in(piece, text));
            if !new.any(|piece| prompt::may_be_cached(piece)) {
                return None;
            }
        }
        Some(Fields::of(document)).filter(Fields::may_be_cached)
    }

    fn client(&mut self) -> Level {
        let prompt = match &self.client {
            Client::Read(level) => return level.clone(),
            Client::Unread(fields) => self.read(fields.clone()),
            Client::Plain(text) => match Document::parse(text.clone()) {
                Ok(document) => self.read(Fields::of(&document)),
                Err(_) => Arc::default(),
            },
        };
        let level = Level { model: self.model, prompt };
        self.client = Client::Read(level.clone());
        level
    }

    /// Reads a prompt; the one that was read last is not read again.
    fn read(&mut self, fields: Fields) -> Arc<Prompt> {
        if let Some((known, prompt)) = &self.last
            && known.is(&fields)
        {
            return Arc::clone(prompt);
        }
        let prompt = Arc::new(Prompt::read(&fields));
        // an edit may leave a prompt as it is
        let prompt = match &self.last {
            Some((_, known)) if *known == prompt => Arc::clone(known),
            _ => prompt,
        };
        self.last = Some((fields, Arc::clone(&prompt)));
        prompt
    }
}

/// Returns whether these bytes belong to a text in memory.
fn lies_in(part: &Bytes, text: &Bytes) -> bool {
    let (part, whole) = (part.as_ptr_range(), text.as_ptr_range());
    whole.start <= part.start && part.end <= whole.end
}

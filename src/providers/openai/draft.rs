//! `Draft`: one encoding of a request, as far as Chat Completions and Responses agree. The files beside this
//! one add its steps; each of the two APIs then writes its own body.
use std::borrow::Cow;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::net::egress::collector::Fetched;
use crate::providers::dropped::Dropped;
use crate::providers::openai::profile::{CacheForm, JsonForm, Media, Profile};
use crate::providers::translate::conversation::Conversation;
use crate::providers::translate::encoded::Encoded;
use crate::providers::translate::envelope::Seal;
use crate::providers::translate::facts::ModelFacts;
use crate::providers::translate::names::{NameRule, Names};

/// The facts for an encoding beside the request.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) profile: &'a Profile,
    pub(super) facts: &'a ModelFacts,
    pub(super) seal: &'a Seal,
    pub(super) fetched: &'a Fetched,
}

/// The rules that differ between the two APIs of one server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// The largest length of a tool's name.
    pub(super) longest_name: usize,
    /// The PDF documents that are understood.
    pub(super) pdf: Media,
    /// The form of cache breakpoints.
    pub(super) cache: CacheForm,
    /// The structured outputs that are understood.
    pub(super) json: JsonForm,
}

/// The state of one encoding.
pub(super) struct Draft<'a> {
    pub(super) conversation: &'a Conversation<'a>,
    pub(super) profile: &'a Profile,
    pub(super) facts: &'a ModelFacts,
    pub(super) seal: &'a Seal,
    pub(super) model: &'a str,
    pub(super) rules: Rules,
    /// Whether a part has a cache breakpoint.
    pub(super) has_breakpoints: bool,
    names: Names,
    pub(super) fetched: &'a Fetched,
    /// The URLs whose content is not there yet.
    pub(super) missing: Vec<String>,
    dropped: Vec<Dropped>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(conversation: &'a Conversation<'a>, terms: Terms<'a>, rules: Rules) -> Self {
        Self {
            conversation,
            profile: terms.profile,
            facts: terms.facts,
            seal: terms.seal,
            model: &conversation.model,
            rules,
            has_breakpoints: false,
            names: Names::default(),
            fetched: terms.fetched,
            missing: Vec::new(),
            dropped: Vec::new(),
        }
    }

    pub(super) fn drop_content(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        pointer: impl Into<String>,
        reason: &'static str,
    ) {
        self.dropped.push(Dropped::content(name, pointer, reason));
    }

    pub(super) fn drop_hint(&mut self, name: &'static str, pointer: &str) {
        if !self.dropped.iter().any(|one| one.name == name) {
            self.dropped.push(Dropped::hint(name, pointer, "the server has no such hint"));
        }
    }

    /// Returns the server's form of a tool's name.
    pub(super) fn name(&mut self, name: &'a str) -> Cow<'a, str> {
        let allows = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        self.names.forth(name, NameRule { longest: self.rules.longest_name, allows })
    }

    /// Reports a block whose URL, at this pointer, has no content for the server.
    pub(super) fn drop_unfetched(&mut self, name: String, pointer: String, reason: &str) {
        self.dropped.push(Dropped::fetch(name, pointer, reason.to_owned()));
    }

    /// Reports a last message of the assistant, which the server does not continue.
    pub(super) fn report_prefill(&mut self) {
        let place = format!("/messages/{}", self.conversation.messages.len() - 1);
        self.drop_content("prefill", place, "the server does not continue an answer");
    }

    /// Writes the body, and returns it with the facts for the answer.
    pub(super) fn finish(mut self, body: &impl Serialize, stops: Vec<String>) -> Result<Encoded> {
        self.dropped.extend(self.conversation.without_counterpart());
        let written = serde_json::to_vec(body).map_err(|e| {
            Error::new(ErrorKind::Api, "the request cannot be written for the upstream")
                .with_source(e)
        })?;
        Ok(Encoded {
            body: written.into(),
            dropped: self.dropped,
            missing: self.missing,
            names: self.names,
            stops,
            prefill: None,
        })
    }
}

/// Returns the error of a request without content for this server.
pub(super) fn no_content() -> Error {
    Error::invalid("`messages` has no content that this upstream can receive")
}

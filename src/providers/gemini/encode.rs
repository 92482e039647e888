//! A Messages request as a `generateContent` request. Pure: what cannot be carried is listed.
use std::borrow::Cow;

use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::body::{Body, GenerationConfig, Instruction, Json, Labels, Part};
use super::config::{Backend, SafetySetting};
use super::families::{self, Family};
use crate::error::{Error, ErrorKind, Result};
use crate::net::egress::collector::Fetched;
use crate::providers::dropped::Dropped;
use crate::providers::translate::conversation::Conversation;
use crate::providers::translate::encoded::Encoded;
use crate::providers::translate::envelope::Seal;
use crate::providers::translate::facts::{ModelFacts, Sampling};
use crate::providers::translate::names::Names;
use crate::providers::translate::texts;

/// The largest number of stop sequences.
const MAX_STOPS: usize = 5;
/// The length of a hash in a label: labels have up to 63 characters.
const LABEL: usize = 32;

/// The facts for an encoding beside the request.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) backend: Backend,
    pub(crate) family: Family,
    pub(crate) facts: &'a ModelFacts,
    /// The seal of the reasoning; without one, all signatures count as absent.
    pub(crate) seal: Option<&'a Seal>,
    pub(crate) fetched: &'a Fetched,
    pub(crate) safety: &'a [SafetySetting],
}

/// The state of one encoding.
pub(super) struct Encoder<'a> {
    pub(super) conversation: &'a Conversation<'a>,
    pub(super) terms: Terms<'a>,
    pub(super) names: Names,
    /// The URLs whose content is not there yet.
    pub(super) missing: Vec<String>,
    dropped: Vec<Dropped>,
}

/// Encodes a request.
///
/// Fails if the request has no message that can be sent.
pub(crate) fn encode<'a>(conversation: &'a Conversation<'a>, terms: Terms<'a>) -> Result<Encoded> {
    let mut encoder = Encoder::new(conversation, terms);
    let mut body = encoder.prompt()?;
    let mut config = GenerationConfig::default();
    encoder.limits(&mut config);
    let stops = encoder.stops(&mut config);
    encoder.sampling(&mut config);
    encoder.format(&mut config, !body.tools.is_empty());
    config.thinking_config = encoder.thinking();
    body.generation_config = (config != GenerationConfig::default()).then_some(config);
    body.safety_settings = terms.safety;
    encoder.identity(&mut body);
    let others = conversation.without_counterpart();
    encoder.dropped.extend(others);
    let written = written(&body)?;
    Ok(Encoded {
        body: written.into(),
        dropped: encoder.dropped,
        missing: encoder.missing,
        names: encoder.names,
        stops,
        prefill: None,
    })
}

/// Returns a body as JSON.
pub(super) fn written(body: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(body).map_err(|e| {
        Error::new(ErrorKind::Api, "the request cannot be written for the upstream").with_source(e)
    })
}

impl<'a> Encoder<'a> {
    pub(super) fn new(conversation: &'a Conversation<'a>, terms: Terms<'a>) -> Self {
        let (missing, dropped) = (Vec::new(), Vec::new());
        Self { conversation, terms, names: Names::default(), missing, dropped }
    }

    pub(super) fn drop_content(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        pointer: impl Into<String>,
        reason: &'static str,
    ) {
        self.dropped.push(Dropped::content(name, pointer, reason));
    }

    /// Notes a block whose URL, at this pointer, has no content for the upstream.
    pub(super) fn drop_unfetched(&mut self, name: String, pointer: String, reason: &str) {
        self.dropped.push(Dropped::fetch(name, pointer, reason.to_owned()));
    }

    /// Notes the loss of a hint, once for all of its places.
    pub(super) fn drop_hint(&mut self, name: &'static str, pointer: &str, reason: &'static str) {
        if !self.dropped.iter().any(|one| one.name == name) {
            self.dropped.push(Dropped::hint(name, pointer, reason));
        }
    }

    pub(super) fn into_dropped(self) -> Vec<Dropped> {
        self.dropped
    }

    /// Returns the part of the body that the model reads.
    ///
    /// Fails if no message can be sent.
    pub(super) fn prompt(&mut self) -> Result<Body<'a>> {
        let contents = self.contents();
        if contents.is_empty() {
            return Err(Error::invalid("`messages` has no content that this upstream can receive"));
        }
        let mut body = Body { contents, ..Body::default() };
        body.system_instruction = self.system();
        self.tools(&mut body);
        Ok(body)
    }

    fn system(&mut self) -> Option<Instruction<'a>> {
        let mut parts = Vec::new();
        for (text, block) in texts::system(&self.conversation.system) {
            self.note_cache(block.cache_control, "/system");
            parts.push(Part::text(text));
        }
        (!parts.is_empty()).then_some(Instruction { parts })
    }

    /// Notes a cache breakpoint: the upstream caches by itself.
    pub(super) fn note_cache(&mut self, control: Option<&RawValue>, place: &str) {
        if control.is_some_and(|control| control.get() != "null") {
            self.drop_hint("cache_control", place, "the upstream caches by itself");
        }
    }

    fn limits(&mut self, config: &mut GenerationConfig<'a>) {
        let Some(mut max) = self.conversation.max_tokens() else { return };
        if let Some(most) = self.terms.facts.max_output.filter(|most| *most < max) {
            self.drop_content("max_tokens", "/max_tokens", "it is over the model's limit");
            max = most;
        }
        config.max_output_tokens = Some(max);
    }

    /// Returns the stop sequences that the gateway has to apply.
    fn stops(&mut self, config: &mut GenerationConfig<'a>) -> Vec<String> {
        let Some(stops) = &self.conversation.stop_sequences else { return Vec::new() };
        let is_refused = self.terms.facts.refuses_stop
            || stops.len() > MAX_STOPS
            || stops.iter().any(|stop| stop.is_empty());
        match (stops.is_empty(), is_refused) {
            (true, _) => Vec::new(),
            (false, true) => stops.iter().map(|stop| stop.to_string()).collect(),
            (false, false) => {
                config.stop_sequences = Some(stops.iter().map(|stop| &**stop).collect());
                Vec::new()
            }
        }
    }

    fn sampling(&mut self, config: &mut GenerationConfig<'a>) {
        let is_taken = self.terms.family.sampling == families::Sampling::Taken
            && self.terms.facts.sampling != Sampling::Never;
        let conversation = self.conversation;
        let parameters = [
            ("temperature", conversation.temperature),
            ("top_p", conversation.top_p),
            ("top_k", conversation.top_k),
        ];
        for (name, value) in parameters {
            let Some(value) = value.filter(|value| value.get() != "null") else { continue };
            let json = Some(Json::of(value));
            match (is_taken, name) {
                // the default of the Messages API asks for nothing
                (false, "temperature") if matches!(value.get(), "1" | "1.0") => {}
                (false, _) => {
                    let reason = "the model takes no sampling parameters";
                    self.drop_content(name, format!("/{name}"), reason);
                }
                (true, "temperature") => config.temperature = json,
                (true, "top_p") => config.top_p = json,
                (true, _) => config.top_k = json,
            }
        }
    }

    fn format(&mut self, config: &mut GenerationConfig<'a>, has_tools: bool) {
        let Some(format) = self.conversation.format() else { return };
        let Some(schema) = format.schema.filter(|_| format.kind == "json_schema") else { return };
        if has_tools && !self.terms.family.takes_schema_beside_tools() {
            let reason = "the model takes no schema of the output beside tools";
            self.drop_content("output_config.format", "/output_config/format", reason);
            return;
        }
        config.response_mime_type = Some("application/json");
        config.response_json_schema = Some(Json::of(schema));
    }

    fn identity(&mut self, body: &mut Body<'a>) {
        let metadata = self.conversation.metadata.as_ref();
        let user = metadata.and_then(|metadata| metadata.user_id.as_deref());
        if let Some(user) = user.filter(|user| !user.is_empty()) {
            match self.terms.backend {
                Backend::Studio => {
                    let reason = "the upstream has no field for the user";
                    self.drop_hint("metadata.user_id", "/metadata/user_id", reason);
                }
                // the value may name a person, and labels are on the bill
                Backend::Vertex => {
                    let mut hash = hex::encode(Sha256::digest(user.as_bytes()));
                    hash.truncate(LABEL);
                    body.labels = Some(Labels { user: hash });
                }
            }
        }
        let Some(tier) = self.conversation.service_tier.as_deref() else { return };
        match (tier, self.terms.backend) {
            ("auto", _) => {}
            ("standard_only", Backend::Studio) => body.service_tier = Some("standard"),
            // without a header for another tier, Vertex AI uses the standard one
            ("standard_only", Backend::Vertex) => {}
            _ => {
                let reason = "the upstream has no such tier";
                self.drop_content("service_tier", "/service_tier", reason);
            }
        }
    }
}

#[cfg(test)]
mod tests;

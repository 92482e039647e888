//! The single parameters of a request, as far as both APIs agree: limits, sampling, the user, and the format of
//! the output.
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::providers::openai::draft::Draft;
use crate::providers::openai::profile::{JsonForm, UserField};
use crate::providers::translate::facts::Sampling;
use crate::providers::translate::schemas;

/// The sampling parameters that the model takes.
#[derive(Debug, Default)]
pub(super) struct Sampled<'a> {
    pub(super) temperature: Option<&'a RawValue>,
    pub(super) top_p: Option<&'a RawValue>,
    pub(super) top_k: Option<&'a RawValue>,
}

/// The form of the output.
#[derive(Debug)]
pub(super) enum OutputForm<'a> {
    /// Any JSON object.
    Object,
    Schema {
        schema: &'a RawValue,
        is_strict: bool,
    },
}

/// The members that say for whom and how a request is served.
#[derive(Debug, Default, Serialize)]
pub(super) struct Identity {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safety_identifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_options: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<String>,
}

impl<'a> Draft<'a> {
    /// Returns the user, the tier of the service and the options of the cache.
    pub(super) fn identity(&mut self) -> Identity {
        let mut identity = Identity { service_tier: self.service_tier(), ..Identity::default() };
        if let Some(name) = self.user_name() {
            match self.profile.user {
                UserField::None => self.drop_hint("metadata.user_id", "/metadata/user_id"),
                UserField::User => identity.user = Some(name),
                UserField::SafetyIdentifier => {
                    identity.prompt_cache_key = Some(name.clone());
                    identity.safety_identifier = Some(name);
                }
            }
        }
        if self.has_breakpoints {
            identity.prompt_cache_options = Some(json!({"mode": "explicit"}));
        }
        identity
    }

    /// Returns the limit of output tokens, which is not over the model's.
    pub(super) fn max_tokens(&mut self) -> Option<u64> {
        let max = self.conversation.max_tokens()?;
        let Some(most) = self.facts.max_output.filter(|most| *most < max) else { return Some(max) };
        self.drop_content("max_tokens", "/max_tokens", "it is over the model's limit");
        Some(most)
    }

    /// Returns the stop sequences.
    pub(super) fn stops(&self) -> Vec<&'a str> {
        self.conversation.stop_sequences.iter().flatten().map(|stop| &**stop).collect()
    }

    /// Returns the sampling parameters. `effort` is the one that the model receives.
    pub(super) fn sampling(&mut self, effort: Option<&str>) -> Sampled<'a> {
        let is_taken = match self.facts.sampling {
            Sampling::Any => true,
            Sampling::WithoutReasoning => effort == Some("none"),
            Sampling::Never => false,
        };
        let conversation = self.conversation;
        let present = |raw: Option<&'a RawValue>| raw.filter(|raw| raw.get() != "null");
        let mut sampled = Sampled {
            temperature: present(conversation.temperature),
            top_p: present(conversation.top_p),
            top_k: present(conversation.top_k),
        };
        let reason = "the model takes no sampling parameters while it reasons";
        if !is_taken {
            let temperature = sampled.temperature.take();
            // every model's default needs no mention
            if temperature.is_some_and(|value| !matches!(value.get(), "1" | "1.0")) {
                self.drop_content("temperature", "/temperature", reason);
            }
            if sampled.top_p.take().is_some() {
                self.drop_content("top_p", "/top_p", reason);
            }
        }
        if !(self.profile.top_k && is_taken) && sampled.top_k.take().is_some() {
            self.drop_content("top_k", "/top_k", "the server has no such parameter");
        }
        sampled
    }

    /// Returns a stable name of the user, in which no person can be read; servers limit its length.
    fn user_name(&self) -> Option<String> {
        let user = self.conversation.metadata.as_ref()?.user_id.as_deref()?;
        (!user.is_empty()).then(|| hex::encode(Sha256::digest(user.as_bytes())))
    }

    /// Returns the server's word for the service tier.
    fn service_tier(&mut self) -> Option<String> {
        let tier = self.conversation.service_tier.as_deref()?;
        let own = self.profile.service_tiers.get(tier).cloned();
        if own.is_none() && tier != "auto" {
            self.drop_content("service_tier", "/service_tier", "the server has no such tier");
        }
        own
    }

    /// Returns the form of the output; `None` for any text.
    pub(super) fn output_form(&mut self) -> Option<OutputForm<'a>> {
        let format = self.conversation.format()?;
        let schema = format.schema.filter(|_| format.kind == "json_schema")?;
        let form = match self.rules.json {
            JsonForm::Schema => {
                let is_strict = schemas::is_strict(schema.get());
                return Some(OutputForm::Schema { schema, is_strict });
            }
            JsonForm::Object => Some(OutputForm::Object),
            JsonForm::None => None,
        };
        let place = "/output_config/format";
        self.drop_content("output_config.format", place, "the server does not check a schema");
        form
    }

    /// Returns the instruction for servers that only know "a JSON object".
    pub(super) fn json_hint(&self) -> Option<String> {
        let format = self.conversation.format()?;
        let schema = format.schema.filter(|_| self.rules.json == JsonForm::Object)?;
        let lead = "Answer with one JSON object that conforms to this JSON Schema:";
        Some(format!("{lead}\n{}", schema.get()))
    }
}

//! A Messages request as a Chat Completions request. Pure: what cannot be carried is listed.
use std::borrow::Cow;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::body::{Body, Declared, Json, MediaUrl, NamedSchema, ResponseFormat, Tool};
use super::messages;
use crate::error::{Error, ErrorKind, Result};
use crate::providers::dropped::Dropped;
use crate::providers::openai::profile::{
    JsonForm, MaxTokens, Profile, Switch, ToolChoices, UserField,
};
use crate::providers::translate::client_tools;
use crate::providers::translate::conversation::{self as asked, Conversation};
use crate::providers::translate::effort::{self, Wish};
use crate::providers::translate::encoded::{Encoded, Fetched};
use crate::providers::translate::envelope::Seal;
use crate::providers::translate::facts::{ChatTools, ModelFacts, Sampling};
use crate::providers::translate::names::{NameRule, Names};
use crate::providers::translate::schemas;

/// The names of tools that the API takes.
pub(super) const NAMES: NameRule =
    NameRule { longest: 64, allows: |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-') };

/// The facts for an encoding beside the request.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) profile: &'a Profile,
    pub(crate) facts: &'a ModelFacts,
    pub(crate) seal: &'a Seal,
    pub(crate) fetched: &'a Fetched,
}

/// The state of one encoding.
pub(super) struct Encoder<'a> {
    pub(super) conversation: &'a Conversation<'a>,
    pub(super) profile: &'a Profile,
    pub(super) facts: &'a ModelFacts,
    pub(super) seal: &'a Seal,
    pub(super) model: &'a str,
    pub(super) names: Names,
    pub(super) has_breakpoints: bool,
    pub(super) continues: bool,
    pub(super) prefill: Option<String>,
    fetched: &'a Fetched,
    dropped: Vec<Dropped>,
}

/// Encodes a request.
///
/// Fails if the request has no message that can be sent.
pub(crate) fn encode<'a>(conversation: &'a Conversation<'a>, terms: Terms<'a>) -> Result<Encoded> {
    let mut encoder = Encoder {
        conversation,
        profile: terms.profile,
        facts: terms.facts,
        seal: terms.seal,
        model: &conversation.model,
        names: Names::default(),
        has_breakpoints: false,
        continues: false,
        prefill: None,
        fetched: terms.fetched,
        dropped: Vec::new(),
    };
    let mut body = Body { model: encoder.model, ..Body::default() };
    body.messages = messages::messages(&mut encoder);
    if body.messages.is_empty() {
        return Err(Error::invalid("`messages` has no content that this upstream can receive"));
    }
    encoder.limits(&mut body);
    let stops = encoder.stops(&mut body);
    encoder.tools(&mut body);
    encoder.reasoning(&mut body);
    encoder.sampling(&mut body);
    encoder.format(&mut body);
    encoder.identity(&mut body);
    encoder.stream(&mut body);
    encoder.others();
    let written = serde_json::to_vec(&body).map_err(|e| {
        Error::new(ErrorKind::Api, "the request cannot be written for the upstream").with_source(e)
    })?;
    Ok(Encoded {
        body: written.into(),
        dropped: encoder.dropped,
        names: encoder.names,
        stops,
        prefill: encoder.prefill,
    })
}

impl<'a> Encoder<'a> {
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

    /// Returns the media of an address that the gateway fetched.
    pub(super) fn fetched(&self, url: &str) -> Option<MediaUrl<'a>> {
        let (media_type, data) = self.fetched.get(url)?;
        Some(MediaUrl::Data { media_type: media_type.into(), data: data.into() })
    }

    fn limits(&mut self, body: &mut Body<'a>) {
        let Some(mut max) = self.conversation.max_tokens() else { return };
        if let Some(most) = self.facts.max_output.filter(|most| *most < max) {
            self.drop_content("max_tokens", "/max_tokens", "it is over the model's limit");
            max = most;
        }
        match self.profile.max_tokens {
            MaxTokens::MaxTokens => body.max_tokens = Some(max),
            MaxTokens::MaxCompletionTokens => body.max_completion_tokens = Some(max),
        }
    }

    /// Returns the stop sequences that the gateway has to apply.
    fn stops(&mut self, body: &mut Body<'a>) -> Vec<String> {
        let Some(stops) = &self.conversation.stop_sequences else { return Vec::new() };
        let is_refused = self.facts.refuses_stop || stops.len() > self.profile.max_stops;
        match (stops.is_empty(), is_refused) {
            (true, _) => Vec::new(),
            (false, true) => stops.iter().map(|stop| stop.to_string()).collect(),
            (false, false) => {
                body.stop = Some(stops.iter().map(|stop| &**stop).collect());
                Vec::new()
            }
        }
    }

    fn tools(&mut self, body: &mut Body<'a>) {
        for (n, tool) in self.conversation.tools.iter().flatten().enumerate() {
            let place = format!("/tools/{n}");
            match self.tool(tool, &place) {
                Some(tool) => body.tools.push(tool),
                None => {
                    let kind = tool.kind.as_deref().unwrap_or_default();
                    let name = format!("tool:{kind}");
                    self.drop_content(name, place, "the server has no such tool");
                }
            }
        }
        if body.tools.len() > self.profile.max_tools {
            body.tools.truncate(self.profile.max_tools);
            self.drop_content("tools", "/tools", "there are more tools than the server takes");
        }
        if let Some(choice) = self.conversation.tool_choice.as_ref()
            && !body.tools.is_empty()
        {
            self.tool_choice(choice, body);
        }
    }

    fn tool(&mut self, tool: &'a asked::Tool<'a>, place: &str) -> Option<Tool<'a>> {
        let is_custom = tool.kind.as_deref().is_none_or(|kind| kind == "custom");
        let (description, parameters) = match client_tools::describe(tool) {
            Some(own) => (Some(own.description.into()), own.schema.into()),
            None if is_custom => {
                let description = tool.description.as_deref().map(Cow::Borrowed);
                (description, schemas::of_object(tool.input_schema))
            }
            None => return None,
        };
        let strict = match tool.strict {
            Some(true) if schemas::is_strict(&parameters) => Some(true),
            Some(true) => {
                let reason = "the schema does not meet the server's rules for strict tools";
                self.drop_content("tools.strict", format!("{place}/strict"), reason);
                None
            }
            _ => None,
        };
        if tool.cache_control.is_some_and(|control| control.get() != "null") {
            self.drop_hint("cache_control", place);
        }
        let name = self.names.forth(&tool.name, NAMES);
        let function = Declared { name, description, parameters: Json(parameters), strict };
        Some(Tool { kind: "function", function })
    }

    fn tool_choice(&mut self, choice: &'a asked::ToolChoice<'a>, body: &mut Body<'a>) {
        if choice.disable_parallel_tool_use == Some(true) && choice.kind != "none" {
            match self.profile.parallel_tool_calls {
                true => body.parallel_tool_calls = Some(false),
                false => self.drop_content(
                    "disable_parallel_tool_use",
                    "/tool_choice/disable_parallel_tool_use",
                    "the server has no such switch",
                ),
            }
        }
        let is_forced = matches!(&*choice.kind, "any" | "tool");
        let thinks = !matches!(Wish::of(self.conversation), Wish::Off | Wish::Default);
        let is_refused = is_forced && thinks && !self.profile.tool_choice_with_thinking;
        if is_refused || (self.profile.tool_choice == ToolChoices::None && choice.kind != "auto") {
            self.drop_content("tool_choice", "/tool_choice", "the server cannot be forced");
            return;
        }
        if self.profile.tool_choice == ToolChoices::None {
            return;
        }
        let name = choice.name.as_deref().unwrap_or_default();
        let name = self.names.forth(name, NAMES).into_owned();
        body.tool_choice = match &*choice.kind {
            "any" => Some(self.profile.any_tool.as_str().into()),
            "none" => Some("none".into()),
            "tool" if self.profile.tool_choice == ToolChoices::OnlyRequired => {
                body.tools.retain(|tool| tool.function.name == name);
                Some(self.profile.any_tool.as_str().into())
            }
            "tool" => Some(json!({"type": "function", "function": {"name": name}})),
            _ => Some("auto".into()),
        };
    }

    /// Returns the accepted values of the effort.
    fn efforts(&self) -> &'a [String] {
        self.facts.efforts.as_deref().unwrap_or(&self.profile.efforts)
    }

    fn reasoning(&mut self, body: &mut Body<'a>) {
        let mut wish = Wish::of(self.conversation);
        if self.facts.chat_tools == ChatTools::WithoutReasoning && !body.tools.is_empty() {
            if !matches!(wish, Wish::Default | Wish::Off) {
                let reason = "the model takes tools on Chat Completions without reasoning only";
                self.drop_content("thinking", "/thinking", reason);
            }
            wish = Wish::Off;
        }
        let Some(wanted) = wish.level() else { return };
        let level = effort::nearest(wanted, self.efforts()).map(str::to_owned);
        let is_off = wish == Wish::Off;
        match self.profile.reasoning {
            Switch::None => self.cannot_switch(),
            Switch::Effort => {
                body.reasoning_effort = self.effort(is_off, level);
            }
            Switch::Openrouter => {
                body.reasoning = Some(match wish {
                    Wish::Off => json!({"enabled": false}),
                    Wish::Budget(budget) => json!({"max_tokens": budget}),
                    _ => json!({"effort": level.as_deref().unwrap_or(wanted)}),
                })
            }
            Switch::ThinkingType => {
                let kind = if is_off { "disabled" } else { "enabled" };
                body.thinking = Some(json!({"type": kind}));
                if self.profile.effort_too && !is_off {
                    body.reasoning_effort = level;
                }
            }
            Switch::EnableThinking => {
                body.enable_thinking = Some(!is_off);
                if let Wish::Budget(budget) = wish {
                    body.thinking_budget = Some(budget);
                }
            }
            Switch::Template => {
                body.chat_template_kwargs = Some(json!({"enable_thinking": !is_off}));
                if self.profile.effort_too && !is_off {
                    body.reasoning_effort = level;
                }
            }
        }
    }

    /// Returns the value of `reasoning_effort`.
    fn effort(&mut self, is_off: bool, level: Option<String>) -> Option<String> {
        if level.is_none() {
            self.cannot_switch();
        }
        if is_off && level.as_deref().is_some_and(|level| level != "none") {
            let reason = "the model always reasons";
            self.drop_content("thinking", "/thinking", reason);
        }
        level
    }

    fn cannot_switch(&mut self) {
        let (name, place) = match self.conversation.thinking {
            Some(_) => ("thinking", "/thinking"),
            None => ("output_config.effort", "/output_config/effort"),
        };
        self.drop_content(name, place, "the server has no switch for reasoning");
    }

    fn sampling(&mut self, body: &mut Body<'a>) {
        let reasons = match &body.reasoning_effort {
            Some(effort) => effort != "none",
            None => true,
        };
        let is_taken = match self.facts.sampling {
            Sampling::Any => true,
            Sampling::WithoutReasoning => !reasons,
            Sampling::Never => false,
        };
        let conversation = self.conversation;
        let present = |raw: Option<&'a _>| {
            raw.filter(|raw: &&serde_json::value::RawValue| raw.get() != "null")
        };
        let reason = "the model takes no sampling parameters while it reasons";
        for (name, value) in
            [("temperature", conversation.temperature), ("top_p", conversation.top_p)]
        {
            let Some(value) = present(value) else { continue };
            match (is_taken, name) {
                (false, _) if name == "temperature" && matches!(value.get(), "1" | "1.0") => {}
                (false, _) => self.drop_content(name, format!("/{name}"), reason),
                (true, "temperature") => body.temperature = Some(value),
                (true, _) => body.top_p = Some(value),
            }
        }
        if let Some(top_k) = present(conversation.top_k) {
            match self.profile.top_k && is_taken {
                true => body.top_k = Some(top_k),
                false => self.drop_content("top_k", "/top_k", "the server has no such parameter"),
            }
        }
    }

    /// Returns the instruction for servers that only know "a JSON object".
    pub(super) fn json_hint(&self) -> Option<String> {
        let format = self.conversation.format()?;
        let schema = format.schema.filter(|_| self.profile.json == JsonForm::Object)?;
        Some(format!(
            "Answer with one JSON object that conforms to this JSON Schema:\n{}",
            schema.get()
        ))
    }

    fn format(&mut self, body: &mut Body<'a>) {
        let Some(format) = self.conversation.format() else { return };
        let Some(schema) = format.schema.filter(|_| format.kind == "json_schema") else { return };
        let reason = "the server does not check a schema";
        match self.profile.json {
            JsonForm::None => {
                self.drop_content("output_config.format", "/output_config/format", reason)
            }
            JsonForm::Object => {
                self.drop_content("output_config.format", "/output_config/format", reason);
                body.response_format = Some(ResponseFormat::JsonObject);
            }
            JsonForm::Schema => {
                let strict = schemas::is_strict(schema.get());
                let json_schema = NamedSchema { name: "output", schema, strict };
                body.response_format = Some(ResponseFormat::JsonSchema { json_schema });
            }
        }
    }

    fn identity(&mut self, body: &mut Body<'a>) {
        let user =
            self.conversation.metadata.as_ref().and_then(|metadata| metadata.user_id.as_deref());
        if let Some(user) = user.filter(|user| !user.is_empty()) {
            // servers limit the length, and the value may name a person
            let hashed = hex::encode(Sha256::digest(user.as_bytes()));
            match self.profile.user {
                UserField::None => self.drop_hint("metadata.user_id", "/metadata/user_id"),
                UserField::User => body.user = Some(hashed),
                UserField::SafetyIdentifier => {
                    body.prompt_cache_key = Some(hashed.clone());
                    body.safety_identifier = Some(hashed);
                }
            }
        }
        if let Some(tier) = self.conversation.service_tier.as_deref() {
            match self.profile.service_tiers.get(tier) {
                Some(own) => body.service_tier = Some(own.clone()),
                None if tier == "auto" => {}
                None => self.drop_content(
                    "service_tier",
                    "/service_tier",
                    "the server has no such tier",
                ),
            }
        }
        if self.has_breakpoints {
            body.prompt_cache_options = Some(json!({"mode": "explicit"}));
        }
    }

    fn stream(&mut self, body: &mut Body<'a>) {
        body.stream = self.conversation.stream == Some(true);
        if body.stream && self.profile.stream_options {
            let mut options = json!({"include_usage": true});
            if let Some(padded) = self.profile.obfuscation {
                options["include_obfuscation"] = padded.into();
            }
            body.stream_options = Some(options);
        }
        if self.continues {
            body.continue_final_message = Some(true);
            body.add_generation_prompt = Some(false);
        }
    }

    /// Lists the fields that have no counterpart.
    fn others(&mut self) {
        let dropped = self.conversation.without_counterpart();
        self.dropped.extend(dropped);
    }
}

#[cfg(test)]
mod tests;

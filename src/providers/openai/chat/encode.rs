//! A Messages request as a Chat Completions request. Pure: what cannot be carried is listed.
use serde_json::json;

use super::body::{Body, NamedSchema, ResponseFormat, Tool};
use super::encoder::Encoder;
use super::messages;
use crate::error::Result;
use crate::providers::openai::draft::{Draft, Rules, Terms, no_content};
use crate::providers::openai::parameters::{OutputForm, Sampled};
use crate::providers::openai::profile::{MaxTokens, Switch};
use crate::providers::openai::tools::Choice;
use crate::providers::translate::conversation::Conversation;
use crate::providers::translate::effort::{self, Wish};
use crate::providers::translate::encoded::Encoded;
use crate::providers::translate::facts::ChatTools;

/// The largest length of a tool's name.
const LONGEST_NAME: usize = 64;

/// Encodes a request.
///
/// Fails if the request has no message that can be sent.
pub(crate) fn encode<'a>(conversation: &'a Conversation<'a>, terms: Terms<'a>) -> Result<Encoded> {
    let profile = terms.profile;
    let rules = Rules {
        longest_name: LONGEST_NAME,
        pdf: profile.pdf,
        cache: profile.cache,
        json: profile.json,
    };
    let draft = Draft::new(conversation, terms, rules);
    let mut encoder = Encoder { draft, continues: false, prefill: None };
    let mut body = Body { model: encoder.draft.model, ..Body::default() };
    body.messages = messages::messages(&mut encoder);
    if body.messages.is_empty() {
        return Err(no_content());
    }
    encoder.limits(&mut body);
    let stops = encoder.stops(&mut body);
    encoder.tools(&mut body);
    encoder.reasoning(&mut body);
    encoder.sampling(&mut body);
    encoder.format(&mut body);
    encoder.identity(&mut body);
    encoder.stream(&mut body);
    let encoded = encoder.draft.finish(&body, stops)?;
    Ok(Encoded { prefill: encoder.prefill, ..encoded })
}

impl<'a> Encoder<'a> {
    fn limits(&mut self, body: &mut Body<'a>) {
        let max = self.draft.max_tokens();
        match self.draft.profile.max_tokens {
            MaxTokens::MaxTokens => body.max_tokens = max,
            MaxTokens::MaxCompletionTokens => body.max_completion_tokens = max,
        }
    }

    /// Returns the stop sequences that the gateway has to apply.
    fn stops(&mut self, body: &mut Body<'a>) -> Vec<String> {
        let stops = self.draft.stops();
        let is_refused =
            self.draft.facts.refuses_stop || stops.len() > self.draft.profile.max_stops;
        match (stops.is_empty(), is_refused) {
            (true, _) => Vec::new(),
            (false, true) => stops.into_iter().map(str::to_owned).collect(),
            (false, false) => {
                body.stop = Some(stops);
                Vec::new()
            }
        }
    }

    fn tools(&mut self, body: &mut Body<'a>) {
        let mut tools: Vec<Tool<'a>> = Vec::new();
        for (n, tool) in self.draft.conversation.tools.iter().flatten().enumerate() {
            tools.extend(self.draft.function(tool, &format!("/tools/{n}")).map(Tool::from));
        }
        body.tools = self.draft.limited(tools);
        if body.tools.is_empty() {
            return;
        }
        body.parallel_tool_calls = self.draft.parallel();
        let any = self.draft.profile.any_tool.as_str();
        let wish = self.draft.wish();
        body.tool_choice = self.draft.choice(wish).map(|choice| match choice {
            Choice::Auto => "auto".into(),
            Choice::None => "none".into(),
            Choice::Any => any.into(),
            Choice::Tool(name) => json!({"type": "function", "function": {"name": name}}),
            Choice::Only(name) => {
                body.tools.retain(|tool| tool.function.name == name);
                any.into()
            }
        });
    }

    fn reasoning(&mut self, body: &mut Body<'a>) {
        let mut wish = self.draft.wish();
        let takes_neither = self.draft.facts.chat_tools == ChatTools::WithoutReasoning;
        if takes_neither && !body.tools.is_empty() {
            if !matches!(wish, Wish::Default | Wish::Off) {
                let reason = "the model takes tools on Chat Completions without reasoning only";
                self.draft.drop_content("thinking", "/thinking", reason);
            }
            wish = Wish::Off;
        }
        let profile = self.draft.profile;
        let Some(wanted) = wish.level() else {
            if profile.reasoning == Switch::None && self.draft.conversation.thinking.is_some() {
                self.draft.cannot_switch();
            }
            return;
        };
        let level = effort::nearest(wanted, self.draft.efforts()).map(str::to_owned);
        let is_off = wish == Wish::Off;
        let beside = level.clone().filter(|_| profile.effort_too && !is_off);
        match profile.reasoning {
            Switch::None => self.draft.cannot_switch(),
            Switch::Effort => {
                let efforts = self.draft.efforts();
                body.reasoning_effort = self.draft.effort(wish, efforts).map(str::to_owned);
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
                body.reasoning_effort = beside;
            }
            Switch::EnableThinking => {
                body.enable_thinking = Some(!is_off);
                if let Wish::Budget(budget) = wish {
                    body.thinking_budget = Some(budget);
                }
            }
            Switch::Template => {
                body.chat_template_kwargs = Some(json!({"enable_thinking": !is_off}));
                body.reasoning_effort = beside;
            }
        }
    }

    fn sampling(&mut self, body: &mut Body<'a>) {
        let sampled = self.draft.sampling(body.reasoning_effort.as_deref());
        let Sampled { temperature, top_p, top_k } = sampled;
        (body.temperature, body.top_p, body.top_k) = (temperature, top_p, top_k);
    }

    fn format(&mut self, body: &mut Body<'a>) {
        body.response_format = self.draft.output_form().map(|form| match form {
            OutputForm::Object => ResponseFormat::JsonObject,
            OutputForm::Schema { schema, is_strict } => ResponseFormat::JsonSchema {
                json_schema: NamedSchema { name: "output", schema, strict: is_strict },
            },
        });
    }

    fn identity(&mut self, body: &mut Body<'a>) {
        body.identity = self.draft.identity();
    }

    fn stream(&mut self, body: &mut Body<'a>) {
        body.stream = self.draft.conversation.stream == Some(true);
        if body.stream && self.draft.profile.stream_options {
            let mut options = json!({"include_usage": true});
            if let Some(padded) = self.draft.profile.obfuscation {
                options["include_obfuscation"] = padded.into();
            }
            body.stream_options = Some(options);
        }
        if self.continues {
            body.continue_final_message = Some(true);
            body.add_generation_prompt = Some(false);
        }
    }
}

#[cfg(test)]
mod tests;

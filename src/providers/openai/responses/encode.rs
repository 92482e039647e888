//! A Messages request as a Responses request. Pure: what cannot be carried is listed.
#[cfg(test)]
mod tests;

use serde_json::json;

use super::body::{Body, Format, Reasoning, TextOptions, Tool};
use super::encoder::{Encoder, Purpose};
use super::items;
use super::search;
use crate::error::Result;
use crate::providers::openai::draft::{Draft, Rules, Terms, no_content};
use crate::providers::openai::parameters::{OutputForm, Sampled};
use crate::providers::openai::profile::{CacheForm, Media};
use crate::providers::openai::tools::Choice;
use crate::providers::translate::conversation::Conversation;
use crate::providers::translate::effort::Wish;
use crate::providers::translate::encoded::Encoded;

/// The largest length of a tool's name.
const LONGEST_NAME: usize = 128;
/// The smallest limit of output tokens that the API takes.
const LEAST_TOKENS: u64 = 16;

/// Encodes a request.
///
/// Fails if the request has no message that can be sent.
pub(crate) fn encode<'a>(
    conversation: &'a Conversation<'a>,
    terms: Terms<'a>,
    purpose: Purpose,
) -> Result<Encoded> {
    let profile = terms.profile;
    let rules = Rules {
        longest_name: LONGEST_NAME,
        // this API has a form for the address of a document
        pdf: if profile.pdf == Media::None { Media::None } else { Media::Url },
        cache: match profile.cache {
            CacheForm::Breakpoints => CacheForm::Breakpoints,
            CacheForm::Control | CacheForm::None => CacheForm::None,
        },
        json: profile.responses_json,
    };
    let mut encoder = Encoder { draft: Draft::new(conversation, terms, rules), purpose };
    let mut body = Body { model: encoder.draft.model, ..Body::default() };
    (body.instructions, body.input) = items::items(&mut encoder);
    if body.input.is_empty() {
        return Err(no_content());
    }
    encoder.tools(&mut body);
    encoder.reasoning(&mut body);
    encoder.format(&mut body);
    if purpose != Purpose::Count {
        encoder.limits(&mut body);
        encoder.sampling(&mut body);
        encoder.identity(&mut body);
        encoder.stream(&mut body);
    }
    // the API has no stop sequences
    let stops = encoder.draft.stops().into_iter().map(str::to_owned).collect();
    encoder.draft.finish(&body, stops)
}

impl<'a> Encoder<'a> {
    fn limits(&mut self, body: &mut Body<'a>) {
        let max = self.draft.max_tokens();
        if max.is_some_and(|max| max < LEAST_TOKENS) {
            self.draft.drop_content(
                "max_tokens",
                "/max_tokens",
                "the API takes no limit below 16 tokens",
            );
        }
        body.max_output_tokens = max.map(|max| max.max(LEAST_TOKENS));
    }

    fn tools(&mut self, body: &mut Body<'a>) {
        let mut tools = Vec::new();
        for (n, tool) in self.draft.conversation.tools.iter().flatten().enumerate() {
            let place = format!("/tools/{n}");
            tools.extend(match self.draft.profile.web_search && search::is_search(tool) {
                true => Some(search::tool(&mut self.draft, tool, &place)),
                false => self.draft.function(tool, &place).map(Tool::from),
            });
        }
        body.tools = self.draft.limited(tools);
        if body.tools.is_empty() {
            return;
        }
        body.parallel_tool_calls = self.draft.parallel();
        let any = self.draft.profile.any_tool.as_str();
        let wish = Wish::of(self.draft.conversation);
        body.tool_choice = self.draft.choice(wish).map(|choice| match choice {
            Choice::Auto => "auto".into(),
            Choice::None => "none".into(),
            Choice::Any => any.into(),
            // the API cannot choose its own search, so that is the only tool left
            Choice::Tool(name) | Choice::Only(name) if has_search(&body.tools, &name) => {
                body.tools.retain(Tool::is_search);
                any.into()
            }
            Choice::Tool(name) => json!({"type": "function", "name": name}),
            Choice::Only(name) => {
                body.tools.retain(|tool| tool.is_function(&name));
                any.into()
            }
        });
    }

    fn reasoning(&mut self, body: &mut Body<'a>) {
        let effort = self.wanted_effort();
        let asks = |kind: &str| matches!(kind, "enabled" | "adaptive");
        let conversation = self.draft.conversation;
        let thinks = conversation.thinking.as_ref().is_some_and(|thinking| asks(&thinking.kind));
        let reasons = self.reasons() && effort != Some("none");
        let is_shown = thinks && reasons && conversation.shows_thinking();
        let summary = is_shown.then_some("auto");
        if effort.is_some() || summary.is_some() {
            body.reasoning = Some(Reasoning { effort, summary });
        }
    }

    /// Returns whether the model can reason, as far as that is known.
    fn reasons(&self) -> bool {
        self.draft.facts.efforts.as_ref().is_none_or(|efforts| !efforts.is_empty())
    }

    /// Returns the value of `reasoning.effort`.
    fn wanted_effort(&mut self) -> Option<&'a str> {
        let wish = Wish::of(self.draft.conversation);
        let profile = self.draft.profile;
        let own = &profile.responses_efforts;
        let of_server = if own.is_empty() { &profile.efforts } else { own };
        match self.draft.facts.efforts.as_deref() {
            // a model that cannot reason needs no switch for that
            Some([]) if wish == Wish::Off => None,
            Some(of_model) => self.draft.effort(wish, of_model),
            // the API has this field at every server
            None if of_server.is_empty() => wish.level(),
            None => self.draft.effort(wish, of_server),
        }
    }

    fn sampling(&mut self, body: &mut Body<'a>) {
        let effort = body.reasoning.as_ref().and_then(|reasoning| reasoning.effort);
        let Sampled { temperature, top_p, top_k } = self.draft.sampling(effort);
        (body.temperature, body.top_p, body.top_k) = (temperature, top_p, top_k);
    }

    fn format(&mut self, body: &mut Body<'a>) {
        let format = self.draft.output_form().map(|form| match form {
            OutputForm::Object => Format::JsonObject,
            OutputForm::Schema { schema, is_strict } => {
                Format::JsonSchema { name: "output", schema, strict: is_strict }
            }
        });
        body.text = format.map(|format| TextOptions { format });
    }

    fn identity(&mut self, body: &mut Body<'a>) {
        body.store = Some(false);
        if self.reasons() && self.draft.profile.encrypted_reasoning {
            body.include.push("reasoning.encrypted_content");
        }
        if body.tools.iter().any(Tool::is_search) {
            body.include.push("web_search_call.action.sources");
        }
        body.identity = self.draft.identity();
    }

    fn stream(&mut self, body: &mut Body<'a>) {
        body.stream = self.draft.conversation.stream == Some(true);
        if let Some(padded) = self.draft.profile.obfuscation.filter(|_| body.stream) {
            body.stream_options = Some(json!({"include_obfuscation": padded}));
        }
    }
}

/// Returns whether a name chooses the server's own search.
fn has_search(tools: &[Tool<'_>], name: &str) -> bool {
    name == search::NAME
        && tools.iter().any(Tool::is_search)
        && !tools.iter().any(|tool| tool.is_function(name))
}

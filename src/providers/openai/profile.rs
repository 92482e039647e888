//! `Profile`: how a server of OpenAI's APIs differs from others. It is data: `profiles.yaml` has one table for
//! each family of servers, and the config overrides single entries.
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wildmatch::WildMatch;

use crate::providers::translate::names::Ids;

/// The tables.
const PROFILES: &str = include_str!("profiles.yaml");

/// The entries of a profile. The defaults are those of an unknown server.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Profile {
    /// The hosts of the server, with `*` for any text: the flavor is chosen by them.
    pub(super) hosts: Vec<String>,
    /// The form of the system message: one text, or a list of parts.
    pub(super) system: SystemForm,
    /// The role of a system message in the middle of a conversation.
    pub(super) mid_system: MidSystem,
    /// The name of the limit of output tokens.
    pub(super) max_tokens: MaxTokens,
    /// The largest number of stop sequences; the gateway applies all of them itself if there are more.
    pub(super) max_stops: usize,
    /// Whether `top_k` is understood.
    pub(super) top_k: bool,
    /// Whether `parallel_tool_calls` is understood.
    pub(super) parallel_tool_calls: bool,
    /// The forms of `tool_choice` that have an effect.
    pub(super) tool_choice: ToolChoices,
    /// Whether a forced tool choice is allowed while the model thinks.
    pub(super) tool_choice_with_thinking: bool,
    /// The word for "any tool".
    pub(super) any_tool: String,
    /// The largest number of tools.
    pub(super) max_tools: usize,
    /// The images that are understood.
    pub(super) images: Media,
    /// Whether the results of tools may have images.
    pub(super) tool_images: bool,
    /// The PDF documents that are understood.
    pub(super) pdf: Media,
    /// The structured outputs that are understood on Chat Completions.
    pub(super) json: JsonForm,
    /// The structured outputs that are understood on Responses.
    pub(super) responses_json: JsonForm,
    /// The switch of the reasoning.
    pub(super) reasoning: Switch,
    /// The values of the effort, from the least to the most.
    pub(super) efforts: Vec<String>,
    /// The values of the effort on Responses; those of `efforts` if there are none.
    pub(super) responses_efforts: Vec<String>,
    /// Whether encrypted reasoning can be requested on Responses.
    pub(super) encrypted_reasoning: bool,
    /// Whether the server has a web search of its own on Responses.
    pub(super) web_search: bool,
    /// Whether `reasoning_effort` is sent beside the switch.
    pub(super) effort_too: bool,
    /// The form in which reasoning of earlier turns goes back.
    pub(super) history: History,
    /// Whether every assistant message with tool calls needs its reasoning, if only an empty one.
    pub(super) history_with_calls: bool,
    /// The field for a stable name of the user.
    pub(super) user: UserField,
    /// The server's words for the values of `service_tier`.
    pub(super) service_tiers: BTreeMap<String, String>,
    /// The form of cache breakpoints.
    pub(super) cache: CacheForm,
    /// The ids of tool calls that are understood.
    pub(super) ids: Ids,
    /// The treatment of a last message of the assistant.
    pub(super) prefill: Prefill,
    /// Whether usage in streams has to be requested.
    pub(super) stream_options: bool,
    /// Whether the server pads its events if it is not told to stop it.
    pub(super) obfuscation: Option<bool>,
    /// Whether the server counts tokens (`/responses/input_tokens`).
    pub(super) counts: bool,
    /// The header of the credential.
    pub(super) auth: Auth,
    /// Whether `<think>` tags within the text are reasoning.
    pub(super) think_tags: bool,
}

/// The form of the system message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SystemForm {
    Text,
    Parts,
}

/// The role of a system message in the middle of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum MidSystem {
    Same,
    User,
}

/// The name of the limit of output tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum MaxTokens {
    MaxTokens,
    MaxCompletionTokens,
}

/// The forms of `tool_choice` that have an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ToolChoices {
    All,
    /// A named tool is ignored: the gateway sends that tool only, and requires a call.
    OnlyRequired,
    None,
}

/// The sources of media that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Media {
    None,
    /// Base64 within the request; the gateway fetches addresses.
    Inline,
    /// Base64 and addresses.
    Url,
}

/// The structured outputs that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum JsonForm {
    None,
    /// Any JSON object.
    Object,
    Schema,
}

/// The switch of the reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Switch {
    None,
    /// `reasoning_effort`
    Effort,
    /// `reasoning: {effort, max_tokens, enabled}`
    Openrouter,
    /// `thinking: {type: enabled | disabled}`
    ThinkingType,
    /// `enable_thinking`, `thinking_budget`
    EnableThinking,
    /// `chat_template_kwargs: {enable_thinking}`
    Template,
}

/// The form in which reasoning of earlier turns goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum History {
    None,
    ReasoningContent,
    Reasoning,
    /// OpenRouter's `reasoning_details`, unchanged.
    Details,
}

/// The field for a stable name of the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum UserField {
    None,
    User,
    SafetyIdentifier,
}

/// The form of cache breakpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum CacheForm {
    None,
    /// `cache_control` on parts, as in the Messages API.
    Control,
    /// `prompt_cache_breakpoint` on parts.
    Breakpoints,
}

/// The treatment of a last message of the assistant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Prefill {
    /// The server takes it as history, and does not continue it.
    None,
    /// The server continues it by itself.
    Native,
    /// `prefix: true` on the message.
    Prefix,
    /// `continue_final_message`
    Vllm,
}

/// The header of the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Auth {
    /// `authorization: Bearer`
    Bearer,
    /// `api-key`
    ApiKey,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            system: SystemForm::Text,
            mid_system: MidSystem::User,
            max_tokens: MaxTokens::MaxTokens,
            max_stops: 4,
            top_k: false,
            parallel_tool_calls: true,
            tool_choice: ToolChoices::All,
            tool_choice_with_thinking: true,
            any_tool: "required".to_owned(),
            max_tools: 128,
            images: Media::Url,
            tool_images: false,
            pdf: Media::None,
            json: JsonForm::Schema,
            responses_json: JsonForm::Schema,
            reasoning: Switch::None,
            efforts: Vec::new(),
            responses_efforts: Vec::new(),
            encrypted_reasoning: true,
            web_search: false,
            effort_too: false,
            history: History::None,
            history_with_calls: false,
            user: UserField::User,
            service_tiers: BTreeMap::new(),
            cache: CacheForm::None,
            ids: Ids::Short,
            prefill: Prefill::None,
            stream_options: true,
            obfuscation: None,
            counts: false,
            auth: Auth::Bearer,
            think_tags: false,
        }
    }
}

impl Profile {
    /// Returns the profile of a flavor with the changes of the config.
    ///
    /// Fails with a message that names every wrong entry.
    pub(super) fn build(flavor: &str, changes: &Map<String, Value>) -> Result<Self, String> {
        let wrong: Vec<String> = changes.iter().filter_map(wrong).collect();
        if !wrong.is_empty() {
            return Err(wrong.join("; "));
        }
        let mut table = tables().remove(flavor).unwrap_or_default();
        table.extend(changes.clone());
        serde_json::from_value(Value::Object(table)).map_err(|error| error.to_string())
    }

    /// Returns the flavor of a host; `generic` if none is known.
    pub(super) fn flavor_of(host: &str, port: Option<u16>) -> String {
        let with_port = port.map(|port| format!("{host}:{port}"));
        let is_host = |pattern: &Value| {
            let pattern = WildMatch::new(pattern.as_str().unwrap_or_default());
            pattern.matches(host) || with_port.as_deref().is_some_and(|host| pattern.matches(host))
        };
        let found = tables().into_iter().find(|(_, table)| {
            table
                .get("hosts")
                .and_then(Value::as_array)
                .is_some_and(|hosts| hosts.iter().any(is_host))
        });
        found.map_or_else(|| "generic".to_owned(), |(name, _)| name)
    }

    /// Returns the names of all flavors.
    pub(super) fn flavors() -> Vec<String> {
        tables().into_keys().collect()
    }
}

/// Returns the mistake of a single entry; `None` if it is right.
fn wrong((key, value): (&String, &Value)) -> Option<String> {
    let alone = Map::from_iter([(key.clone(), value.clone())]);
    let error = serde_json::from_value::<Profile>(Value::Object(alone)).err()?.to_string();
    match error.starts_with("unknown field") {
        true => Some(format!("`{key}` is not a known entry")),
        false => Some(format!("`{key}`: {error}")),
    }
}

fn tables() -> BTreeMap<String, Map<String, Value>> {
    // a test reads every table
    serde_saphyr::from_str(PROFILES).unwrap_or_default()
}

/// Returns the names of all flavors.
#[cfg(test)]
pub(in crate::providers) fn flavors() -> Vec<String> {
    Profile::flavors()
}

#[cfg(test)]
mod page;
#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_table_is_a_profile() {
        assert!(Profile::flavors().len() >= 13);
        for flavor in Profile::flavors() {
            let built = Profile::build(&flavor, &Map::new());
            assert!(built.is_ok(), "{flavor}: {built:?}");
        }
    }

    #[test]
    fn the_host_chooses_the_flavor_and_the_config_changes_single_entries() {
        assert_eq!(Profile::flavor_of("api.openai.com", None), "openai");
        assert_eq!(Profile::flavor_of("team.openai.azure.com", None), "azure");
        assert_eq!(Profile::flavor_of("127.0.0.1", Some(11434)), "ollama");
        assert_eq!(Profile::flavor_of("example.com", None), "generic");
        let changes = json!({"top_k": true, "max_stops": 1});
        let profile = Profile::build("openai", changes.as_object().unwrap()).unwrap();
        assert!(profile.top_k && profile.max_stops == 1 && profile.counts);
        let wrong = json!({"top_z": true, "top_k": true, "images": "maybe"});
        let message = Profile::build("openai", wrong.as_object().unwrap()).unwrap_err();
        let images = "`images`: unknown variant `maybe`, expected one of `none`, `inline`, `url`";
        assert_eq!(message, format!("`top_z` is not a known entry; {images}"));
    }
}

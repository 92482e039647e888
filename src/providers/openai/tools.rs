//! Tools and the choice among them, as far as both APIs agree.
use std::borrow::Cow;

use crate::providers::openai::draft::Draft;
use crate::providers::openai::media::Json;
use crate::providers::openai::profile::{Switch, ToolChoices};
use crate::providers::translate::client_tools;
use crate::providers::translate::conversation::Tool;
use crate::providers::translate::effort::Wish;
use crate::providers::translate::schemas;

/// The declaration of a function.
#[derive(Debug)]
pub(super) struct Function<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) description: Option<Cow<'a, str>>,
    pub(super) parameters: Json<'a>,
    pub(super) is_strict: bool,
}

/// The choice among the tools, in a form that the server takes.
#[derive(Debug)]
pub(super) enum Choice {
    Auto,
    None,
    /// Some tool must be called. The server's word for it is in the profile.
    Any,
    /// This tool must be called.
    Tool(String),
    /// Some tool must be called, and only this one may be declared.
    Only(String),
}

impl<'a> Draft<'a> {
    /// Returns the function that stands for a tool; `None` if the tool has no counterpart, which is reported.
    pub(super) fn function(&mut self, tool: &'a Tool<'a>, place: &str) -> Option<Function<'a>> {
        let is_custom = tool.kind.as_deref().is_none_or(|kind| kind == "custom");
        let (description, parameters) = match client_tools::describe(tool) {
            Some(own) => (Some(own.description.into()), own.schema.into()),
            None if is_custom => {
                let description = tool.description.as_deref().map(Cow::Borrowed);
                (description, schemas::of_object(tool.input_schema))
            }
            None => {
                let name = format!("tool:{}", tool.kind.as_deref().unwrap_or_default());
                self.drop_content(name, place, "the server has no such tool");
                return None;
            }
        };
        let is_strict = tool.strict == Some(true) && schemas::is_strict(&parameters);
        if tool.strict == Some(true) && !is_strict {
            let reason = "the schema does not meet the server's rules for strict tools";
            self.drop_content("tools.strict", format!("{place}/strict"), reason);
        }
        if tool.cache_control.is_some_and(|control| control.get() != "null") {
            self.drop_hint("cache_control", place);
        }
        let name = self.name(&tool.name);
        Some(Function { name, description, parameters: Json(parameters), is_strict })
    }

    /// Returns the tools up to the server's largest number of them.
    pub(super) fn limited<T>(&mut self, mut tools: Vec<T>) -> Vec<T> {
        if tools.len() > self.profile.max_tools {
            tools.truncate(self.profile.max_tools);
            self.drop_content("tools", "/tools", "there are more tools than the server takes");
        }
        tools
    }

    /// Returns `parallel_tool_calls`; `None` for the default.
    pub(super) fn parallel(&mut self) -> Option<bool> {
        let choice = self.conversation.tool_choice.as_ref()?;
        if choice.disable_parallel_tool_use != Some(true) || choice.kind == "none" {
            return None;
        }
        if self.profile.parallel_tool_calls {
            return Some(false);
        }
        let place = "/tool_choice/disable_parallel_tool_use";
        self.drop_content("disable_parallel_tool_use", place, "the server has no such switch");
        None
    }

    /// Returns the wish for reasoning. Servers that refuse a forced choice while they think do so by default: the
    /// reasoning that a request does not mention is off then, as it is in the Messages API.
    pub(super) fn wish(&self) -> Wish<'a> {
        let wish = Wish::of(self.conversation);
        let is_open = wish == Wish::Default && self.conversation.thinking.is_none();
        let can_switch = self.profile.reasoning != Switch::None;
        match is_open && can_switch && self.is_forced() && !self.profile.tool_choice_with_thinking {
            true => Wish::Off,
            false => wish,
        }
    }

    /// Returns whether the request forces a call of a tool.
    fn is_forced(&self) -> bool {
        let choice = self.conversation.tool_choice.as_ref();
        let has_tools = self.conversation.tools.as_ref().is_some_and(|tools| !tools.is_empty());
        has_tools && choice.is_some_and(|choice| matches!(&*choice.kind, "any" | "tool"))
    }

    /// Returns whether the server thinks with this wish, as far as that is known.
    fn may_think(&self, wish: Wish<'_>) -> bool {
        match wish {
            Wish::Off => false,
            Wish::Default => {
                self.conversation.thinking.is_some() || self.profile.reasoning != Switch::None
            }
            Wish::Effort(_) | Wish::Budget(_) => true,
        }
    }

    /// Returns the choice; `None` for the server's default. `wish` is the wish for reasoning that the server receives.
    pub(super) fn choice(&mut self, wish: Wish<'_>) -> Option<Choice> {
        let choice = self.conversation.tool_choice.as_ref()?;
        let is_refused =
            self.is_forced() && !self.profile.tool_choice_with_thinking && self.may_think(wish);
        if is_refused || (self.profile.tool_choice == ToolChoices::None && choice.kind != "auto") {
            self.drop_content("tool_choice", "/tool_choice", "the server cannot be forced");
            return None;
        }
        if self.profile.tool_choice == ToolChoices::None {
            return None;
        }
        let name = self.name(choice.name.as_deref().unwrap_or_default()).into_owned();
        Some(match &*choice.kind {
            "any" => Choice::Any,
            "none" => Choice::None,
            "tool" if self.profile.tool_choice == ToolChoices::OnlyRequired => Choice::Only(name),
            "tool" => Choice::Tool(name),
            _ => Choice::Auto,
        })
    }
}

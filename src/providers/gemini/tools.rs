//! The tools of a request as function declarations, and the choice among them.
use std::borrow::Cow;

use serde_json::{Map, Value};

use super::body::{Body, Calling, Function, Json, Mode, Tool, ToolConfig};
use super::encode::Encoder;
use crate::providers::translate::client_tools;
use crate::providers::translate::conversation as asked;
use crate::providers::translate::names::NameRule;
use crate::providers::translate::schemas;

/// The names of functions that the API takes.
const NAMES: NameRule = NameRule {
    longest: 128,
    allows: |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-'),
};

/// Returns whether a name of a function may start with a character.
fn may_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

impl<'a> Encoder<'a> {
    /// Returns the upstream's form of a tool's name.
    pub(super) fn name(&mut self, name: &'a str) -> Cow<'a, str> {
        self.names.forth_from(name, NAMES, may_start)
    }

    pub(super) fn tools(&mut self, body: &mut Body<'a>) {
        let (mut functions, mut is_strict) = (Vec::new(), false);
        for (n, tool) in self.conversation.tools.iter().flatten().enumerate() {
            let place = format!("/tools/{n}");
            match self.function(tool, &place) {
                Some(function) => {
                    is_strict |= tool.strict == Some(true);
                    functions.push(function);
                }
                None => {
                    let kind = tool.kind.as_deref().unwrap_or_default();
                    let name = format!("tool:{kind}");
                    self.drop_content(name, place, "the gateway does not translate such a tool");
                }
            }
        }
        if functions.is_empty() {
            return;
        }
        let calling = self.calling(&functions, is_strict);
        body.tool_config = calling.map(|calling| ToolConfig { function_calling_config: calling });
        body.tools = vec![Tool { function_declarations: functions }];
    }

    fn function(&mut self, tool: &'a asked::Tool<'a>, place: &str) -> Option<Function<'a>> {
        let is_custom = tool.kind.as_deref().is_none_or(|kind| kind == "custom");
        let (description, schema) = match client_tools::describe(tool) {
            Some(own) => (Some(own.description.into()), Some(own.schema.into())),
            None if is_custom => {
                let description = tool.description.as_deref().filter(|text| !text.is_empty());
                let schema = schemas::of_object(tool.input_schema);
                (description.map(Cow::Borrowed), (!is_empty(&schema)).then_some(schema))
            }
            None => return None,
        };
        self.note_cache(tool.cache_control, place);
        let name = self.name(&tool.name);
        Some(Function { name, description, parameters_json_schema: schema.map(Json) })
    }

    /// Returns the choice of functions; `None` for the upstream's default, which is `AUTO`.
    fn calling(&mut self, functions: &[Function<'a>], is_strict: bool) -> Option<Calling> {
        let free = if is_strict { Mode::Validated } else { Mode::Auto };
        let calling = |mode| Some(Calling { mode, allowed_function_names: None });
        let Some(choice) = &self.conversation.tool_choice else {
            return if is_strict { calling(free) } else { None };
        };
        if choice.disable_parallel_tool_use == Some(true) && choice.kind != "none" {
            let reason = "the upstream has no such switch";
            let place = "/tool_choice/disable_parallel_tool_use";
            self.drop_content("disable_parallel_tool_use", place, reason);
        }
        match &*choice.kind {
            "none" => calling(Mode::None),
            "any" => calling(Mode::Any),
            "tool" => {
                let name = self.name(choice.name.as_deref().unwrap_or_default()).into_owned();
                if !functions.iter().any(|function| function.name == name) {
                    let reason = "the upstream does not receive the named tool";
                    self.drop_content("tool_choice", "/tool_choice", reason);
                    return calling(free);
                }
                Some(Calling { mode: Mode::Any, allowed_function_names: Some([name]) })
            }
            _ => calling(free),
        }
    }
}

/// Returns whether a schema is an object without properties, which a declaration leaves out.
fn is_empty(schema: &str) -> bool {
    const PLAIN: [&str; 5] = ["type", "properties", "required", "additionalProperties", "$schema"];
    let Ok(schema) = serde_json::from_str::<Map<String, Value>>(schema) else { return false };
    let is_nothing = |key: &str| match schema.get(key) {
        None | Some(Value::Null | Value::Bool(false)) => true,
        Some(Value::Object(members)) => members.is_empty() && key == "properties",
        Some(Value::Array(list)) => list.is_empty(),
        Some(_) => false,
    };
    schema.keys().all(|key| PLAIN.contains(&&**key))
        && ["properties", "required", "additionalProperties"].into_iter().all(is_nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_schema_that_allows_no_argument_is_left_out() {
        for empty in [
            r#"{"type":"object","properties":{}}"#,
            r#"{"type":"object"}"#,
            r#"{"$schema":"s","type":"object","properties":{},"required":[],"additionalProperties":false}"#,
        ] {
            assert!(is_empty(empty), "{empty}");
        }
        for full in [
            r#"{"type":"object","properties":{"a":{}}}"#,
            r#"{"type":"object","properties":{},"additionalProperties":true}"#,
            r#"{"type":"object","properties":{},"additionalProperties":{}}"#,
            r##"{"type":"object","$ref":"#/$defs/a"}"##,
            r#"{"type":"object","properties":{},"anyOf":[]}"#,
        ] {
            assert!(!is_empty(full), "{full}");
        }
    }
}

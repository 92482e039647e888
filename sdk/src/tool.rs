//! `Tool`: a server tool as a typed function. Its schema follows from the type of its input.
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::problem::{Problem, Result};

/// A server tool of the plugin `P`.
pub struct Tool<P> {
    pub(crate) name: &'static str,
    pub(crate) description: String,
    pub(crate) input_schema: fn() -> Value,
    pub(crate) options_schema: fn() -> Value,
    run: Box<Run<P>>,
}

/// The function from the JSON texts of input and options to the content of a result.
type Run<P> = dyn Fn(&P, &str, &str) -> Result<Value>;

impl<P> Tool<P> {
    /// Makes a tool that callers declare as `gateway:<name>`.
    ///
    /// The model reads `description` and the schema of `I`, so document the fields of `I`. `O` are
    /// the options of the declaration; they limit the model's input. If a declaration does not fit
    /// the schema of `O`, the gateway rejects the request before it calls any model.
    pub fn new<I, O, R>(
        name: &'static str,
        description: impl Into<String>,
        run: impl Fn(&P, I, O) -> Result<R> + 'static,
    ) -> Self
    where
        I: DeserializeOwned + JsonSchema,
        O: DeserializeOwned + JsonSchema,
        R: IntoContent,
    {
        let run = move |plugin: &P, input: &str, options: &str| {
            let input = parse("invalid_input", "the input does not fit", input)?;
            let options = parse("invalid_options", "the tool's options do not fit", options)?;
            run(plugin, input, options)?.into_content()
        };
        Self {
            name,
            description: description.into(),
            input_schema: schema_of::<I>,
            options_schema: schema_of::<O>,
            run: Box::new(run),
        }
    }

    pub(crate) fn call(&self, plugin: &P, input: &str, options: &str) -> Result<Value> {
        (self.run)(plugin, input, options)
    }
}

/// A type that a tool may return: the `content` of a `tool_result`.
pub trait IntoContent {
    /// Returns a JSON string, or an array of content blocks.
    fn into_content(self) -> Result<Value>;
}

impl IntoContent for String {
    fn into_content(self) -> Result<Value> {
        Ok(Value::String(self))
    }
}

/// A value that the model reads as JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoContent for Json<T> {
    fn into_content(self) -> Result<Value> {
        let text = serde_json::to_string(&self.0)
            .map_err(|e| Problem::new("internal", format!("the result is no JSON: {e}")))?;
        Ok(Value::String(text))
    }
}

/// Content blocks of the Messages API, such as `{"type": "text", "text": "…"}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Blocks(pub Vec<Value>);

impl IntoContent for Blocks {
    fn into_content(self) -> Result<Value> {
        Ok(Value::Array(self.0))
    }
}

/// The input of a tool without input. It rejects everything except `{}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoInput {}

/// The options of a tool without options. They reject everything except `{}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}

fn parse<T: DeserializeOwned>(code: &str, what: &str, json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|e| Problem::new(code, format!("{what}: {e}")))
}

/// Returns a schema in the form that providers accept and the gateway checks: one object, without
/// references or the name of its dialect.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema: Schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    // the doc comment of the type is for its authors; those of its fields are for the model
    schema.remove("description");
    if schema.get("type").is_none() {
        schema.insert("type".to_owned(), "object".into());
    }
    schema.to_value()
}

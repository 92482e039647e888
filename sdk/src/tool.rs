//! `Tool`: a server tool as a typed function; its schema comes from the type of its input.
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

/// From the JSON texts of input and options to the content of a result.
type Run<P> = dyn Fn(&P, &str, &str) -> Result<Value>;

impl<P> Tool<P> {
    /// A tool that callers declare as `gateway:<name>`.
    ///
    /// `description` is for the model, as is the schema that follows from `I`: document its fields.
    /// `O` are the options of the declaration, which bound what the model may ask for; a declaration
    /// that does not fit their schema is refused before any model is asked.
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

/// What a tool may return: the `content` of a `tool_result`.
pub trait IntoContent {
    /// A JSON string, or an array of content blocks.
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

/// The input of a tool that needs none: anything but `{}` is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoInput {}

/// The options of a tool that has none: anything but `{}` is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}

fn parse<T: DeserializeOwned>(code: &str, what: &str, json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|e| Problem::new(code, format!("{what}: {e}")))
}

/// A schema as providers take it, and as the gateway checks by it: one object, no references, no words
/// about its dialect.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema: Schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    // the words on the type are for its authors; those on its fields are for the model
    schema.remove("description");
    if schema.get("type").is_none() {
        schema.insert("type".to_owned(), "object".into());
    }
    schema.to_value()
}

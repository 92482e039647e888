//! The provider types, one line each. The `type:` of an entry in `providers:` chooses the settings
//! to read.
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::error::Problem;
use crate::providers::anthropic;
use crate::providers::bedrock;
use crate::providers::foundry;
use crate::providers::gemini;
use crate::providers::openai;
use crate::providers::simulator;
use crate::providers::vertex;
use crate::providers::{Parts, Provider, Settings};

/// All types. A new provider adds its line here; the rest of it is in its own folder.
const TYPES: [Type; 7] = [
    Type::of::<anthropic::Config>("anthropic"),
    Type::of::<bedrock::Config>("bedrock"),
    Type::of::<foundry::Config>("foundry"),
    Type::of::<openai::Config>("openai"),
    Type::of::<gemini::Config>("gemini"),
    Type::of::<simulator::Config>("simulator"),
    Type::of::<vertex::Config>("vertex"),
];

/// The key that chooses the type.
const TAG: &str = "type";

/// An entry of `providers:`.
#[derive(Debug, Clone)]
pub struct Config(Arc<dyn Settings>);

impl Config {
    /// Makes the provider; `name` is its name in the config.
    pub fn build(&self, name: &str, parts: &Parts<'_>) -> Result<Arc<dyn Provider>, Vec<Problem>> {
        self.0.build(&format!("providers.{name}"), parts)
    }

    /// Returns the files to watch, relative to the folder of the config.
    pub(crate) fn files(&self) -> Vec<&Path> {
        self.0.files()
    }

    /// Returns the keys with values that can never work, and a message for each.
    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        self.0.problems()
    }
}

/// A type of provider: its name, the function that reads its settings, and their schema.
struct Type {
    name: &'static str,
    read: fn(Value) -> Result<Config, serde_json::Error>,
    schema: fn(&mut SchemaGenerator) -> Schema,
}

impl Type {
    const fn of<C: Settings + DeserializeOwned + JsonSchema + 'static>(name: &'static str) -> Self {
        Self {
            name,
            read: |fields| Ok(Config(Arc::new(C::deserialize(fields)?))),
            schema: C::json_schema,
        }
    }

    /// Returns the schema of the settings with the tag as their first property.
    fn tagged(&self, generator: &mut SchemaGenerator) -> Schema {
        let mut schema = (self.schema)(generator);
        let object = schema.ensure_object();
        let tag = (TAG.to_owned(), json!({"type": "string", "const": self.name}));
        if let Some(Value::Object(properties)) = object.get_mut("properties") {
            *properties = [tag].into_iter().chain(std::mem::take(properties)).collect();
        }
        // the description is last, as in every other schema
        let description = object.shift_remove_entry("description");
        if let Value::Array(required) = object.entry("required").or_insert_with(|| json!([])) {
            required.insert(0, TAG.into());
        }
        object.extend(description);
        schema
    }
}

/// The names of the types.
const NAMES: [&str; TYPES.len()] = {
    let mut names = [""; TYPES.len()];
    let mut n = 0;
    while n < names.len() {
        names[n] = TYPES[n].name;
        n += 1;
    }
    names
};

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Map::<String, Value>::deserialize(deserializer)?;
        let tag = fields.shift_remove(TAG).ok_or_else(|| D::Error::missing_field(TAG))?;
        let name = String::deserialize(tag).map_err(D::Error::custom)?;
        match TYPES.iter().find(|one| one.name == name) {
            Some(one) => (one.read)(fields.into()).map_err(D::Error::custom),
            None => Err(D::Error::unknown_variant(&name, &NAMES)),
        }
    }
}

impl JsonSchema for Config {
    fn schema_name() -> Cow<'static, str> {
        "Provider".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let types: Vec<Value> = TYPES.iter().map(|one| one.tagged(generator).into()).collect();
        json_schema!({ "oneOf": types, "description": "An entry of `providers:`." })
    }
}

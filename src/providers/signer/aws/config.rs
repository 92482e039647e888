//! `credentials:` of a provider on AWS.
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::error::Secret;

/// The AWS credentials that sign requests.
#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(untagged)]
pub(in crate::providers) enum Config {
    /// `default`: environment, profile, web identity, container, then instance.
    #[default]
    #[schemars(with = "Word")]
    Default,
    /// A profile of the files in `~/.aws`.
    Profile(Profile),
    /// Fixed keys.
    Keys(Keys),
}

/// The word for the default chain.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Word {
    Default,
}

/// A profile by its name.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::providers) struct Profile {
    /// The name of a profile in `~/.aws/config` and `~/.aws/credentials`.
    pub(super) profile: String,
}

/// Fixed keys.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::providers) struct Keys {
    /// The id of the access key.
    pub(super) access_key_id: String,
    /// The secret access key.
    #[schemars(with = "String")]
    pub(super) secret_access_key: Secret,
    /// The session token of temporary keys.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub(super) session_token: Secret,
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let read = match &value {
            Value::Object(fields) if fields.contains_key("profile") => {
                serde_json::from_value(value).map(Self::Profile)
            }
            Value::Object(_) => serde_json::from_value(value).map(Self::Keys),
            _ => serde_json::from_value(value).map(|Word::Default| Self::Default).map_err(|_| {
                serde_json::Error::custom(
                    "`credentials` must be `default`, `{ profile: NAME }` or `{ access_key_id: …, secret_access_key: … }`",
                )
            }),
        };
        read.map_err(D::Error::custom)
    }
}

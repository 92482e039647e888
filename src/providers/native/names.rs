//! The API's model names, and the ids of the same models at each cloud.
use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::catalogue::billing::Place;

/// Ids that do not follow the rule: the API's name, its snapshot, and the id at Bedrock without
/// `anthropic.`.
///
/// The rule: a name with a date is `NAME-v1:0` at Bedrock and `NAME@DATE` at Vertex; one without is the
/// same everywhere. Mantle has neither date nor version.
const VERSIONED: &[(&str, &str)] = &[
    ("claude-opus-4-6", "claude-opus-4-6-v1"),
    ("claude-3-5-sonnet-20241022", "claude-3-5-sonnet-20241022-v2:0"),
];

/// The API's short names, and the snapshots that they stand for. The clouds know the snapshots only.
const SNAPSHOTS: &[(&str, &str)] = &[
    ("claude-opus-4-5", "claude-opus-4-5-20251101"),
    ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929"),
    ("claude-haiku-4-5", "claude-haiku-4-5-20251001"),
    ("claude-opus-4-1", "claude-opus-4-1-20250805"),
    ("claude-opus-4-0", "claude-opus-4-20250514"),
    ("claude-sonnet-4-0", "claude-sonnet-4-20250514"),
];

/// The prefix of an inference profile of Bedrock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::providers) enum Profile {
    /// Regions of the United States.
    Us,
    /// Regions of the European Union.
    Eu,
    /// Regions of Asia and the Pacific.
    Apac,
    /// Regions of Australia.
    Au,
    /// Regions of Japan.
    Jp,
    /// GovCloud.
    UsGov,
    /// All commercial regions.
    Global,
    /// The model in the provider's own region.
    None,
}

impl Profile {
    /// Returns the profile of the geography of a region. Most models cannot be called without one.
    pub(in crate::providers) fn of_region(region: &str) -> Self {
        match region.split('-').next() {
            Some("us") if region.starts_with("us-gov-") => Self::UsGov,
            Some("us") => Self::Us,
            Some("eu") => Self::Eu,
            Some("ap") => Self::Apac,
            _ => Self::Global,
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Us => "us.",
            Self::Eu => "eu.",
            Self::Apac => "apac.",
            Self::Au => "au.",
            Self::Jp => "jp.",
            Self::UsGov => "us-gov.",
            Self::Global => "global.",
            Self::None => "",
        }
    }
}

const PROFILES: [Profile; 7] = [
    Profile::Us,
    Profile::Eu,
    Profile::Apac,
    Profile::Au,
    Profile::Jp,
    Profile::UsGov,
    Profile::Global,
];

/// Returns the id of a model at Bedrock. An id, an ARN and any other name pass unchanged.
pub(in crate::providers) fn bedrock(model: &str, profile: Profile) -> Cow<'_, str> {
    let Some(name) = of_api(model) else { return model.into() };
    let versioned = VERSIONED.iter().find(|(api, _)| *api == name);
    let id = match (versioned, dated(name)) {
        (Some((_, id)), _) => Cow::Borrowed(*id),
        (None, Some(_)) => format!("{name}-v1:0").into(),
        (None, None) => name.into(),
    };
    format!("{}anthropic.{id}", profile.prefix()).into()
}

/// Returns the id of a model at Bedrock Mantle.
pub(in crate::providers) fn mantle(model: &str) -> Cow<'_, str> {
    let Some(name) = of_api(model) else { return model.into() };
    let name = dated(name).map_or(name, |(name, _)| name);
    format!("anthropic.{name}").into()
}

/// Returns the id of a model at Vertex AI.
pub(in crate::providers) fn vertex(model: &str) -> Cow<'_, str> {
    let name = of_api(model);
    match name.map(|name| (name, dated(name))) {
        None => model.into(),
        Some((name, None)) => name.to_owned().into(),
        Some((_, Some((name, date)))) => format!("{name}@{date}").into(),
    }
}

/// Returns a foundation model's id at Bedrock without the prefix of an inference profile.
pub(in crate::providers) fn without_profile(id: &str) -> &str {
    let bare = PROFILES.iter().find_map(|profile| id.strip_prefix(profile.prefix()));
    bare.filter(|bare| bare.starts_with("anthropic.")).unwrap_or(id)
}

/// Returns the place of an id at Bedrock: the profile of an id, or of the last part of an ARN, names it. An id without a
/// profile runs in the provider's own region. The profiles that an account makes itself have no known place.
pub(in crate::providers) fn place(id: &str) -> Place {
    let (arn, name) = id.rsplit_once('/').map_or(("", id), |(arn, name)| (arn, name));
    let profile = PROFILES.iter().find(|profile| name.starts_with(profile.prefix()));
    match profile {
        Some(Profile::Global) => Place::Global,
        Some(Profile::UsGov) => Place::Gov,
        Some(_) => Place::Region,
        None if arn.starts_with("arn:aws-us-gov:") => Place::Gov,
        None if name.starts_with("anthropic.") => Place::Region,
        None => Place::Global,
    }
}

/// Returns whether a model of Bedrock knows only the first version of the Messages API there: ids with
/// a version at their end, which are Opus 4.6 and older.
pub(in crate::providers) fn is_versioned(id: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let last = id.rsplit_once("-v").map_or("", |(_, version)| version);
    match last.split_once(':') {
        Some((major, minor)) => digits(major) && digits(minor),
        None => digits(last),
    }
}

/// Returns whether a cache entry of a model of Bedrock may have a `ttl`: Claude 4.5 and newer.
pub(in crate::providers) fn has_ttl(id: &str) -> bool {
    const OLD: [&str; 6] = [
        "claude-3",
        "claude-opus-4-1",
        "claude-opus-4-2025",
        "claude-sonnet-4-2025",
        "claude-instant",
        "claude-v2",
    ];
    !OLD.iter().any(|old| id.contains(old))
}

/// Returns the full name of a model in the API; `None` if this is no name of the API.
fn of_api(model: &str) -> Option<&str> {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !model.starts_with("claude-") || !model.bytes().all(is_name) || is_versioned(model) {
        return None;
    }
    let snapshot = SNAPSHOTS.iter().find(|(short, _)| *short == model);
    Some(snapshot.map_or(model, |(_, snapshot)| snapshot))
}

/// Splits a name that ends in a date.
fn dated(name: &str) -> Option<(&str, &str)> {
    let (rest, date) = name.rsplit_once('-')?;
    (date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit())).then_some((rest, date))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_api_become_the_ids_of_each_cloud() {
        let table = [
            (
                "claude-opus-5-5",
                "anthropic.claude-opus-5-5",
                "anthropic.claude-opus-5-5",
                "claude-opus-5-5",
            ),
            (
                "claude-fable-5-1",
                "anthropic.claude-fable-5-1",
                "anthropic.claude-fable-5-1",
                "claude-fable-5-1",
            ),
            (
                "claude-opus-4-7",
                "anthropic.claude-opus-4-7",
                "anthropic.claude-opus-4-7",
                "claude-opus-4-7",
            ),
            (
                "claude-opus-4-6",
                "anthropic.claude-opus-4-6-v1",
                "anthropic.claude-opus-4-6",
                "claude-opus-4-6",
            ),
            (
                "claude-sonnet-4-6",
                "anthropic.claude-sonnet-4-6",
                "anthropic.claude-sonnet-4-6",
                "claude-sonnet-4-6",
            ),
            (
                "claude-opus-4-5-20251101",
                "anthropic.claude-opus-4-5-20251101-v1:0",
                "anthropic.claude-opus-4-5",
                "claude-opus-4-5@20251101",
            ),
            (
                "claude-sonnet-4-5",
                "anthropic.claude-sonnet-4-5-20250929-v1:0",
                "anthropic.claude-sonnet-4-5",
                "claude-sonnet-4-5@20250929",
            ),
            (
                "claude-haiku-4-5-20251001",
                "anthropic.claude-haiku-4-5-20251001-v1:0",
                "anthropic.claude-haiku-4-5",
                "claude-haiku-4-5@20251001",
            ),
        ];
        for (name, runtime, on_mantle, on_vertex) in table {
            assert_eq!(bedrock(name, Profile::None), runtime);
            assert_eq!(bedrock(name, Profile::UsGov), format!("us-gov.{runtime}"));
            assert_eq!(mantle(name), on_mantle);
            assert_eq!(vertex(name), on_vertex);
        }
    }

    #[test]
    fn ids_of_a_cloud_pass_unchanged() {
        let ids = [
            "anthropic.claude-opus-5",
            "us.anthropic.claude-haiku-4-5-20251001-v1:0",
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123",
            "claude-haiku-4-5@20251001",
            "claude-opus-5-5@default",
            "my-deployment",
            "qwen3",
        ];
        for id in ids {
            assert_eq!(bedrock(id, Profile::Eu), id);
            assert_eq!(mantle(id), id);
            assert_eq!(vertex(id), id);
        }
    }

    #[test]
    fn an_id_names_its_place() {
        let table = [
            ("anthropic.claude-opus-5", Place::Region),
            ("us.anthropic.claude-opus-5", Place::Region),
            ("eu.anthropic.claude-haiku-4-5-20251001-v1:0", Place::Region),
            ("global.anthropic.claude-opus-5", Place::Global),
            ("us-gov.anthropic.claude-opus-4-5", Place::Gov),
            (
                "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/global.anthropic.claude-opus-5",
                Place::Global,
            ),
            (
                "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-opus-5",
                Place::Region,
            ),
            (
                "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/anthropic.claude-opus-4-5",
                Place::Gov,
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123",
                Place::Global,
            ),
            ("my-deployment", Place::Global),
        ];
        for (id, expected) in table {
            assert_eq!(place(id), expected, "{id}");
        }
    }

    #[test]
    fn a_region_has_the_profile_of_its_geography() {
        let table = [
            ("us-east-1", Profile::Us),
            ("us-gov-west-1", Profile::UsGov),
            ("eu-central-1", Profile::Eu),
            ("ap-northeast-1", Profile::Apac),
            ("ca-central-1", Profile::Global),
        ];
        for (region, profile) in table {
            assert_eq!(Profile::of_region(region), profile, "{region}");
        }
        assert_eq!(
            without_profile("us-gov.anthropic.claude-opus-4-5"),
            "anthropic.claude-opus-4-5"
        );
        assert_eq!(without_profile("us.meta.llama"), "us.meta.llama");
        assert_eq!(without_profile("anthropic.claude-opus-5"), "anthropic.claude-opus-5");
    }

    #[test]
    fn versions_at_the_end_of_an_id_are_recognized() {
        for (id, is) in [
            ("anthropic.claude-haiku-4-5-20251001-v1:0", true),
            ("us.anthropic.claude-opus-4-6-v1", true),
            ("anthropic.claude-3-5-sonnet-20241022-v2:0", true),
            ("anthropic.claude-opus-4-7", false),
            ("anthropic.claude-opus-5-v", false),
            ("anthropic.claude-opus-5-vision", false),
        ] {
            assert_eq!(is_versioned(id), is, "{id}");
        }
        assert!(
            has_ttl("us.anthropic.claude-sonnet-4-5-20250929-v1:0")
                && has_ttl("anthropic.claude-opus-5")
        );
        assert!(
            !has_ttl("us.anthropic.claude-sonnet-4-20250514-v1:0")
                && !has_ttl("anthropic.claude-3-haiku-20240307-v1:0")
        );
    }
}

//! Names: `glob`, and the family and version in the name of a model.
use std::cmp::Ordering;

use rhai::{Array, Dynamic, Engine};
use wildmatch::WildMatch;

use crate::policy::script::error::{AuthorError, Quoting, ScriptResult};
use crate::policy::script::place::List;

/// Registers the functions with an engine.
pub(super) fn register(engine: &mut Engine) {
    engine
        .register_fn("glob", glob)
        .register_fn("glob", |patterns: Array, text: &str| {
            glob_any(patterns.into_iter().map(Ok), text)
        })
        .register_fn("glob", |patterns: List, text: &str| glob_any(patterns.into_iter(), text))
        .register_fn("model_family", |name: &str| {
            Model::of(name).family.map_or(Dynamic::UNIT, |family| family.as_str().into())
        })
        .register_fn("model_version", |name: &str| {
            Model::of(name).version.map_or(Dynamic::UNIT, |version| dotted(&version).into())
        })
        .register_fn("model_at_least", at_least)
        .register_fn("model_at_least", |name: &str, version: i64| {
            at_least(name, &version.to_string())
        });
}

/// The longest pattern in bytes. Matching takes the product of both lengths.
const MAX_PATTERN: usize = 256;
const MAX_NAME: usize = 64 * 1024;

/// Matches a text with a pattern of the same form as under `when:`.
fn glob(pattern: &str, text: &str) -> ScriptResult<bool> {
    if pattern.len() > MAX_PATTERN || text.len() > MAX_NAME {
        let message = format!(
            "`glob` takes a pattern of at most {MAX_PATTERN} bytes and a text of at most {MAX_NAME}: use `regex_match` for longer ones"
        );
        return Err(AuthorError(message).into());
    }
    Ok(WildMatch::new(pattern).matches(text))
}

fn glob_any(patterns: impl Iterator<Item = ScriptResult>, text: &str) -> ScriptResult<bool> {
    for pattern in patterns {
        let pattern = pattern?.into_immutable_string().map_err(|kind| {
            AuthorError(format!("`glob` takes texts as patterns, not a value of type `{kind}`"))
        })?;
        if glob(&pattern, text)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The parts of a model's name: `claude-opus-4-6-20260101`, `claude-3-5-haiku-latest`,
/// `us.anthropic.claude-sonnet-4-5-20250929-v1:0`, `claude-opus-4@20250514`, `claude-sonnet-5[1m]`.
#[derive(Default)]
struct Model {
    family: Option<String>,
    version: Option<Vec<u64>>,
}

impl Model {
    const MAKER: &str = "claude-";
    /// The most digits of a version part; longer numbers are dates.
    const MAX_DIGITS: usize = 2;

    fn of(name: &str) -> Self {
        let mut model = Self::default();
        let Some((_, rest)) = name.rsplit_once(Self::MAKER) else { return model };
        let rest = rest.split(['@', ':', '[', '/']).next().unwrap_or_default();
        for word in rest.split('-') {
            match numbers(word) {
                Some(parts) if parts.iter().all(|part| part.len() <= Self::MAX_DIGITS) => {
                    let parts = parts.iter().filter_map(|part| part.parse::<u64>().ok());
                    model.version.get_or_insert_default().extend(parts);
                }
                // a date, or the release of a cloud provider
                Some(_) => break,
                None if is_release(word) => break,
                None if model.family.is_none() && is_word(word) => {
                    model.family = Some(word.to_owned());
                }
                None => break,
            }
        }
        model
    }
}

/// Returns the numbers of `4` or `4.5`.
fn numbers(word: &str) -> Option<Vec<&str>> {
    let parts: Vec<&str> = word.split('.').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    parts.iter().all(is_number).then_some(parts)
}

/// Returns whether the word is a release suffix such as `v1`.
fn is_release(word: &str) -> bool {
    word.strip_prefix('v').is_some_and(|digits| numbers(digits).is_some())
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase())
}

fn dotted(version: &[u64]) -> String {
    version.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

fn at_least(name: &str, version: &str) -> ScriptResult<bool> {
    let wrong = || Quoting {
        message: "`model_at_least` takes a version as \"4.5\"".to_owned(),
        quote: version.to_owned(),
    };
    let parts = numbers(version).ok_or_else(wrong)?;
    let wanted: Result<Vec<u64>, _> = parts.into_iter().map(str::parse).collect();
    let wanted = wanted.map_err(|_| wrong())?;
    Ok(Model::of(name).version.is_some_and(|has| compared(&has, &wanted) != Ordering::Less))
}

/// Compares versions part by part; a missing part is 0.
fn compared(one: &[u64], other: &[u64]) -> Ordering {
    let part = |version: &[u64], n: usize| version.get(n).copied().unwrap_or_default();
    let all = 0..one.len().max(other.len());
    all.map(|n| part(one, n).cmp(&part(other, n)))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

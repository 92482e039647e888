//! `const TEXT`: the windows that a policy's `on_text` needs, so that compiling it finds wrong ones.
use serde_json::{Map, Value};

use crate::policy::script::with::suggestion;
use crate::policy::window::{MAX_OVERLAP, WindowEnd, WindowRules};
use crate::policy::{Hook, Hooks};

/// The name of the constant.
pub(super) const NAME: &str = "TEXT";

const KEYS: &[&str] = &["window", "overlap"];

/// Reads the declaration of a policy with these hooks. Fails with the mistake.
///
/// A constant of the name that is no map is a usual one, unless the policy has `on_text`: then it may be a
/// mistake, which would leave a match unseen.
pub(super) fn rules(declared: Option<&Value>, hooks: Hooks) -> Result<WindowRules, String> {
    match (declared, hooks.has(Hook::Text)) {
        (Some(Value::Object(declared)), true) => read(declared),
        (Some(Value::Object(_)), false) => {
            Err("`TEXT` does nothing: the policy has no `on_text`".to_owned())
        }
        (Some(_), true) => {
            Err("`TEXT` must be a literal map: `const TEXT = #{ window: \"line\", overlap: 64 };`"
                .to_owned())
        }
        (Some(_) | None, _) => Ok(WindowRules::default()),
    }
}

fn read(declared: &Map<String, Value>) -> Result<WindowRules, String> {
    let mut rules = WindowRules::default();
    for (key, value) in declared {
        match key.as_str() {
            "window" => rules.end = end(value)?,
            "overlap" => rules.overlap = overlap(value)?,
            _ => {
                let nearest = suggestion(key, KEYS);
                return Err(format!("`TEXT` has `{key}`, which is not a known key{nearest}"));
            }
        }
    }
    Ok(rules)
}

fn end(value: &Value) -> Result<WindowEnd, String> {
    value.as_str().and_then(WindowEnd::named).ok_or_else(|| {
        format!("`window` of `TEXT` must be \"line\", \"sentence\" or \"block\", found {value}")
    })
}

fn overlap(value: &Value) -> Result<usize, String> {
    let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
    count.filter(|count| *count <= MAX_OVERLAP).ok_or_else(|| {
        format!(
            "`overlap` of `TEXT` must be a whole number of characters from 0 to {MAX_OVERLAP}, found {value}"
        )
    })
}

//! Handles parameters that a target does not support: skips the target, or drops the parameters.
mod drop;
#[cfg(test)]
mod tests;

use tidegate_sdk::prelude::*;

/// The plugin.
pub struct Strict;

impl Plugin for Strict {
    type Config = NoConfig;
    const HOOKS: &'static [Hook] = &[Hook::OnUnsupported];

    fn new(_: NoConfig) -> Result<Self> {
        Ok(Self)
    }

    fn on_upstream_request(&self, request: &mut Request<'_>, target: &Target) -> Result<Action> {
        match target.strictness.as_str() {
            "error" => Ok(Action::PassOver(told(target))),
            // a native upstream itself reports the parts that it does not support
            "off" if target.native => Ok(Action::Next),
            _ => {
                drop::unsupported(request, &target.unsupported)?;
                Ok(Action::Next)
            }
        }
    }
}

/// Returns the message: `` `up/m` does not understand `top_k`, `thinking` ``.
fn told(target: &Target) -> String {
    let Target { provider, model, unsupported, .. } = target;
    let names: Vec<String> = unsupported.iter().map(|name| format!("`{name}`")).collect();
    format!("`{provider}/{model}` does not understand {}", names.join(", "))
}

tidegate_sdk::export!(Strict);

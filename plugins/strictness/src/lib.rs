//! Decides what becomes of parameters that a target does not understand: passes it over, or drops them.
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
            // a native upstream says best itself what it does not take
            "off" if target.native => Ok(Action::Next),
            _ => {
                drop::unsupported(request, &target.unsupported)?;
                Ok(Action::Next)
            }
        }
    }
}

/// `` `up/m` does not understand `top_k`, `thinking` ``
fn told(target: &Target) -> String {
    let Target { provider, model, unsupported, .. } = target;
    let names: Vec<String> = unsupported.iter().map(|name| format!("`{name}`")).collect();
    format!("`{provider}/{model}` does not understand {}", names.join(", "))
}

tidegate_sdk::export!(Strict);

//! Declarative edits of requests: fields set, filled in, removed, renamed and capped, text around the system prompt.
mod edits;
#[cfg(test)]
mod tests;

use tidegate_sdk::prelude::*;

pub use edits::{Edits, System};

/// The plugin.
pub struct Rewrite {
    /// The edits of `plugins.config.rewrite`, which every stage of the plugin applies.
    edits: Edits,
}

impl Plugin for Rewrite {
    type Config = Edits;
    const HOOKS: &'static [Hook] = &[Hook::OnRequest];

    fn new(edits: Edits) -> Result<Self> {
        edits.check()?;
        Ok(Self { edits })
    }

    fn hooks(&self) -> Result<Vec<Hook>> {
        let own = of_stage()?;
        own.check()?;
        let has_work = [&self.edits, &own].into_iter().any(|edits| *edits != Edits::default());
        Ok(if has_work { Self::HOOKS.to_vec() } else { Vec::new() })
    }

    fn on_request(&self, request: &mut Request<'_>) -> Result<Action> {
        for edits in [&self.edits, &of_stage()?] {
            if let Some(refusal) = edits.apply(request)? {
                return Ok(refusal);
            }
        }
        Ok(Action::Next)
    }
}

/// Returns the edits of the stage's `with`.
fn of_stage() -> Result<Edits> {
    let own: Option<Edits> =
        host::context("with").map_err(|e| Problem::new("invalid_config", e.message))?;
    Ok(own.unwrap_or_default())
}

tidegate_sdk::export!(Rewrite);

//! Declarative edits of requests: fields set, filled in, removed, renamed and capped, text around the system prompt.
mod edits;
#[cfg(test)]
mod tests;

use tidegate_sdk::prelude::*;

pub use edits::{Edits, System};

/// The plugin.
pub struct Rewrite {
    /// Those of `plugins.config.rewrite`, which every stage of the plugin makes.
    edits: Edits,
}

impl Plugin for Rewrite {
    type Config = Edits;
    const HOOKS: &'static [Hook] = &[Hook::OnRequest];

    fn new(edits: Edits) -> Result<Self> {
        edits.check()?;
        Ok(Self { edits })
    }

    fn on_request(&self, request: &mut Request<'_>) -> Result<Action> {
        let own: Option<Edits> = host::context("with")
            .map_err(|e| Problem::new("invalid_config", format!("`with`: {}", e.message)))?;
        let own = own.unwrap_or_default();
        own.check()?;
        for edits in [&self.edits, &own] {
            if let Some(refusal) = edits.apply(request)? {
                return Ok(refusal);
            }
        }
        Ok(Action::Next)
    }
}

tidegate_sdk::export!(Rewrite);

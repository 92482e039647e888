//! The order in which the targets of an alias are tried.
use std::hash::Hasher as _;
use std::sync::Arc;

use fnv::FnvHasher;

use crate::models::{Alias, Strategy, Target};

/// A request's preferences for the order. Names are those of providers, or `provider/model`.
pub struct Preference<'a> {
    /// The targets to try first, in this order.
    pub first: &'a [String],
    /// The only allowed targets; all if `None`.
    pub only: Option<&'a [String]>,
    /// The forbidden targets.
    pub not: &'a [String],
}

impl Alias {
    /// Returns the targets, first choice first. Under `weighted`, a session always gets the same order as
    /// long as the targets are the same. An empty session gets a random order.
    pub fn order(&self, session: &str) -> Vec<&Arc<Target>> {
        let mut targets: Vec<&Arc<Target>> = self.targets.iter().collect();
        if self.strategy == Strategy::Weighted && targets.len() > 1 {
            let salt = if session.is_empty() { fastrand::u64(..) } else { 0 };
            targets.sort_by(|a, b| {
                let (a, b) = (score(a, session, salt), score(b, session, salt));
                b.total_cmp(&a)
            });
        }
        targets
    }

    /// Returns the targets that `preference` allows, in its order; `model` is the requested model.
    pub fn order_by(
        &self,
        session: &str,
        model: &str,
        preference: &Preference<'_>,
    ) -> Vec<&Arc<Target>> {
        let mut targets = self.order(session);
        if let Some(only) = preference.only {
            targets.retain(|target| only.iter().any(|name| target.is_named(name, model)));
        }
        targets.retain(|target| !preference.not.iter().any(|name| target.is_named(name, model)));
        targets.sort_by_key(|target| {
            let mut first = preference.first.iter();
            first.position(|name| target.is_named(name, model)).unwrap_or(usize::MAX)
        });
        targets
    }

    /// Returns whether some target has this name.
    pub fn has_target(&self, name: &str, model: &str) -> bool {
        self.targets.iter().any(|target| target.is_named(name, model))
    }
}

impl Target {
    /// Compares a name with the provider's, or with `x-tidegate-target` of a request for `model`.
    fn is_named(&self, name: &str, model: &str) -> bool {
        let Some(rest) = name.strip_prefix(&self.provider_name) else { return false };
        let own = self.model.as_deref().unwrap_or(model);
        rest.is_empty() || rest.strip_prefix('/') == Some(own)
    }
}

/// Weighted rendezvous hashing: each target draws a number from the session's name. An added or removed
/// target moves only its own share of the sessions.
fn score(target: &Target, session: &str, salt: u64) -> f64 {
    let draw = ((draw(&target.key, session, salt) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    f64::from(target.weight) / -draw.ln()
}

/// FNV-1a: the same in every version and on every machine, which std's hasher does not guarantee.
fn draw(target: &str, session: &str, salt: u64) -> u64 {
    let mut hasher = FnvHasher::with_key(FnvHasher::default().finish() ^ salt);
    hasher.write(session.as_bytes());
    hasher.write(&[0]);
    hasher.write(target.as_bytes());
    mix(hasher.finish())
}

/// Spreads the bits with the finalizer of SplitMix64: FNV's high bits depend little on the last bytes.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests;

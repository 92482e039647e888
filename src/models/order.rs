//! In which order the targets of an alias are tried.
use std::hash::Hasher as _;
use std::sync::Arc;

use fnv::FnvHasher;

use crate::models::{Alias, Strategy, Target};

/// What a request wants of the order. Names are those of providers, or `provider/model`.
pub struct Preference<'a> {
    /// These first, in this order.
    pub first: &'a [String],
    /// No others.
    pub only: Option<&'a [String]>,
    /// Not these.
    pub not: &'a [String],
}

impl Alias {
    /// The targets, first choice first. Under `weighted` the same session gets the same order as
    /// long as the targets are the same; an empty session stands for nobody and is drawn anew.
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

    /// The same as far as the request wants it; `model` is what it asks this alias for.
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

    /// Some target goes by this name.
    pub fn has_target(&self, name: &str, model: &str) -> bool {
        self.targets.iter().any(|target| target.is_named(name, model))
    }
}

impl Target {
    /// By its provider, or as `x-tidegate-target` shows it to a request for `model`.
    fn is_named(&self, name: &str, model: &str) -> bool {
        let Some(rest) = name.strip_prefix(&self.provider_name) else { return false };
        let own = self.model.as_deref().unwrap_or(model);
        rest.is_empty() || rest.strip_prefix('/') == Some(own)
    }
}

/// Weighted rendezvous hashing: each target draws a number from the session's name, and a target
/// that comes or goes moves only its own share of the sessions.
fn score(target: &Target, session: &str, salt: u64) -> f64 {
    let draw = ((draw(&target.key, session, salt) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    f64::from(target.weight) / -draw.ln()
}

/// The same in every version and on every machine, which std's hasher does not promise: FNV-1a.
fn draw(target: &str, session: &str, salt: u64) -> u64 {
    let mut hasher = FnvHasher::with_key(FnvHasher::default().finish() ^ salt);
    hasher.write(session.as_bytes());
    hasher.write(&[0]);
    hasher.write(target.as_bytes());
    mix(hasher.finish())
}

/// FNV's high bits depend little on the last bytes; this spreads them (the finalizer of SplitMix64).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests;

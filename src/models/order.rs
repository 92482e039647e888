//! The order in which the targets of an alias are tried.
use std::hash::Hasher as _;
use std::sync::Arc;
use std::time::Instant;

use fnv::FnvHasher;

use crate::catalogue::estimate::quick_estimate;
use crate::catalogue::price::today;
use crate::models::pace::{Measure, Standing};
use crate::models::{Alias, Sort, Strategy, Target};
use crate::wire::MessagesRequest;

/// A request's preferences for the order. Names are those of providers, or `provider/model`.
pub(crate) struct Preference<'a> {
    /// The targets to try first, in this order.
    pub first: &'a [String],
    /// The only allowed targets; all if `None`.
    pub only: Option<&'a [String]>,
    /// The forbidden targets.
    pub not: &'a [String],
    /// The order of the other targets, instead of the alias's.
    pub sort: Option<Sort>,
}

impl Preference<'_> {
    /// No preference.
    pub(crate) const NONE: Self = Self { first: &[], only: None, not: &[], sort: None };
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

    /// Returns the targets that `preference` allows, in its order; `model` is the name that led to the alias. A target that
    /// the request is to measure is noted as such.
    pub(crate) fn order_by(
        &self,
        session: &str,
        model: &str,
        preference: &Preference<'_>,
        request: &MessagesRequest,
    ) -> Vec<&Arc<Target>> {
        let mut targets = self.order(session);
        if let Some(only) = preference.only {
            targets.retain(|target| only.iter().any(|name| target.is_named(name, model)));
        }
        targets.retain(|target| !preference.not.iter().any(|name| target.is_named(name, model)));
        let measure = match preference.sort.or(self.sort) {
            None => None,
            Some(Sort::Cost) => {
                targets.sort_by_cached_key(|target| price(target, model, request));
                None
            }
            Some(Sort::Latency) => Some(Measure::Latency),
            Some(Sort::Throughput) => Some(Measure::Throughput),
        };
        let now = Instant::now();
        let standing = |target: &Target, by| target.health.pace.standing(by, request.endpoint, now);
        if let Some(by) = measure {
            let rank = |target: &Arc<Target>| standing(target, by).rank();
            targets.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
        }
        targets.sort_by_key(|target| target.position(preference.first, model));
        if let (Some(by), Some(first)) = (measure, targets.first())
            && standing(first, by) == Standing::Due
        {
            first.health.pace.try_out(now);
        }
        targets
    }

    /// Returns whether some target has this name.
    pub fn has_target(&self, name: &str, model: &str) -> bool {
        self.targets.iter().any(|target| target.is_named(name, model))
    }
}

/// Returns the highest possible price of a request in pico-dollars: all of its estimated input without a cache, and the
/// most output that it allows. A target without a price is dearer than any other.
fn price(target: &Target, model: &str, request: &MessagesRequest) -> u128 {
    let Some(row) = target.row(model) else { return u128::MAX };
    let price = row.price.as_ref().and_then(|price| price.on(today()));
    let Some(price) = price else { return u128::MAX };
    let wanted = request.document().field("max_tokens");
    let wanted = wanted.and_then(|text| serde_json::from_slice::<f64>(&text).ok());
    let most = row.max_output.unwrap_or(u64::MAX);
    let output = wanted.map_or(0, |wanted| (wanted as u64).min(most));
    price.of(quick_estimate(request, Some(row)), output)
}

impl Target {
    /// Returns the position of the target in a list of names; the highest number if it is not there.
    pub(crate) fn position(&self, names: &[String], model: &str) -> usize {
        names.iter().position(|name| self.is_named(name, model)).unwrap_or(usize::MAX)
    }

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

//! Metrics of the key store.
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::telemetry::series::{Labels, add, labels};

/// The metrics of the key store. Cloning shares them.
#[derive(Clone)]
pub(crate) struct KeyMetrics {
    states: Family<Labels, Gauge>,
    keys: Gauge,
    generation: Gauge,
    failures: Counter,
}

/// The state of a key store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyState {
    /// There is no key store.
    Off,
    /// The store answers.
    Current,
    /// The store does not answer; known keys count.
    Stale,
    /// The store has not answered for too long; its keys are refused.
    Refusing,
}

impl KeyState {
    const ALL: [Self; 4] = [Self::Off, Self::Current, Self::Stale, Self::Refusing];

    fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Current => "current",
            Self::Stale => "stale",
            Self::Refusing => "refusing",
        }
    }
}

impl KeyMetrics {
    pub(super) fn new(r: &mut Registry) -> Self {
        let state = "1 for the state of the key store, 0 for the others";
        let this = Self {
            states: add(r, "key_store_state", state, Family::default()),
            keys: add(r, "key_store_keys", "Keys in the key store", Gauge::default()),
            generation: add(
                r,
                "key_store_generation",
                "Generation of the keys in memory, which counts up with each change",
                Gauge::default(),
            ),
            failures: add(
                r,
                "key_store_failures",
                "Failed attempts to read the key store",
                Counter::default(),
            ),
        };
        this.state(KeyState::Off);
        this
    }

    /// Notes the present state.
    pub(crate) fn state(&self, now: KeyState) {
        for state in KeyState::ALL {
            let labels = labels([("state", state.as_str())]);
            self.states.get_or_create_owned(&labels).set((state == now).into());
        }
    }

    /// Notes the keys in memory.
    pub(crate) fn loaded(&self, generation: u64, keys: usize) {
        self.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
    }

    /// Counts a failure, and notes the state.
    pub(crate) fn failed(&self, state: KeyState) {
        self.failures.inc();
        self.state(state);
    }
}

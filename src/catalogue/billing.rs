//! Exact amounts of money, and the rules that change the price of tokens: factors of a service, fees of server tools.
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Deserializer};

use crate::catalogue::price::PicoDollars;
use crate::wire::Spent;
use crate::wire::usage::{Geo, Mode, Speed, Tier};

/// Three factors in thousandths: an amount is a number of these parts of a pico-dollar.
const PARTS: u128 = 1000 * 1000 * 1000;
/// The parts of an amount in a nano-dollar.
const NANO: u128 = PARTS * 1000;

/// An exact amount of money: thousand-millionths of a pico-dollar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Amount(u128);

impl Amount {
    /// Returns whole nano-dollars, a half rounded up.
    pub(crate) fn nano_dollars(self) -> i64 {
        i64::try_from((self.0 + NANO / 2) / NANO).unwrap_or(i64::MAX)
    }

    /// Returns the difference; nothing if the other amount is larger.
    pub(crate) fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    pub(super) fn of(pico: PicoDollars, number: u64) -> Self {
        Self(u128::from(pico.0) * u128::from(number) * PARTS)
    }

    pub(super) fn times(self, factors: [Factor; 3]) -> Self {
        let product = factors.iter().map(|factor| u128::from(factor.0)).product::<u128>();
        Self(self.0 / PARTS * product)
    }
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// A factor of all rates, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Factor(u32);

impl Factor {
    const ONE: Self = Self(1000);
}

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let factor = f64::deserialize(deserializer)?;
        let thousandths = (factor * 1000.0).round();
        if !(0.0..=100_000.0).contains(&thousandths) || (factor * 1000.0 - thousandths).abs() > 1e-6
        {
            let message =
                format!("expected a factor from 0 to 100 with at most 3 decimals, found {factor}");
            return Err(serde::de::Error::custom(message));
        }
        Ok(Self(thousandths as u32))
    }
}

/// The place where a cloud runs a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Place {
    /// Anywhere, or a place that costs nothing more.
    #[default]
    Global,
    /// A region, or the regions of a geography.
    Region,
    /// A region for the government of the United States.
    Gov,
}

/// The factors of a model's rates by the service that the answer names, and by the place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Factors {
    /// `usage.speed: fast`
    fast: Option<Factor>,
    /// `usage.inference_geo: us`
    us: Option<Factor>,
    /// An endpoint of a region or a geography at a cloud.
    region: Option<Factor>,
    /// GovCloud.
    gov: Option<Factor>,
    /// `usage.service_tier: batch`
    batch: Option<Factor>,
    /// `usage.service_tier: flex`
    flex: Option<Factor>,
    /// `usage.service_tier: priority`
    priority: Option<Factor>,
}

impl Factors {
    /// Returns the factors that apply. One that the table does not name is 1. Fast mode is never part of a batch.
    pub(super) fn of(self, mode: Mode, place: Place) -> [Factor; 3] {
        let tier = match mode.tier {
            Tier::Standard => None,
            Tier::Batch => self.batch,
            Tier::Flex => self.flex,
            Tier::Priority => self.priority,
        };
        let speed = match mode.speed {
            Speed::Fast if mode.tier != Tier::Batch => self.fast,
            Speed::Fast | Speed::Standard => None,
        };
        let geo = match (place, mode.geo) {
            (Place::Region, _) => self.region,
            (Place::Gov, _) => self.gov,
            (Place::Global, Geo::Us) => self.us,
            (Place::Global, Geo::Global) => None,
        };
        [tier, speed, geo].map(|factor| factor.unwrap_or(Factor::ONE))
    }

    /// Adds the factors that `self` leaves out.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            fast: self.fast.or(other.fast),
            us: self.us.or(other.us),
            region: self.region.or(other.region),
            gov: self.gov.or(other.gov),
            batch: self.batch.or(other.batch),
            flex: self.flex.or(other.flex),
            priority: self.priority.or(other.priority),
        }
    }
}

/// The billing rules of a provider, for all its models.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Billing {
    /// The factors of models without their own.
    #[serde(default)]
    pub(super) factors: Factors,
    /// The fees of the provider's server tools.
    #[serde(default)]
    pub(super) fees: Fees,
}

impl Billing {
    /// Adds the rules that `self` leaves out.
    pub(super) fn over(self, other: Self) -> Self {
        let (own, fees) = (self.fees, other.fees);
        let fees = Fees {
            web_search: own.web_search.or(fees.web_search),
            web_fetch: own.web_fetch.or(fees.web_fetch),
        };
        Self { factors: self.factors.or(other.factors), fees }
    }
}

/// Dollars for a thousand calls of a server tool. A tool without a fee costs its tokens only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fees {
    web_search: Option<PicoDollars>,
    web_fetch: Option<PicoDollars>,
}

impl Fees {
    pub(super) fn of(self, spent: &Spent) -> Amount {
        let calls =
            [(self.web_search, spent.calls.searches), (self.web_fetch, spent.calls.fetches)];
        // a price "for a million" is a thousandth of one "for a thousand"
        let fee = |fee: Option<PicoDollars>| PicoDollars(fee.unwrap_or_default().0 * 1000);
        calls
            .into_iter()
            .fold(Amount::default(), |sum, (price, number)| sum + Amount::of(fee(price), number))
    }
}

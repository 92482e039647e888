//! `Store`: the counters of a generation: in memory, or in Redis with a way to count while it is away.
//!
//! With Redis, the memory has what this gateway used by itself. `away: local` goes on with that.
use std::sync::Arc;
use std::time::Duration;

use crate::limits::claim::{Claim, Kind, Level, Mark, Now, Over};
use crate::limits::config::Away;
use crate::limits::memory::{Memory, Settled};
use crate::limits::shared::{Held, Holder, Shared};
use crate::telemetry::limits::LimitMetrics;

/// The advice for a request that is rejected since Redis is away.
pub(super) const AWAY_WAIT: Duration = Duration::from_secs(5);
/// The time after which a request that waits tries again at counters that others change.
const POLL: Duration = Duration::from_millis(250);

/// The counters that a generation uses.
#[derive(Debug)]
pub(crate) struct Store {
    memory: Arc<Memory>,
    shared: Option<Arc<Shared>>,
    away: Away,
    metrics: LimitMetrics,
}

/// A reserved claim, in each place that counts it.
#[derive(Debug)]
pub(crate) struct Ticket {
    own: Mark,
    shared: Option<(Holder, Held)>,
    /// Whether the reservation reached the warning of its sum.
    pub(super) warns: bool,
}

/// The reason for which nothing is reserved.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Some claims do not fit.
    Over(Vec<Over>),
    /// Redis is away, and no request passes without it.
    Away,
}

/// A reservation, and the amount that it really used.
#[derive(Debug)]
pub(crate) struct Settlement<'a> {
    /// The claim.
    pub(crate) claim: &'a Claim,
    /// Its reservation.
    pub(crate) ticket: &'a Ticket,
    /// The true amount.
    pub(crate) used: u64,
}

impl Ticket {
    /// Returns the reserved amount.
    pub(super) fn amount(&self) -> u64 {
        self.shared.as_ref().map_or(self.own.amount, |(_, held)| held.mark.amount)
    }
}

impl Store {
    pub(super) fn new(
        memory: &Arc<Memory>,
        shared: Option<Arc<Shared>>,
        away: Away,
        metrics: &LimitMetrics,
    ) -> Self {
        Self { memory: Arc::clone(memory), shared, away, metrics: metrics.clone() }
    }

    /// Returns the state of each counter of a rule in this process, with its owner. With Redis that is the share of this
    /// gateway only.
    pub(super) fn levels(&self, rule: &str, kind: Kind, now: Now) -> Vec<(Box<str>, Level)> {
        self.memory.levels(rule, kind, now)
    }

    /// Returns whether several gateways share the counters.
    pub(super) fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Returns the current time.
    pub(crate) fn now(&self) -> Now {
        self.memory.now()
    }

    /// Reserves all claims, or none of them. Exempt claims always fit.
    pub(crate) async fn reserve(&self, claims: &[Claim], now: Now) -> Result<Vec<Ticket>, Refusal> {
        if claims.is_empty() {
            return Ok(Vec::new());
        }
        let Some(shared) = &self.shared else {
            return self.reserve_here(claims, now);
        };
        match shared.reserve(claims, now).await {
            Ok(Ok(reserved)) => {
                let own = self.memory.charge(claims, now);
                let (holder, held) = reserved.taken();
                let both = own.into_iter().zip(held);
                let tickets = both.map(|(own, (held, warns))| {
                    let shared = Some((Arc::clone(&holder), held));
                    Ticket { own, shared, warns }
                });
                Ok(tickets.collect())
            }
            Ok(Err(over)) => Err(Refusal::Over(over)),
            Err(_) => {
                self.metrics.unreachable.inc();
                match self.away {
                    Away::Local => self.reserve_here(claims, now),
                    Away::Open => Ok(self.tickets(claims, self.memory.charge(claims, now))),
                    Away::Closed => Err(Refusal::Away),
                }
            }
        }
    }

    fn reserve_here(&self, claims: &[Claim], now: Now) -> Result<Vec<Ticket>, Refusal> {
        let marks = self.memory.reserve(claims, now).map_err(Refusal::Over)?;
        Ok(self.tickets(claims, marks))
    }

    fn tickets(&self, claims: &[Claim], marks: Vec<Mark>) -> Vec<Ticket> {
        let both = claims.iter().zip(marks);
        let tickets = both.map(|(claim, own)| {
            let warns = self.memory.warns(claim);
            Ticket { own, shared: None, warns }
        });
        tickets.collect()
    }

    /// Returns whether all claims fit, and reserves nothing.
    pub(crate) async fn check(&self, claims: &[Claim], now: Now) -> Result<(), Refusal> {
        let here = || match self.memory.over(claims, now) {
            over if over.is_empty() => Ok(()),
            over => Err(Refusal::Over(over)),
        };
        let Some(shared) = self.shared.as_ref().filter(|_| !claims.is_empty()) else {
            return here();
        };
        match shared.over(claims, now).await {
            Ok(over) if over.is_empty() => Ok(()),
            Ok(over) => Err(Refusal::Over(over)),
            Err(_) => {
                self.metrics.unreachable.inc();
                match self.away {
                    Away::Local => here(),
                    Away::Open => Ok(()),
                    Away::Closed => Err(Refusal::Away),
                }
            }
        }
    }

    /// Replaces reserved amounts by the true ones. Returns the settlements that reach the warning of their sum.
    pub(crate) fn settle(&self, settlements: &[Settlement<'_>]) -> Vec<usize> {
        let now = self.now();
        let own = settlements.iter().map(|Settlement { claim, ticket, used }| Settled {
            id: &claim.id,
            mark: ticket.own,
            used: *used,
        });
        self.memory.settle(own, now);
        let mut by_holder: Vec<(&Holder, Vec<(Held, u64)>)> = Vec::new();
        let mut warnings = Vec::new();
        for (n, Settlement { claim, ticket, used }) in settlements.iter().enumerate() {
            let Some((holder, held)) = &ticket.shared else {
                warnings.extend(self.memory.warns(claim).then_some(n));
                continue;
            };
            match by_holder.last_mut() {
                Some((known, settled)) if *known == holder => settled.push((held.clone(), *used)),
                _ => by_holder.push((holder, vec![(held.clone(), *used)])),
            }
        }
        if let Some(shared) = &self.shared {
            for (holder, settled) in by_holder {
                shared.settle(Arc::clone(holder), settled, Some(now));
            }
        }
        warnings
    }

    /// Returns whether the ended requests of this gateway have used up a sum, for the first time in its period.
    pub(super) fn is_newly_spent(&self, claim: &Claim) -> bool {
        self.memory.is_newly_spent(claim)
    }

    /// Returns whether a sum that is used up refuses for the first time in its period at this gateway.
    pub(super) fn is_newly_refused(&self, claim: &Claim) -> bool {
        self.memory.is_newly_refused(claim)
    }

    /// Returns the state of a claim's counter. Of Redis it is the state that this gateway knows.
    pub(crate) fn level(&self, claim: &Claim, now: Now) -> Level {
        match &self.shared {
            Some(shared) if shared.is_there() => shared.level(claim, now),
            _ => self.memory.level(claim, now),
        }
    }

    /// Returns the amount of a sum that ended requests used. Of Redis it is the state before the claim's own reservation.
    pub(super) fn spent(&self, claim: &Claim, now: Now) -> u64 {
        match &self.shared {
            Some(shared) if shared.is_there() => {
                shared.level(claim, now).used.saturating_sub(claim.amount)
            }
            _ => self.memory.spent(claim),
        }
    }

    /// Returns the time after which it is worth while to try a claim again.
    pub(super) fn next_try(&self, wait: Duration) -> Duration {
        let wait = wait.max(Duration::from_millis(1));
        match self.shared {
            Some(_) => wait.min(POLL),
            None => wait,
        }
    }
}

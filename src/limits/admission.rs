//! `Admission`: the reservation of one exchange, from before its first upstream call to its settlement.
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::auth::Caller;
use crate::catalogue::cost::Charge;
use crate::error::{Error, Result};
use crate::limits::claim::{Claim, CounterId, Kind, Now};
use crate::limits::notices;
use crate::limits::queue::LineId;
use crate::limits::refusal::{self, Decision, Refused, Rejection};
use crate::limits::rule::{Estimate, Rule, Unit};
use crate::limits::rules::{Asked, Claimed, Limits, Name};
use crate::limits::store::{Refusal, Settlement, Ticket};
use crate::limits::waiting::Waits;
use crate::telemetry::record::{Attempt, Record};

/// The reservation of one exchange. Its owner settles it once, with the record of the exchange.
#[derive(Debug)]
pub struct Admission {
    pub(super) limits: Arc<Limits>,
    source: Source,
    state: Mutex<State>,
}

/// The sender of a request.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A client.
    Client,
    /// A plugin, within a client's request with this reservation. It counts tokens and money, but is no request of the
    /// client.
    Plugin(Option<Arc<Admission>>),
}

/// The decision about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// The request may be sent.
    Whole,
    /// A budget is used up: the request goes to this alias, and is admitted again under its name.
    Route(String),
    /// A limit or a budget of these fallbacks is reached: the request is admitted again without them.
    Without(Vec<Box<str>>),
}

/// A request that asks for admission.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The client.
    pub(crate) caller: &'a Caller,
    /// The models that the request may use, its own first.
    pub(crate) names: &'a [Name],
    /// The amounts that it will need.
    pub(crate) estimate: Estimate,
}

impl<'a> Wanted<'a> {
    fn asked(&self) -> Asked<'a> {
        let Self { caller, names, estimate, .. } = *self;
        Asked { caller, names, target: None, estimate }
    }
}

type Tried = std::result::Result<Admitted, Rejection>;

#[derive(Debug, Default)]
struct State {
    facts: Option<Facts>,
    /// The reservation of the exchange.
    own: Vec<Placed>,
    /// The reservation of the current target, and the number of attempts before it.
    target: Option<(Vec<Placed>, usize)>,
    /// The claims that apply to the exchange, reserved or refused.
    shown: Vec<Claimed>,
    /// The budget that is used up and rejected the exchange.
    exhausted: Option<Claimed>,
    /// The sums of the budgets that sent the request to another model. They refuse no more.
    rerouted: Vec<CounterId>,
    /// The models from which budgets sent the request on.
    left: Vec<Box<str>>,
    /// The estimate of the request, for limits of targets.
    estimate: Estimate,
}

/// The request before the first stage, for policies.
#[derive(Debug, Clone)]
struct Facts {
    caller: Arc<Caller>,
    name: Name,
}

#[derive(Debug)]
struct Placed {
    claimed: Claimed,
    ticket: Ticket,
}

impl Admission {
    /// Starts without any reservation.
    pub(crate) fn new(limits: &Arc<Limits>, source: Source) -> Arc<Self> {
        Arc::new(Self { limits: Arc::clone(limits), source, state: Mutex::default() })
    }

    /// Notes the request before the first stage.
    pub(crate) fn note(&self, caller: &Arc<Caller>, name: Name) {
        self.state.lock().facts = Some(Facts { caller: Arc::clone(caller), name });
    }

    /// Returns whether the price of a request matters.
    pub(crate) fn needs_price(&self, caller: &Caller) -> bool {
        self.limits.has_budgets(caller)
    }

    /// Reserves what a request will need by estimate. A request over a limit whose rule has a `wait` waits for it.
    /// `waits` is the same for all that the request tries, so that it waits no longer than a rule says and keeps its
    /// place.
    ///
    /// Fails with a 429 that names the limit or the budget, and then reserves nothing.
    pub(crate) async fn admit(
        &self,
        wanted: Wanted<'_>,
        waits: &mut Waits<'_>,
    ) -> Result<Admitted> {
        self.state.lock().estimate = wanted.estimate;
        self.line_up(&wanted, waits);
        loop {
            waits.turn().await;
            let rejection = match self.tried(&wanted).await {
                Ok(Admitted::Whole) => {
                    waits.admitted();
                    return Ok(Admitted::Whole);
                }
                Ok(other) => return Ok(other),
                Err(rejection) => rejection,
            };
            if !waits.again(rejection.wait.clone()).await {
                return Err(self.rejected(rejection));
            }
        }
    }

    /// Counts a rejection, notes a budget that is used up, and returns the error.
    fn rejected(&self, mut rejection: Rejection) -> Error {
        self.state.lock().exhausted = rejection.exhausted.take();
        rejection.counted()
    }

    /// Begins the wait of a request, which is over at once unless a limit refuses it.
    pub(crate) fn waits<'a>(&'a self, caller: &'a Caller, end: Option<Instant>) -> Waits<'a> {
        Waits::new(&self.limits, caller, end)
    }

    /// Takes a place after the requests that wait for a limit already.
    fn line_up(&self, wanted: &Wanted<'_>, waits: &mut Waits<'_>) {
        if self.limits.queue.is_empty() {
            return;
        }
        let claims = self.quota_claims(&wanted.asked()).into_iter();
        waits.after_others(claims.filter_map(|claimed| match claimed.rule {
            Rule::Quota(quota) => Some((LineId::Counter(claimed.claim.id), quota.wait?)),
            Rule::Budget(_) => None,
        }));
    }

    /// Tries to reserve.
    async fn tried(&self, wanted: &Wanted<'_>) -> Tried {
        let (now, names) = (self.limits.store.now(), wanted.names);
        let asked = wanted.asked();
        let mut claimed = self.quota_claims(&asked);
        claimed.extend(self.limits.budget_claims(&asked, now));
        let model = names.first().map_or("", |own| &own.model);
        self.noted(&mut claimed, names, model);
        match self.take(&mut claimed, now).await {
            Ok(tickets) => {
                let mut placed = placed(claimed, tickets);
                self.warn(&mut placed, wanted.caller);
                let mut state = self.state.lock();
                let both = state.shown.iter_mut().zip(&placed);
                both.for_each(|(shown, placed)| shown.claim.amount = placed.ticket.amount());
                state.own = placed;
                Ok(Admitted::Whole)
            }
            Err(Refusal::Away) => Err(refusal::away()),
            Err(Refusal::Over(over)) => {
                notices::refused(&self.limits, &claimed, &over, wanted.caller);
                let mut state = self.state.lock();
                match (Refused { claimed: &claimed, over, names, left: &state.left }).decided() {
                    Decision::Without(names) => Ok(Admitted::Without(names)),
                    Decision::Route(to, sums) => {
                        state.rerouted.extend(sums);
                        state.left.push(model.into());
                        Ok(Admitted::Route(to))
                    }
                    Decision::Reject(rejection) => Err(*rejection),
                }
            }
        }
    }

    /// Notes the claims of the request. A budget that led to the model charges it and refuses fallbacks only.
    fn noted(&self, claimed: &mut [Claimed], names: &[Name], model: &str) {
        let mut state = self.state.lock();
        state.shown = claimed.to_vec();
        for claimed in claimed {
            claimed.spares_own = self.is_exempt(&state, claimed, model);
            claimed.claim.is_exempt = claimed.spares_own && claimed.others(names).is_empty();
        }
    }

    /// Fails with a 429 if a budget of the client is used up. Reserves nothing: on a forwarded route the gateway does
    /// not see a model or a price.
    pub(crate) async fn ask_budgets(&self, caller: &Caller) -> Result<()> {
        let now = self.limits.store.now();
        let asked = Asked { caller, names: &[], target: None, estimate: Estimate::default() };
        let claimed = self.limits.budget_claims(&asked, now);
        self.state.lock().shown.clone_from(&claimed);
        let rejection = match self.limits.store.check(&claims(&claimed), now).await {
            Ok(()) => return Ok(()),
            Err(Refusal::Away) => refusal::away(),
            Err(Refusal::Over(over)) => {
                notices::refused(&self.limits, &claimed, &over, caller);
                let longest = over.iter().max_by_key(|over| (over.cause, over.wait));
                longest.map_or_else(refusal::unknown, |over| {
                    refusal::rejected(&claimed[over.claim], over)
                })
            }
        };
        Err(self.rejected(rejection))
    }

    /// Returns the claims on limits that count a request of this source.
    fn quota_claims(&self, asked: &Asked<'_>) -> Vec<Claimed> {
        let mut claimed = self.limits.quota_claims(asked);
        claimed.retain(|claimed| self.counts(&claimed.rule));
        claimed
    }

    fn counts(&self, rule: &Rule) -> bool {
        let is_of_client = matches!(rule.unit(), Some(Unit::Requests | Unit::Concurrent));
        matches!(self.source, Source::Client) || !is_of_client
    }

    /// Reserves all claims, or none of them. Where a plugin's call does not fit, the reservation of the client's request
    /// for the same counter stands for both: the call would wait for its own request.
    async fn take(
        &self,
        claimed: &mut [Claimed],
        now: Now,
    ) -> std::result::Result<Vec<Ticket>, Refusal> {
        let taken = self.limits.store.reserve(&claims(claimed), now).await;
        let (Err(Refusal::Over(over)), Source::Plugin(Some(outer))) = (&taken, &self.source) else {
            return taken;
        };
        for over in over {
            let claim = &mut claimed[over.claim].claim;
            if outer.holds(&claim.id) {
                claim.amount = 0;
            }
        }
        self.limits.store.reserve(&claims(claimed), now).await
    }

    fn holds(&self, id: &CounterId) -> bool {
        let state = self.state.lock();
        let target = state.target.iter().flat_map(|(placed, _)| placed);
        state.own.iter().chain(target).any(|placed| placed.claimed.claim.id == *id)
    }

    /// Returns whether a budget sent the request to its model, or would send it there.
    fn is_exempt(&self, state: &State, claimed: &Claimed, model: &str) -> bool {
        let Rule::Budget(budget) = &claimed.rule else { return false };
        let id = &claimed.claim.id;
        let leads_there = || budget.leads_to(model, &id.subject);
        claimed.has_own && (state.rerouted.contains(id) || leads_there())
    }

    /// Reserves what an attempt at a target will need, by the limits of targets. The reservation of the target before
    /// is settled by [`Self::leave_target`].
    ///
    /// Fails with the limit, and then reserves nothing; the caller counts the rejection if it does not wait. The target
    /// of a conversation that has begun is never refused.
    pub(crate) async fn enter_target(
        &self,
        caller: &Caller,
        entry: TargetEntry<'_>,
    ) -> std::result::Result<(), Rejection> {
        let now = self.limits.store.now();
        let names = [entry.name];
        let estimate = self.state.lock().estimate;
        let asked = Asked { caller, names: &names, target: Some(entry.target), estimate };
        let mut claimed = self.quota_claims(&asked);
        if claimed.is_empty() {
            return Ok(());
        }
        for claimed in &mut claimed {
            claimed.claim.is_exempt = entry.is_holder;
        }
        let tickets = self.take(&mut claimed, now).await.map_err(|refusal| match refusal {
            Refusal::Away => refusal::away(),
            Refusal::Over(over) => {
                let longest = over.iter().max_by_key(|over| over.wait);
                longest.map_or_else(refusal::unknown, |over| {
                    refusal::rejected(&claimed[over.claim], over)
                })
            }
        });
        let tickets = match tickets {
            Ok(tickets) => tickets,
            // a conversation that has begun goes on, also while the shared store is away
            Err(_) if entry.is_holder => return Ok(()),
            Err(rejection) => return Err(rejection),
        };
        self.state.lock().target = Some((placed(claimed, tickets), entry.attempts));
        Ok(())
    }

    /// Returns the longest wait for the limits of a target; `None` if no rule of it has one.
    pub(crate) fn wait_for_target(
        &self,
        caller: &Caller,
        entry: TargetEntry<'_>,
    ) -> Option<Duration> {
        if !self.limits.wait_for_targets() {
            return None;
        }
        let names = [entry.name];
        let estimate = Estimate::default();
        let asked = Asked { caller, names: &names, target: Some(entry.target), estimate };
        let waits =
            self.quota_claims(&asked).into_iter().filter_map(|claimed| match claimed.rule {
                Rule::Quota(quota) => quota.wait,
                Rule::Budget(_) => None,
            });
        waits.max()
    }

    /// Counts the targets that refuse a request, once it does not wait for them.
    pub(crate) fn refused_by<'r>(&self, targets: impl IntoIterator<Item = &'r Rejection>) {
        targets.into_iter().for_each(Rejection::count);
    }

    /// Settles the reservation of the last target, by the attempts since.
    pub(crate) fn leave_target(&self, record: &Record) {
        let left = self.state.lock().target.take();
        if let Some((placed, from)) = left {
            self.settle_placed(&placed, record.attempts.get(from..).unwrap_or_default());
        }
    }

    /// Settles everything with the truth; later calls do nothing.
    pub(crate) fn settle(&self, record: &Record) {
        self.leave_target(record);
        let own = std::mem::take(&mut self.state.lock().own);
        self.settle_placed(&own, &record.attempts);
    }

    fn settle_placed(&self, placed: &[Placed], attempts: &[Attempt]) {
        self.settle_by(placed, |placed| self.used(&placed.claimed, attempts));
    }

    /// Settles claims, and lets requests that wait for them try.
    fn settle_by(&self, placed: &[Placed], used: impl Fn(&Placed) -> u64) {
        let settlements = placed.iter().map(|placed| Settlement {
            claim: &placed.claimed.claim,
            ticket: &placed.ticket,
            used: used(placed),
        });
        let settlements: Vec<_> = settlements.collect();
        let warned = self.limits.store.settle(&settlements);
        if placed.iter().any(|one| matches!(one.claimed.rule, Rule::Budget(_))) {
            let facts = self.state.lock().facts.clone();
            let caller = facts.as_ref().map(|facts| &*facts.caller);
            warned.iter().for_each(|n| notices::warned(&self.limits, &placed[*n].claimed, caller));
            placed.iter().for_each(|one| notices::settled(&self.limits, &one.claimed, caller));
        }
        let queue = &self.limits.queue;
        if queue.is_empty() {
            return;
        }
        for Placed { claimed, .. } in placed {
            match claimed.rule.is_of_target() {
                true => queue.wake_targets(),
                false => queue.wake(&LineId::Counter(claimed.claim.id.clone())),
            }
        }
    }

    /// Returns the true amount of a claim.
    fn used(&self, claimed: &Claimed, attempts: &[Attempt]) -> u64 {
        let mut own = attempts.iter().filter(|attempt| claimed.has_attempt(attempt));
        let unit = match &claimed.rule {
            Rule::Budget(_) => {
                let prices = own.filter_map(|attempt| {
                    let (cost, output) = (attempt.cost?, attempt.spent.billed().output);
                    Some(self.dollars(cost.nano_dollars, cost.unpriced, output))
                });
                return prices.fold(0, u64::saturating_add);
            }
            Rule::Quota(quota) => quota.unit,
        };
        let is_counted = claimed.has_own && !claimed.rule.is_of_target();
        match unit {
            Unit::Concurrent => 0,
            Unit::Requests => u64::from(is_counted || own.next().is_some()),
            _ => own.fold(0, |sum, attempt| sum.saturating_add(unit.tokens(attempt))),
        }
    }

    /// Returns a charge in nano-dollars. Of tokens without a price up to `output` are output.
    pub(crate) fn price(&self, charge: &Charge, output: u64) -> u64 {
        self.dollars(charge.total().nano_dollars(), charge.unpriced, output)
    }

    /// Adds the price of tokens without one to nano-dollars.
    fn dollars(&self, priced: i64, unpriced: u64, output: u64) -> u64 {
        let priced = u64::try_from(priced).unwrap_or(0);
        let output = output.min(unpriced);
        priced.saturating_add(self.limits.unpriced.nano_dollars(unpriced - output, output))
    }

    /// Reports budgets that have just reached their `warn_at`.
    fn warn(&self, placed: &mut [Placed], caller: &Caller) {
        for Placed { claimed, ticket } in placed {
            if std::mem::take(&mut ticket.warns) {
                notices::warned(&self.limits, claimed, Some(caller));
            }
        }
    }

    /// Calls `read` with the claims that apply to the exchange.
    pub(super) fn shown<T>(&self, read: impl FnOnce(&[Claimed]) -> T) -> T {
        read(&self.state.lock().shown)
    }

    /// Returns the claim on the budget that is used up and rejected the exchange.
    pub(super) fn exhausted_claim(&self) -> Option<Claimed> {
        self.state.lock().exhausted.clone()
    }

    /// Returns the claims that the client's request would need now, each with an amount of nothing.
    pub(super) fn ahead(&self) -> Vec<Claimed> {
        let Some(Facts { caller, name }) = self.state.lock().facts.clone() else {
            return Vec::new();
        };
        let names = [name];
        let estimate = Estimate::default();
        let asked = Asked { caller: &caller, names: &names, target: None, estimate };
        let mut claimed = self.limits.quota_claims(&asked);
        claimed.extend(self.limits.budget_claims(&asked, self.limits.store.now()));
        claimed
    }
}

impl Drop for Admission {
    /// Ends a reservation that was never settled: its estimates stay, its places at the same time are free.
    fn drop(&mut self) {
        let state = std::mem::take(self.state.get_mut());
        let target = state.target.into_iter().flat_map(|(placed, _)| placed);
        let placed: Vec<Placed> = state.own.into_iter().chain(target).collect();
        self.settle_by(&placed, |placed| match placed.claimed.claim.kind {
            Kind::Concurrent => 0,
            Kind::Window(_) | Kind::Sum(_) => placed.ticket.amount(),
        });
    }
}

/// An attempt at a target.
#[derive(Debug)]
pub(crate) struct TargetEntry<'a> {
    /// The target's key.
    pub(crate) target: &'a str,
    /// The model's name.
    pub(crate) name: Name,
    /// The number of earlier attempts.
    pub(crate) attempts: usize,
    /// Whether the target answered the turn before.
    pub(crate) is_holder: bool,
}

impl Claimed {
    fn has_attempt(&self, attempt: &Attempt) -> bool {
        self.names.as_ref().is_none_or(|names| names.contains(&attempt.model))
    }
}

fn claims(claimed: &[Claimed]) -> Vec<Claim> {
    claimed.iter().map(|claimed| claimed.claim.clone()).collect()
}

fn placed(claimed: Vec<Claimed>, tickets: Vec<Ticket>) -> Vec<Placed> {
    let placed = claimed.into_iter().zip(tickets);
    placed.map(|(claimed, ticket)| Placed { claimed, ticket }).collect()
}

#[cfg(test)]
mod tests;

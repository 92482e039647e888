//! `Admission`: the reservation of one exchange, from before its first upstream call to its settlement.
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::auth::Caller;
use crate::catalogue::cost::Charge;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::limits::budget::Then;
use crate::limits::rules::{Asked, Claimed, Estimate, Limits, Name, Rule, Unit};
use crate::limits::store::{Cause, Claim, CounterId, Kind, Now, Over, Settlement};
use crate::limits::sums::Mark;
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

#[derive(Debug, Default)]
struct State {
    facts: Option<Facts>,
    /// The reservation of the exchange.
    own: Vec<Placed>,
    /// The reservation of the current target, and the number of attempts before it.
    target: Option<(Vec<Placed>, usize)>,
    /// The claims that apply to the exchange, reserved or refused.
    shown: Vec<Claimed>,
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
    mark: Mark,
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
    pub(crate) fn needs_price(&self) -> bool {
        self.limits.has_budgets()
    }

    /// Reserves what a request will need by estimate. `names` are the models that it may use, its own first.
    ///
    /// Fails with a 429 that names the limit or the budget, and then reserves nothing.
    pub(crate) fn admit(
        &self,
        caller: &Caller,
        names: &[Name],
        estimate: Estimate,
    ) -> Result<Admitted> {
        let now = self.limits.store.now();
        let asked = Asked { caller, names, target: None, estimate };
        let mut claimed = self.quota_claims(&asked);
        claimed.extend(self.limits.budget_claims(&asked, now));
        self.state.lock().estimate = estimate;
        self.reserve(claimed, names, now)
    }

    /// Fails with a 429 if a budget of the client is used up. Reserves nothing: on a forwarded route the gateway does
    /// not see a model or a price.
    pub(crate) fn ask_budgets(&self, caller: &Caller) -> Result<()> {
        let now = self.limits.store.now();
        let asked = Asked { caller, names: &[], target: None, estimate: Estimate::default() };
        let claimed = self.limits.budget_claims(&asked, now);
        self.state.lock().shown.clone_from(&claimed);
        for one in &claimed {
            let over = self.limits.store.over(std::slice::from_ref(&one.claim), now);
            if let Some(over) = over.first() {
                return Err(self.denied(one, over));
            }
        }
        Ok(())
    }

    /// Returns the claims on limits that count a request of this source.
    fn quota_claims(&self, asked: &Asked<'_>) -> Vec<Claimed> {
        let mut claimed = self.limits.quota_claims(asked);
        claimed.retain(|claimed| self.counts(claimed.rule));
        claimed
    }

    fn counts(&self, rule: Rule) -> bool {
        let is_of_client = matches!(rule, Rule::Quota(_, Unit::Requests | Unit::Concurrent));
        matches!(self.source, Source::Client) || !is_of_client
    }

    /// Reserves all claims, or none of them. Where a plugin's call does not fit, the reservation of the client's request
    /// for the same counter stands for both: the call would wait for its own request.
    fn take(&self, claimed: &mut [Claimed], now: Now) -> std::result::Result<Vec<Mark>, Vec<Over>> {
        let taken = self.limits.store.reserve(&claims(claimed), now);
        let (Err(over), Source::Plugin(Some(outer))) = (&taken, &self.source) else { return taken };
        for over in over {
            let claim = &mut claimed[over.claim].claim;
            if outer.holds(&claim.id) {
                claim.amount = 0;
            }
        }
        self.limits.store.reserve(&claims(claimed), now)
    }

    fn holds(&self, id: &CounterId) -> bool {
        let state = self.state.lock();
        let target = state.target.iter().flat_map(|(placed, _)| placed);
        state.own.iter().chain(target).any(|placed| placed.claimed.claim.id == *id)
    }

    fn reserve(&self, claimed: Vec<Claimed>, names: &[Name], now: Now) -> Result<Admitted> {
        let mut state = self.state.lock();
        state.shown.clone_from(&claimed);
        let model = names.first().map_or("", |own| &own.model);
        // an exempt budget is charged and never refuses
        let (exempt, mut checked): (Vec<_>, Vec<_>) =
            claimed.into_iter().partition(|claimed| self.is_exempt(&state, claimed, model));
        let over = self.limits.store.over(&claims(&exempt), now);
        let others =
            over.iter().flat_map(|over| exempt[over.claim].others(names)).collect::<Vec<_>>();
        if !others.is_empty() {
            return Ok(Admitted::Without(others));
        }
        match self.take(&mut checked, now) {
            Ok(marks) => {
                state.own = placed(checked, marks);
                let marks = self.limits.store.charge(&claims(&exempt), now);
                state.own.extend(placed(exempt, marks));
                self.warn(&state.own);
                Ok(Admitted::Whole)
            }
            Err(over) => self.refused(&mut state, Refused { claimed: &checked, over, names }),
        }
    }

    /// Returns whether a budget sent the request to its model, or would send it there.
    fn is_exempt(&self, state: &State, claimed: &Claimed, model: &str) -> bool {
        let Rule::Budget(n) = claimed.rule else { return false };
        let id = &claimed.claim.id;
        let leads_there = || self.limits.budget(n).leads_to(model, &id.subject);
        claimed.has_own && (state.rerouted.contains(id) || leads_there())
    }

    /// Decides about a request that does not fit: its own model comes before its fallbacks, a budget that denies before
    /// one that routes, then the refusal with the longest wait.
    fn refused(&self, state: &mut State, refused: Refused<'_>) -> Result<Admitted> {
        let Refused { claimed, over, names } = refused;
        let (own, others): (Vec<_>, Vec<_>) =
            over.into_iter().partition(|over| claimed[over.claim].has_own);
        if own.is_empty() {
            let others = others.iter().map(|over| &claimed[over.claim]);
            return Ok(Admitted::Without(self.left_out(others, names)));
        }
        let model = names.first().map_or("", |own| &own.model);
        // no request comes back to a model that it has left: it would pass the budget of that model
        let is_open = |to: &str| *to != *model && state.left.iter().all(|left| **left != *to);
        let route = |over: &Over| match claimed[over.claim].rule {
            Rule::Budget(n) => match &self.limits.budget(n).then {
                Then::Route(to) => is_open(to).then_some((n, to)),
                Then::Deny => None,
            },
            Rule::Quota(..) => None,
        };
        let is_budget = |over: &Over| matches!(claimed[over.claim].rule, Rule::Budget(_));
        let denies = own.iter().any(|over| is_budget(over) && route(over).is_none());
        if let (Some((n, to)), false) = (own.iter().find_map(route), denies) {
            self.limits.budget(n).metrics.rerouted.inc();
            let ids = own.iter().filter(|over| is_budget(over));
            let ids: Vec<_> = ids.map(|over| claimed[over.claim].claim.id.clone()).collect();
            state.rerouted.extend(ids);
            state.left.push(model.into());
            return Ok(Admitted::Route(to.clone()));
        }
        let is_final = |over: &Over| is_budget(over) && over.cause == Cause::UsedUp;
        let refusals = own.iter().filter(|over| route(over).is_none());
        let worst = refusals.max_by_key(|over| (is_final(over), over.wait));
        Err(worst.map_or_else(unknown, |over| match claimed[over.claim].rule {
            Rule::Budget(_) => self.denied(&claimed[over.claim], over),
            Rule::Quota(..) => self.limited(&claimed[over.claim], over),
        }))
    }

    /// Returns the fallbacks whose limits or budgets refuse.
    fn left_out<'a>(
        &self,
        refusals: impl Iterator<Item = &'a Claimed>,
        names: &[Name],
    ) -> Vec<Box<str>> {
        let mut left_out = Vec::new();
        for claimed in refusals {
            if let Rule::Quota(n, _) = claimed.rule {
                self.limits.quota(n).refused.inc();
            }
            left_out.extend(claimed.others(names));
        }
        left_out
    }

    /// Returns the refusal of a budget. The client may try again soon if only running requests hold the rest.
    fn denied(&self, claimed: &Claimed, over: &Over) -> Error {
        let Rule::Budget(n) = claimed.rule else { return unknown() };
        let budget = self.limits.budget(n);
        budget.metrics.denied.inc();
        let end = match claimed.claim.kind {
            Kind::Sum(period) => Timestamp::from_second(period.end).unwrap_or_default().to_string(),
            Kind::Window(_) | Kind::Concurrent => String::new(),
        };
        let (text, owner) = (&budget.text, budget.owner(&claimed.claim.id.subject));
        if over.cause == Cause::Held {
            let seconds = over.wait.as_secs();
            let message = format!(
                "running requests may need the rest of the budget of {text} for {owner}: try again in {seconds} s"
            );
            return Error::new(ErrorKind::RateLimit, message).with_retry(Retry::After(over.wait));
        }
        let message =
            format!("the budget of {text} for {owner} is used up: it starts again at {end}");
        Error::new(ErrorKind::Billing, message).with_retry(Retry::NotWithin(over.wait))
    }

    fn limited(&self, claimed: &Claimed, over: &Over) -> Error {
        let Rule::Quota(n, unit) = claimed.rule else { return unknown() };
        let quota = self.limits.quota(n);
        quota.refused.inc();
        let (text, owner) = (&quota.text, quota.owner(&claimed.claim.id.subject));
        let advice = match unit {
            Unit::Concurrent => "wait until one of them has ended".to_owned(),
            _ => format!("try again in {} s", over.wait.as_millis().div_ceil(1000).max(1)),
        };
        let message = format!("the limit of {text} for {owner} is reached: {advice}");
        Error::new(ErrorKind::RateLimit, message).with_retry(Retry::After(over.wait))
    }

    /// Reserves what an attempt at a target will need, by the limits of targets. The reservation of the target before
    /// is settled by [`Self::leave_target`].
    ///
    /// Fails with a 429 that names the limit, and then reserves nothing. The target of a conversation that has begun is
    /// never refused.
    pub(crate) fn enter_target(&self, caller: &Caller, entry: TargetEntry<'_>) -> Result<()> {
        let now = self.limits.store.now();
        let mut state = self.state.lock();
        let estimate = state.estimate;
        let names = [entry.name];
        let asked = Asked { caller, names: &names, target: Some(entry.target), estimate };
        let mut claimed = self.quota_claims(&asked);
        if claimed.is_empty() {
            return Ok(());
        }
        let marks = match entry.is_holder {
            true => self.limits.store.charge(&claims(&claimed), now),
            false => self.take(&mut claimed, now).map_err(|over| {
                let longest = over.iter().max_by_key(|over| over.wait);
                longest.map_or_else(unknown, |over| self.limited(&claimed[over.claim], over))
            })?,
        };
        state.target = Some((placed(claimed, marks), entry.attempts));
        Ok(())
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
        self.warn(&own);
    }

    fn settle_placed(&self, placed: &[Placed], attempts: &[Attempt]) {
        let settlements = placed.iter().map(|placed| Settlement {
            claim: &placed.claimed.claim,
            mark: placed.mark,
            used: self.used(&placed.claimed, attempts),
        });
        self.limits.store.settle(settlements, self.limits.store.now());
    }

    /// Returns the true amount of a claim.
    fn used(&self, claimed: &Claimed, attempts: &[Attempt]) -> u64 {
        let mut own = attempts.iter().filter(|attempt| claimed.has_attempt(attempt));
        let unit = match claimed.rule {
            Rule::Budget(_) => {
                let prices = own.filter_map(|attempt| {
                    let output = attempt.spent.billed().output;
                    Some(self.price(&attempt.charge()?, output))
                });
                return prices.fold(0, u64::saturating_add);
            }
            Rule::Quota(_, unit) => unit,
        };
        let is_counted = claimed.has_own && !self.limits.is_of_target(claimed.rule);
        match unit {
            Unit::Concurrent => 0,
            Unit::Requests => u64::from(is_counted || own.next().is_some()),
            _ => own.fold(0, |sum, attempt| sum.saturating_add(tokens(attempt, unit))),
        }
    }

    /// Returns a charge in nano-dollars. Of tokens without a price up to `output` are output.
    pub(crate) fn price(&self, charge: &Charge, output: u64) -> u64 {
        let priced = u64::try_from(charge.total().nano_dollars()).unwrap_or(0);
        let output = output.min(charge.unpriced);
        priced.saturating_add(self.limits.unpriced.nano_dollars(charge.unpriced - output, output))
    }

    /// Warns about budgets that have just reached their `warn_at`.
    fn warn(&self, placed: &[Placed]) {
        for Placed { claimed, .. } in placed {
            let Rule::Budget(n) = claimed.rule else { continue };
            let budget = self.limits.budget(n);
            let Some(threshold) = budget.warn_at else { continue };
            if self.limits.store.warns(&claimed.claim, threshold) {
                budget.metrics.warned.inc();
                let owner = budget.owner(&claimed.claim.id.subject);
                tracing::warn!(budget = &*budget.text, owner, "a budget has reached its `warn_at`");
            }
        }
    }

    /// Calls `read` with the claims that apply to the exchange.
    pub(super) fn shown<T>(&self, read: impl FnOnce(&[Claimed]) -> T) -> T {
        read(&self.state.lock().shown)
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
        let settlements = placed.iter().map(|Placed { claimed, mark }| Settlement {
            claim: &claimed.claim,
            mark: *mark,
            used: match claimed.claim.kind {
                Kind::Concurrent => 0,
                Kind::Window(_) | Kind::Sum(_) => mark.amount,
            },
        });
        self.limits.store.settle(settlements, self.limits.store.now());
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

/// A request that does not fit.
struct Refused<'a> {
    /// The claims that were checked.
    claimed: &'a [Claimed],
    /// Those that do not fit.
    over: Vec<Over>,
    /// The models that the request may use, its own first.
    names: &'a [Name],
}

fn claims(claimed: &[Claimed]) -> Vec<Claim> {
    claimed.iter().map(|claimed| claimed.claim.clone()).collect()
}

fn placed(claimed: Vec<Claimed>, marks: Vec<Mark>) -> Vec<Placed> {
    let placed = claimed.into_iter().zip(marks);
    placed.map(|(claimed, mark)| Placed { claimed, mark }).collect()
}

fn tokens(attempt: &Attempt, unit: Unit) -> u64 {
    let tokens = attempt.spent.billed();
    let input = tokens.input.saturating_add(tokens.written());
    match unit {
        Unit::InputTokens => input,
        Unit::OutputTokens => tokens.output,
        Unit::Tokens => input.saturating_add(tokens.output),
        Unit::Requests | Unit::Concurrent => 0,
    }
}

/// Returns the error of a refusal without a reason, which no store makes.
fn unknown() -> Error {
    Error::new(ErrorKind::RateLimit, "a limit is reached: try again later")
}

#[cfg(test)]
mod tests;

//! Decides about a request that does not fit: without some fallbacks, to another model, after a wait, or not at all.
use jiff::Timestamp;

use crate::auth::allowance::Then;
use crate::error::{Error, ErrorKind, Retry};
use crate::limits::claim::{Cause, CounterId, Kind, Over};
use crate::limits::queue::LineId;
use crate::limits::rule::{Budget, Quota, Rule, Unit};
use crate::limits::rules::{Claimed, Name};
use crate::limits::store::AWAY_WAIT;
use crate::limits::waiting::Free;

/// A request that does not fit.
pub(super) struct Refused<'a> {
    pub(super) claimed: &'a [Claimed],
    /// The claims that do not fit.
    pub(super) over: Vec<Over>,
    /// The models that the request may use, its own first.
    pub(super) names: &'a [Name],
    /// The models from which budgets sent the request on.
    pub(super) left: &'a [Box<str>],
}

/// The decision about a request that does not fit.
pub(super) enum Decision {
    /// These fallbacks are left out.
    Without(Vec<Box<str>>),
    /// A budget sends the request to this model. The sums refuse it no more.
    Route(String, Vec<CounterId>),
    /// The request is rejected, or waits.
    Reject(Box<Rejection>),
}

/// A rejection.
pub(crate) struct Rejection {
    pub(crate) error: Error,
    /// Set if the request may wait for a limit instead.
    pub(crate) wait: Option<Free>,
    /// The claim on a budget that is used up.
    pub(super) exhausted: Option<Claimed>,
    /// The rule that counts the rejection.
    rule: Option<Rule>,
}

impl Rejection {
    /// Returns whether a limit rejects, not the store that is away.
    pub(crate) fn is_by_limit(&self) -> bool {
        self.rule.is_some()
    }

    /// Counts the rejection.
    pub(super) fn count(&self) {
        match &self.rule {
            Some(Rule::Quota(quota)) => quota.refused.inc(),
            Some(Rule::Budget(budget)) => budget.metrics.denied.inc(),
            None => 0,
        };
    }

    /// Counts the rejection, and returns its error.
    pub(super) fn counted(self) -> Error {
        self.count();
        self.error
    }
}

impl Refused<'_> {
    /// Decides: the request's own model comes before its fallbacks, a budget that denies before one that routes, then
    /// the refusal with the longest wait.
    pub(super) fn decided(self) -> Decision {
        let (own, others): (Vec<_>, Vec<_>) = self.over.iter().partition(|over| {
            let claimed = &self.claimed[over.claim];
            claimed.has_own && !claimed.spares_own
        });
        if own.is_empty() {
            return Decision::Without(self.left_out(&others));
        }
        let denies = own.iter().any(|over| self.is_budget(over) && self.route(over).is_none());
        if let (Some((budget, to)), false) = (own.iter().find_map(|over| self.route(over)), denies)
        {
            budget.metrics.rerouted.inc();
            let sums = own.iter().filter(|over| self.is_budget(over));
            let sums = sums.map(|over| self.claimed[over.claim].claim.id.clone());
            return Decision::Route(to, sums.collect());
        }
        let is_final = |over: &Over| self.is_budget(over) && over.cause == Cause::UsedUp;
        let refusals = own.iter().filter(|over| self.route(over).is_none());
        let worst = refusals.max_by_key(|over| (is_final(over), over.wait));
        let Some(worst) = worst else { return Decision::Reject(Box::new(unknown())) };
        let mut rejection = rejected(&self.claimed[worst.claim], worst);
        let waits = own.iter().map(|over| wait(&self.claimed[over.claim], over));
        // a wait makes sense only if no other refusal remains
        let waits: Option<Vec<Free>> = waits.collect();
        let most = waits.iter().flatten().map(|wait| wait.most).min();
        if let (Some(most), Some(wait)) = (most, &mut rejection.wait) {
            wait.most = most;
        } else {
            rejection.wait = None;
        }
        Decision::Reject(Box::new(rejection))
    }

    /// Returns the budget and the model to which a refusal sends the request. No request comes back to a model that it
    /// has left: it would pass the budget of that model.
    fn route(&self, over: &Over) -> Option<(&Budget, String)> {
        let Rule::Budget(budget) = &self.claimed[over.claim].rule else { return None };
        let Then::Route(to) = &budget.then else { return None };
        let model = self.names.first().map_or("", |own| &own.model);
        let is_open = *to != *model && self.left.iter().all(|left| **left != *to);
        is_open.then(|| (&**budget, to.clone()))
    }

    fn is_budget(&self, over: &Over) -> bool {
        matches!(self.claimed[over.claim].rule, Rule::Budget(_))
    }

    /// Returns the fallbacks whose limits or budgets refuse.
    fn left_out(&self, refusals: &[&Over]) -> Vec<Box<str>> {
        let mut left_out = Vec::new();
        for over in refusals {
            let claimed = &self.claimed[over.claim];
            if let Rule::Quota(quota) = &claimed.rule {
                quota.refused.inc();
            }
            left_out.extend(claimed.others(self.names));
        }
        left_out
    }
}

/// Returns the rejection by one claim.
pub(super) fn rejected(claimed: &Claimed, over: &Over) -> Rejection {
    let error = match &claimed.rule {
        Rule::Budget(budget) => denied(budget, claimed, over),
        Rule::Quota(quota) => limited(quota, claimed, over),
    };
    let is_exhausted = matches!(claimed.rule, Rule::Budget(_)) && over.cause == Cause::UsedUp;
    Rejection {
        error,
        wait: wait(claimed, over),
        exhausted: is_exhausted.then(|| claimed.clone()),
        rule: Some(claimed.rule.clone()),
    }
}

/// Returns the wait of a claim on a limit whose rule has one.
fn wait(claimed: &Claimed, over: &Over) -> Option<Free> {
    let Rule::Quota(quota) = &claimed.rule else { return None };
    Some(Free {
        line: LineId::Counter(claimed.claim.id.clone()),
        most: quota.wait?,
        after: over.wait,
        // a request never leaves the count of its window early; an estimate of tokens may become less
        may_free: quota.unit != Unit::Requests,
    })
}

/// Returns the refusal of a budget. The client may try again soon if only running requests hold the rest.
fn denied(budget: &Budget, claimed: &Claimed, over: &Over) -> Error {
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
    let message = format!("the budget of {text} for {owner} is used up: it starts again at {end}");
    Error::new(ErrorKind::Billing, message).with_retry(Retry::NotWithin(over.wait))
}

fn limited(quota: &Quota, claimed: &Claimed, over: &Over) -> Error {
    let (text, owner) = (&quota.text, quota.owner(&claimed.claim.id.subject));
    let advice = match quota.unit {
        Unit::Concurrent => "wait until one of them has ended".to_owned(),
        _ => format!("try again in {} s", over.wait.as_millis().div_ceil(1000).max(1)),
    };
    let message = format!("the limit of {text} for {owner} is reached: {advice}");
    Error::new(ErrorKind::RateLimit, message).with_retry(Retry::After(over.wait))
}

/// Returns the rejection of a request with a limit while the shared store is away.
pub(super) fn away() -> Rejection {
    let message = "the store of the limits does not answer: try again later";
    let error = Error::new(ErrorKind::Overloaded, message).with_retry(Retry::After(AWAY_WAIT));
    Rejection { error, wait: None, exhausted: None, rule: None }
}

/// Returns the rejection without a reason, which no store makes.
pub(super) fn unknown() -> Rejection {
    let error = Error::new(ErrorKind::RateLimit, "a limit is reached: try again later");
    Rejection { error, wait: None, exhausted: None, rule: None }
}

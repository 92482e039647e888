//! Reports of budgets: in the log, the metrics, and as events.
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::auth::Caller;
use crate::limits::claim::{Cause, Kind, Over};
use crate::limits::config::Per;
use crate::limits::rule::{Budget, Rule};
use crate::limits::rules::{Claimed, Limits};
use crate::telemetry::events::names::{BUDGET_USED_UP, BUDGET_WARNED};

/// Reports a budget that has just reached its `warn_at`. The client is `None` if it is not known.
pub(super) fn warned(limits: &Limits, claimed: &Claimed, caller: Option<&Caller>) {
    let Rule::Budget(budget) = &claimed.rule else { return };
    budget.metrics.warned.inc();
    let owner = budget.owner(&claimed.claim.id.subject);
    tracing::warn!(budget = &*budget.text, owner, "a budget has reached its `warn_at`");
    limits.events.enter(BUDGET_WARNED, || fields(limits, budget, claimed, caller));
}

/// Reports a budget that ended requests have used up, once a period.
pub(super) fn settled(limits: &Limits, claimed: &Claimed, caller: Option<&Caller>) {
    let Rule::Budget(budget) = &claimed.rule else { return };
    if limits.events.wants(BUDGET_USED_UP) && limits.store.is_newly_spent(&claimed.claim) {
        let fields = || fields(limits, budget, claimed, caller);
        limits.events.enter(BUDGET_USED_UP, fields);
    }
}

/// Reports the budgets that refuse a request since they are used up, each once a period.
pub(super) fn refused(limits: &Limits, claimed: &[Claimed], over: &[Over], caller: &Caller) {
    for over in over.iter().filter(|over| over.cause == Cause::UsedUp) {
        let claimed = &claimed[over.claim];
        let Rule::Budget(budget) = &claimed.rule else { continue };
        if limits.events.wants(BUDGET_USED_UP) && limits.store.is_newly_refused(&claimed.claim) {
            let fields = || fields(limits, budget, claimed, Some(caller));
            limits.events.enter(BUDGET_USED_UP, fields);
        }
    }
}

fn fields(limits: &Limits, budget: &Budget, claimed: &Claimed, caller: Option<&Caller>) -> Value {
    let claim = &claimed.claim;
    let time = |second: i64| Timestamp::from_second(second).ok().map(|time| time.to_string());
    let (starts, ends) = match claim.kind {
        Kind::Sum(period) => (time(period.start), time(period.end)),
        Kind::Window(_) | Kind::Concurrent => (None, None),
    };
    let owner = match budget.per {
        // the subject of a token may be a person
        Per::Key | Per::Own => caller.map(|caller| caller.key.as_str()),
        _ => Some(&*claim.id.subject),
    };
    json!({
        "budget": budget.text,
        "per": budget.per.to_string(),
        "owner": owner,
        "limit_nano_usd": claim.limit,
        "used_nano_usd": limits.store.level(claim, limits.store.now()).used,
        "warn_at_nano_usd": claim.warn_at,
        "starts": starts,
        "ends": ends,
    })
}

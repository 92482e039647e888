//! Chooses the target of a turn, and decides whether a failure leads to another attempt.
use std::borrow::Cow;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result, Retry, Scope, StageOrigin};
use crate::exchange::attempt::Attempt;
use crate::exchange::forgetful::Forgetful;
use crate::exchange::reasoning;
use crate::exchange::route::{Choice, Route};
use crate::exchange::verdict::{self, Next, is_fault, next};
use crate::limits::{Admission, Free, LineId, Name, Rejection, TargetEntry};
use crate::models::health::Try;
use crate::models::{Alias, retry_budget};
use crate::net::client::Connections;
use crate::policy::Passage;
use crate::providers::Credentials;
use crate::providers::accepts::Inventory;
use crate::telemetry::events::names::{TARGET_DOWN, TARGET_UP};
use crate::telemetry::logs::one_line;
use crate::telemetry::record::Why;
use crate::wire::{MessagesRequest, Reply};

/// The longest cooldown of a target, even if its `retry-after` is longer.
const MAX_COOLDOWN: Duration = Duration::from_secs(10 * 60);

/// A successful reply, and its target.
pub(super) struct Sent {
    /// The upstream's answer.
    pub(super) reply: Reply,
    /// The target that answered.
    pub(super) choice: Choice,
}

/// A turn of an exchange, and its limits for the choice of a target.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a> {
    /// The number of the turn, counted from 1.
    pub(super) number: u32,
    /// The target of the previous turn.
    pub(super) holder: Option<&'a Choice>,
    /// Whether something in the conversation is valid for that target only.
    pub(super) is_bound: bool,
}

impl<'a> Turn<'a> {
    /// The first turn, which may go to any target.
    pub(super) const FIRST: Self = Self { number: 1, holder: None, is_bound: false };

    /// Returns the targets to try, the first choice first.
    fn choices(&self, route: &'a Route) -> Cow<'a, [Choice]> {
        let Some(holder) = self.holder else { return Cow::Borrowed(&route.choices) };
        if self.is_bound {
            return Cow::Borrowed(std::slice::from_ref(holder));
        }
        let others = route.choices.iter().filter(|choice| !choice.is(holder));
        std::iter::once(holder).chain(others).cloned().collect()
    }
}

/// Sends a request to the first target that accepts it. Every turn of every exchange goes through
/// here.
///
/// Fails with the last upstream's error, or with a 503 if every target is cooling down.
pub(super) async fn send(
    passage: &Passage,
    route: &Route,
    request: &MessagesRequest,
    turn: Turn<'_>,
) -> Result<Sent> {
    let choices = turn.choices(route);
    let search = Search::begin(passage, route, request, turn, &choices);
    let ctx = &passage.ctx;
    search.leave_limits();
    let Some(admission) = ctx.admission.as_ref().filter(|_| turn.holder.is_none()) else {
        return search.round(&choices, 1).await.map_err(|ends| search.refused(ends));
    };
    let line = LineId::Targets(route.choices.first().map_or("", |it| &it.alias.name).into());
    let mut waits = admission.waits(&ctx.caller, route.terms.deadline.map(|(end, _)| end));
    let most = search.longest_wait(admission, &choices);
    if let Some(most) = most {
        waits.after_others([(line.clone(), most)]);
    }
    let mut round = 0;
    loop {
        round += 1;
        let noted = waits.waited();
        waits.turn().await;
        ctx.story.waited(waits.waited() - noted);
        let ends = match search.round(&choices, round).await {
            Ok(sent) => {
                waits.admitted();
                return Ok(sent);
            }
            Err(ends) => ends,
        };
        let free = most.and_then(|most| ends.free(line.clone(), most));
        let noted = waits.waited();
        let goes_on = waits.again(free).await;
        ctx.story.waited(waits.waited() - noted);
        if !goes_on {
            return Err(search.refused(ends));
        }
    }
}

/// Settles what was reserved for the target of the last turn.
pub(super) fn leave_limits(ctx: &Context) {
    if let Some(admission) = &ctx.admission {
        ctx.story.read(|record| admission.leave_target(record));
    }
}

/// The targets that did not accept a request.
struct Ends {
    last: Option<Error>,
    /// The time until the first cooling target is tried again.
    soonest: Duration,
    passed_over: Vec<String>,
    /// The refusals by limits of targets.
    limited: Vec<Rejection>,
    /// The error after which no other target is tried.
    stop: Option<Error>,
    /// The target of the turn before cools down, so it was not called.
    is_holder_cooling: bool,
}

impl Default for Ends {
    fn default() -> Self {
        let (soonest, passed_over) = (Duration::MAX, Vec::new());
        Self {
            last: None,
            soonest,
            passed_over,
            limited: Vec::new(),
            stop: None,
            is_holder_cooling: false,
        }
    }
}

impl Ends {
    fn add(&mut self, error: Error) {
        match error.stage() {
            Some(StageOrigin { scope: Scope::Target, .. }) => self.passed_over.push(error.message),
            _ => self.last = Some(error),
        }
    }

    fn stopped(self, error: Error) -> Self {
        Self { stop: Some(error), ..self }
    }

    /// Returns when a target is free, if all were over a limit or cool down.
    fn free(&self, line: LineId, most: Duration) -> Option<Free> {
        let limited = self.limited.iter().map(|limited| wait_of(&limited.error));
        let after = limited.min().unwrap_or(Duration::MAX).min(self.soonest);
        let is_free_later = self.last.is_none() && self.stop.is_none() && after < Duration::MAX;
        // a store that is away is no limit that frees
        let is_by_limits = self.limited.iter().all(Rejection::is_by_limit);
        let may_free =
            self.limited.iter().any(|one| one.wait.as_ref().is_some_and(|wait| wait.may_free));
        (is_free_later && is_by_limits).then_some(Free { line, most, after, may_free })
    }

    fn error(self) -> Error {
        if let Some(error) = self.stop {
            return error;
        }
        // the target that is within its limits first
        let limited = self.limited.into_iter().map(|limited| limited.error);
        if let (None, Some(limited)) = (&self.last, limited.min_by_key(wait_of)) {
            return match limited.retry {
                Retry::After(wait) => limited.with_retry(Retry::After(wait.min(self.soonest))),
                _ => limited,
            };
        }
        match (self.last, self.passed_over.as_slice()) {
            (Some(error), _) => error,
            (None, reasons @ [_, ..]) if self.soonest == Duration::MAX => unsupported(reasons),
            _ => all_cooling(self.soonest),
        }
    }
}

fn wait_of(error: &Error) -> Duration {
    match error.retry {
        Retry::After(wait) => wait,
        Retry::Never | Retry::Now | Retry::NotWithin(_) => Duration::MAX,
    }
}

/// The search for a target that accepts one turn.
struct Search<'a> {
    passage: &'a Passage,
    route: &'a Route,
    request: &'a MessagesRequest,
    turn: Turn<'a>,
    /// The names that the request uses, for all attempts.
    inventory: OnceLock<Inventory>,
    /// The alias of the first choice, whose budget bounds the retries and failovers.
    alias: Option<&'a Alias>,
    /// The attempts of the exchange before this turn.
    earlier: u32,
    /// Whether the retry budget has prevented an attempt of this turn.
    is_prevented: AtomicBool,
}

impl<'a> Search<'a> {
    fn begin(
        passage: &'a Passage,
        route: &'a Route,
        request: &'a MessagesRequest,
        turn: Turn<'a>,
        choices: &'a [Choice],
    ) -> Self {
        let alias = choices.first().map(|first| &*first.alias);
        if let Some(alias) = alias {
            alias.retry_budget.request(Instant::now());
        }
        let earlier = passage.ctx.story.attempts();
        let (inventory, is_prevented) = (OnceLock::new(), AtomicBool::new(false));
        Self { passage, route, request, turn, inventory, alias, earlier, is_prevented }
    }

    /// Returns whether a target may be called: always for the first call of a turn, so that targets that cool down are
    /// passed over without cost; then as long as the retry budget lasts. Notes a target that may not.
    fn may_go_on(&self, choice: &Choice) -> bool {
        let story = &self.passage.ctx.story;
        let may = story.attempts() == self.earlier || self.takes_budget(choice);
        if !may {
            story.passed_over(choice.label(self.request), Why::RetryBudget);
        }
        may
    }

    /// Takes a retry or failover from the budget. Returns `false` if it is used up, which counts once a turn.
    fn takes_budget(&self, choice: &Choice) -> bool {
        let Some(alias) = self.alias else { return true };
        let is_left = alias.retry_budget.take(Instant::now());
        if !is_left && !self.is_prevented.swap(true, Ordering::Relaxed) {
            choice.target.circuit.prevented.inc();
            tracing::debug!(
                request_id = self.passage.ctx.request_id,
                alias = alias.name,
                "the retry budget is used up"
            );
        }
        is_left
    }

    /// Tries the targets, one after the other. Only the first round notes the targets that are passed over.
    async fn round(&self, choices: &[Choice], round: u32) -> Result<Sent, Ends> {
        let Self { route, request, turn, .. } = self;
        let mut ends = Ends::default();
        for choice in choices {
            if route.terms.is_over() {
                let error = ends.last.take().unwrap_or_else(|| route.terms.too_late());
                return Err(ends.stopped(error));
            }
            // before the limits: what is given back there wakes requests that wait, this one too
            let entered = match choice.target.health.at(request.endpoint).enter(Instant::now()) {
                Ok(entered) => Some(entered),
                // a single target is called even if it cools down: the attempt tests its health
                Err(_) if choices.len() == 1 => None,
                Err(wait) => {
                    ends.soonest = ends.soonest.min(wait);
                    ends.is_holder_cooling |= turn.holder.is_some_and(|holder| holder.is(choice));
                    self.pass_over(choice, Why::Cooling, round);
                    continue;
                }
            };
            if let Err(rejection) = self.enter_limits(choice).await {
                self.pass_over(choice, Why::Limit, round);
                ends.limited.push(rejection);
                continue;
            }
            if !self.may_go_on(choice) {
                self.leave_limits();
                let soonest = ends.soonest.min(retry_budget::WINDOW);
                let error = ends.last.take().unwrap_or_else(|| all_cooling(soonest));
                return Err(ends.stopped(error));
            }
            match self.try_target(choice, entered).await {
                Ok(reply) => {
                    self.count_refusals(&ends);
                    return Ok(Sent { reply, choice: choice.clone() });
                }
                Err((error, Next::Failover)) => {
                    self.leave_limits();
                    ends.add(error);
                }
                Err((error, _)) => return Err(ends.stopped(error)),
            }
        }
        match turn.holder {
            // the conversation has begun: its target is called although it cools down, since no other answered
            Some(holder) if ends.is_holder_cooling && self.may_go_on(holder) => {
                if let Err(rejection) = self.enter_limits(holder).await {
                    return Err(ends.stopped(rejection.error));
                }
                match self.try_target(holder, None).await {
                    Ok(reply) => {
                        self.count_refusals(&ends);
                        Ok(Sent { reply, choice: holder.clone() })
                    }
                    Err((error, _)) => Err(ends.stopped(error)),
                }
            }
            _ => Err(ends),
        }
    }

    /// Returns the longest wait for the limits of a target.
    fn longest_wait(&self, admission: &Admission, choices: &[Choice]) -> Option<Duration> {
        let ctx = &self.passage.ctx;
        let waits = choices.iter();
        waits.filter_map(|choice| admission.wait_for_target(&ctx.caller, self.entry(choice))).max()
    }

    /// Reserves by the limits of a target. A conversation stays at its target also beyond them.
    async fn enter_limits(&self, choice: &Choice) -> Result<(), Rejection> {
        let ctx = &self.passage.ctx;
        let Some(admission) = &ctx.admission else { return Ok(()) };
        admission.enter_target(&ctx.caller, self.entry(choice)).await
    }

    fn entry<'c>(&self, choice: &'c Choice) -> TargetEntry<'c> {
        let model = choice.requested.as_deref().unwrap_or(self.request.model());
        TargetEntry {
            target: &choice.target.key,
            name: Name { model: model.into(), alias: choice.alias.name.as_str().into() },
            attempts: self.passage.ctx.story.attempts() as usize,
            is_holder: self.turn.holder.is_some_and(|holder| holder.is(choice)),
        }
    }

    /// Ends the search with an error.
    fn refused(&self, ends: Ends) -> Error {
        self.count_refusals(&ends);
        ends.error()
    }

    /// Counts the targets whose limits refuse, at the end of the search.
    fn count_refusals(&self, ends: &Ends) {
        if let Some(admission) = &self.passage.ctx.admission {
            admission.refused_by(&ends.limited);
        }
    }

    /// Notes a target that is passed over, once for all rounds.
    fn pass_over(&self, choice: &Choice, why: Why, round: u32) {
        if round == 1 {
            self.passage.ctx.story.passed_over(choice.label(self.request), why);
        }
    }

    fn leave_limits(&self) {
        leave_limits(&self.passage.ctx);
    }

    /// Calls a target, retries as often as its alias allows, and updates its health.
    async fn try_target(
        &self,
        choice: &Choice,
        entered: Option<Try<'_>>,
    ) -> Result<Reply, (Error, Next)> {
        let Self { passage, route, request, turn, inventory, .. } = self;
        let mut tries = 0;
        let mut connections = Connections::Any;
        let mut forgetful = Forgetful::default();
        loop {
            tries += 1;
            let attempt = Attempt::new(passage, &route.terms, choice, turn.number, inventory);
            let error =
                match attempt.run(forgetful.request.as_ref().unwrap_or(request), connections).await
                {
                    Ok(reply) => {
                        choice.target.health.outcomes.answered(Instant::now());
                        well(passage, choice, entered);
                        return Ok(forgetful.noted(reply));
                    }
                    Err(error) => error,
                };
            let strictness = route.terms.strictness(choice);
            if reasoning::is_refused(&error) && forgetful.begin(request, strictness) {
                passage.ctx.story.dropped(&forgetful.names());
                tries -= 1;
                continue;
            }
            verdict::count(choice, &error);
            let next = next(&error, choice, &route.terms, tries);
            match next {
                Next::Resend => {
                    connections = Connections::New;
                    tries -= 1;
                    continue;
                }
                Next::Retry(pause) if self.takes_budget(choice) => {
                    let begun = Instant::now();
                    tokio::time::sleep(pause).await;
                    passage.ctx.story.waited(begun.elapsed());
                    continue;
                }
                Next::Retry(_) | Next::Failover | Next::Stop => {}
            }
            let next = if let Next::Retry(_) = next { Next::Failover } else { next };
            match error.stage() {
                Some(StageOrigin { scope: Scope::Target, name, .. }) => {
                    let why = Why::Stage(name.clone());
                    passage.ctx.story.passed_over(choice.label(request), why);
                }
                _ => self.judge(choice, entered, &error),
            }
            return Err((error, next));
        }
    }

    /// Reports a failure to the target's health.
    fn judge(&self, choice: &Choice, entered: Option<Try<'_>>, error: &Error) {
        let ctx = &self.passage.ctx;
        let Choice { alias, target, .. } = choice;
        tracing::debug!(request_id = ctx.request_id, upstream = %target.key, error = %error, "attempt failed");
        let Some(entered) = entered else { return };
        let Some(upstream) = error.upstream() else { return };
        let is_alone = self.route.choices.len() == 1 && alias.targets.len() == 1;
        // a rate limit of the caller's own account is no outage
        let is_callers = target.provider.credentials() == Credentials::Caller
            && ctx.credential.is_some()
            && error.kind == ErrorKind::RateLimit;
        match (is_fault(choice, upstream), upstream.status) {
            // an upstream that rejects a request is alive
            (false, Some(_)) => well(self.passage, choice, Some(entered)),
            (true, _) if !is_alone && !is_callers => {
                let cooldown = upstream.retry_after.unwrap_or(alias.cooldown).min(MAX_COOLDOWN);
                if entered.failed(cooldown) {
                    target.circuit.cooldowns.inc();
                    cools_down(self.passage, &target.key, cooldown, error);
                }
            }
            _ => {}
        }
    }
}

fn cools_down(passage: &Passage, upstream: &str, cooldown: Duration, error: &Error) {
    let (request_id, message) = (&*passage.ctx.request_id, one_line(&error.message));
    tracing::warn!(request_id, upstream, ?cooldown, error = %message, "target failed, cooling down");
    passage.events().enter(TARGET_DOWN, || {
        let status = error.upstream().and_then(|upstream| upstream.status);
        json!({
            "target": upstream,
            "cooldown_ms": cooldown.as_millis() as u64,
            "error": error.kind.as_str(),
            "status": status.map(|status| status.as_u16()),
            "request_id": request_id,
        })
    });
}

/// Reports a success to the target's health. Recovery is logged like the cooldown.
fn well(passage: &Passage, choice: &Choice, entered: Option<Try<'_>>) {
    if entered.is_some_and(Try::succeeded) {
        let (request_id, upstream) = (&*passage.ctx.request_id, &*choice.target.key);
        tracing::info!(request_id, upstream, "target recovered");
        let fields = || json!({ "target": upstream, "request_id": request_id });
        passage.events().enter(TARGET_UP, fields);
    }
}

/// Returns the error of a request for which every target was passed over.
fn unsupported(reasons: &[String]) -> Error {
    Error::invalid(format!("no target takes this request as it is: {}", reasons.join("; ")))
        .with_log("every target was passed over, since it does not support all of the request")
}

fn all_cooling(soonest: Duration) -> Error {
    let message = "every target of this model is cooling down after a failure: try again later";
    Error::new(ErrorKind::Overloaded, message).with_retry(Retry::After(soonest.min(MAX_COOLDOWN)))
}

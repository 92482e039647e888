//! The script in Redis: its arguments, and its answer.
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Script, ScriptInvocation};

use crate::limits::claim::{
    CONCURRENT_WAIT, Cause, Claim, CounterId, HELD_WAIT, Kind, Level, Mark, Over,
};
use crate::limits::window::SLOTS;

static STEP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("step.lua")));
/// The time after which the places and the money of a request are free if its gateway is gone.
const HOLD: Duration = Duration::from_secs(60);
/// The numbers of a claim in an answer.
const NUMBERS: usize = 7;

/// An identity of a reservation in Redis, unique over all gateways.
pub(crate) type Holder = Arc<str>;

/// The kind of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Reads, and reserves nothing.
    Look,
    /// Reserves all claims, or none.
    Reserve,
}

/// A reserved claim in Redis.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// The counter.
    pub(super) id: CounterId,
    kind: Kind,
    /// The place and the amount of the reservation.
    pub(crate) mark: Mark,
}

/// The answer to one claim.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) level: Level,
    pub(super) mark: Mark,
    pub(super) warns: bool,
}

/// The state of all claims of a step.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) found: Vec<Found>,
    /// The claims that do not fit; then nothing is reserved.
    pub(super) over: Vec<Over>,
}

impl Held {
    pub(super) fn new(claim: &Claim, mark: Mark) -> Self {
        Self { id: claim.id.clone(), kind: claim.kind, mark }
    }

    /// Returns the key and the member of a hold that must be renewed.
    pub(super) fn hold(&self, holder: &str) -> Option<(String, String)> {
        let key = || holds(&key(&self.id));
        match self.kind {
            Kind::Window(_) => None,
            Kind::Concurrent if self.mark.amount == 0 => None,
            Kind::Concurrent => Some((key(), holder.to_owned())),
            Kind::Sum(_) => Some((key(), format!("{holder}:{}", self.mark.amount))),
        }
    }
}

/// Runs a step. `now` is the second since 1970 of this gateway, for the ends of periods.
pub(super) async fn step(
    step: Step,
    holder: &str,
    claims: &[Claim],
    now: i64,
    connection: &mut MultiplexedConnection,
) -> RedisResult<Answer> {
    let name = match step {
        Step::Look => "look",
        Step::Reserve => "reserve",
    };
    let mut call = begun(name, holder);
    for claim in claims {
        let key = key(&claim.id);
        call.key(&key).key(holds(&key));
        let (kind, from, to) = match claim.kind {
            Kind::Window(length) => ("w", i64::try_from(length).unwrap_or(i64::MAX), 0),
            Kind::Concurrent => ("c", 0, 0),
            Kind::Sum(period) => ("s", period.start, period.end),
        };
        let warn_at = claim.warn_at.map_or(String::new(), |amount| amount.to_string());
        call.arg(kind).arg(claim.amount).arg(claim.limit).arg(u8::from(claim.is_exempt));
        call.arg(from).arg(to).arg(warn_at).arg(0);
    }
    let numbers: Vec<i64> = call.invoke_async(connection).await?;
    read(&numbers, claims, now).ok_or_else(|| {
        redis::RedisError::from((redis::ErrorKind::UnexpectedReturnType, "the script's answer"))
    })
}

/// Replaces the amounts of a reservation by the true ones. After a try without an answer, counts nothing twice.
pub(super) async fn settle(
    holder: &str,
    settled: &[(Held, u64)],
    is_again: bool,
    connection: &mut MultiplexedConnection,
) -> RedisResult<()> {
    let mut call = begun(if is_again { "again" } else { "settle" }, holder);
    for (held, used) in settled {
        let key = key(&held.id);
        call.key(&key).key(holds(&key));
        let place = held.mark.place.cast_signed();
        let (kind, from, to) = match held.kind {
            Kind::Window(length) => ("w", i64::try_from(length).unwrap_or(i64::MAX), place),
            Kind::Concurrent => ("c", 0, 0),
            Kind::Sum(_) => ("s", place, 0),
        };
        call.arg(kind).arg(held.mark.amount).arg(0).arg(0).arg(from).arg(to).arg("").arg(*used);
    }
    call.invoke_async(connection).await
}

/// Keeps holds for a further time.
pub(super) async fn renew(
    members: &[(String, String)],
    connection: &mut MultiplexedConnection,
) -> RedisResult<()> {
    let mut call = begun("renew", "");
    for (key, member) in members {
        call.key(key).arg(member);
    }
    call.invoke_async(connection).await
}

fn begun(operation: &str, holder: &str) -> ScriptInvocation<'static> {
    let mut call = STEP.prepare_invoke();
    call.arg(operation).arg(holder).arg(HOLD.as_millis() as u64).arg(SLOTS);
    call
}

/// Returns the key of a counter. All keys have one hash tag, so one node of a cluster has all of them.
fn key(id: &CounterId) -> String {
    format!("{{tidegate}}:{}:{}", id.rule, id.subject)
}

fn holds(key: &str) -> String {
    format!("{key}:holds")
}

fn read(numbers: &[i64], claims: &[Claim], now: i64) -> Option<Answer> {
    let (_, numbers) = numbers.split_first()?;
    let (mut found, mut over) = (Vec::new(), Vec::new());
    if numbers.len() != claims.len() * NUMBERS {
        return None;
    }
    for (n, (claim, numbers)) in claims.iter().zip(numbers.chunks(NUMBERS)).enumerate() {
        let [cause, wait, used, full_in, place, amount, warns] = *numbers else { return None };
        let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
        let wait = Duration::from_millis(unsigned(wait));
        match cause {
            0 => {}
            1 => over.push(Over { claim: n, cause: Cause::Held, wait: held_wait(claim, now) }),
            _ => {
                let wait = match claim.kind {
                    Kind::Sum(_) => left(claim, now),
                    Kind::Window(_) | Kind::Concurrent => wait,
                };
                over.push(Over { claim: n, cause: Cause::UsedUp, wait });
            }
        }
        found.push(Found {
            level: Level {
                used: unsigned(used),
                full_in: Duration::from_millis(unsigned(full_in)),
            },
            mark: Mark { place: place.cast_unsigned(), amount: unsigned(amount) },
            warns: warns == 1,
        });
    }
    Some(Answer { found, over })
}

fn held_wait(claim: &Claim, now: i64) -> Duration {
    match claim.kind {
        Kind::Sum(_) => HELD_WAIT.min(left(claim, now)),
        Kind::Window(_) | Kind::Concurrent => CONCURRENT_WAIT,
    }
}

/// Returns the time to the end of a sum's period.
fn left(claim: &Claim, now: i64) -> Duration {
    let end = match claim.kind {
        Kind::Sum(period) => period.end,
        Kind::Window(_) | Kind::Concurrent => now,
    };
    Duration::from_secs(u64::try_from(end.saturating_sub(now)).unwrap_or(0).max(1))
}

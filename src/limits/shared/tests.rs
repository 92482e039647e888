//! The counters in Redis decide as those in memory do, for the same requests.
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::limits::budget::Period;
use crate::limits::claim::{Cause, Mark};
use crate::limits::memory::{Memory, Settled};

const HOUR: u64 = 3_600_000;

/// A Redis server of the test.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// Starts a server; `None` if it is not installed, unless `TIDEGATE_CLIENTS=require`.
    fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"]);
        command.arg(port.to_string()).current_dir(std::env::temp_dir());
        match command.stdout(Stdio::null()).spawn() {
            Ok(process) => Some(Self { process, port }),
            Err(error) => {
                let is_required =
                    std::env::var_os("TIDEGATE_CLIENTS").is_some_and(|value| value == "require");
                assert!(!is_required, "no `redis-server`: {error}");
                eprintln!("skipped: no `redis-server`: {error}");
                None
            }
        }
    }

    async fn shared(&self) -> Arc<Shared> {
        let url = format!("redis://127.0.0.1:{}/", self.port);
        let shared = Shared::start(&url, Away::Closed, &LimitMetrics::default()).unwrap();
        timeout(Duration::from_secs(20), shared.link.connected()).await.unwrap();
        shared
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn claim(rule: &str, kind: Kind, amount: u64, limit: u64) -> Claim {
    let id = CounterId { rule: rule.into(), subject: "ci".into() };
    Claim { id, kind, amount, limit, is_exempt: false, warn_at: None }
}

/// Returns the amounts of a request, by chance.
fn request(random: &mut fastrand::Rng, period: Period) -> Vec<Claim> {
    let mut claims = vec![
        claim("requests", Kind::Window(HOUR), 1, 60),
        claim("tokens", Kind::Window(24 * HOUR), random.u64(0..900), 20_000),
        claim("places", Kind::Concurrent, 1, 6),
        claim("money", Kind::Sum(period), random.u64(0..90_000), 400_000),
    ];
    claims[1].is_exempt = random.u8(..10) == 0;
    claims.retain(|_| random.u8(..4) > 0);
    claims
}

/// Both answers: the refused claims with their causes, or nothing.
type Causes = Vec<(usize, Cause)>;

fn causes(over: &[Over]) -> Causes {
    over.iter().map(|over| (over.claim, over.cause)).collect()
}

/// A running request: its claims, and its reservation in both places.
struct Running {
    claims: Vec<Claim>,
    marks: Vec<Mark>,
    reserved: Reserved,
}

/// Asks Redis until it answers in time.
async fn reserve(shared: &Arc<Shared>, claims: &[Claim], now: Now) -> Outcome {
    loop {
        if let Ok(outcome) = shared.reserve(claims, now).await {
            return outcome;
        }
        shared.flushed(Duration::from_secs(20)).await;
    }
}

async fn settle(random: &mut fastrand::Rng, running: Running, memory: &Memory, shared: &Shared) {
    let (holder, held) = running.reserved.taken();
    let amounts: Vec<u64> = running
        .claims
        .iter()
        .map(|claim| match claim.kind {
            Kind::Concurrent => 0,
            Kind::Window(_) | Kind::Sum(_) => random.u64(0..claim.amount * 2 + 1),
        })
        .collect();
    let all = running.claims.iter().zip(&running.marks).zip(&amounts);
    let all = all.map(|((claim, mark), used)| Settled { id: &claim.id, mark: *mark, used: *used });
    memory.settle(all, memory.now());
    let settled = held.into_iter().map(|(held, _)| held).zip(amounts).collect();
    shared.settle(holder, settled, Some(memory.now()));
    shared.flushed(Duration::from_secs(20)).await;
}

#[tokio::test]
async fn redis_and_memory_decide_alike() {
    let Some(server) = Server::start() else { return };
    let shared = server.shared().await;
    let (memory, mut random) = (Memory::default(), fastrand::Rng::with_seed(7));
    let second = memory.now().second;
    let period = Period { start: second - 100, end: second + 5000 };
    let mut running: Vec<Running> = Vec::new();
    let (mut admitted, mut refused) = (0, 0);
    for n in 0..400 {
        let claims = request(&mut random, period);
        let now = memory.now();
        let own = memory.reserve(&claims, now);
        let levels = |level: &dyn Fn(&Claim) -> Level| {
            claims.iter().map(|claim| level(claim).used).collect::<Vec<_>>()
        };
        match (own, reserve(&shared, &claims, now).await) {
            (Ok(marks), Ok(reserved)) => {
                admitted += 1;
                let amounts =
                    |marks: &[Mark]| marks.iter().map(|mark| mark.amount).collect::<Vec<_>>();
                let theirs: Vec<_> = reserved.held.iter().map(|(held, _)| held.mark).collect();
                assert_eq!(amounts(&marks), amounts(&theirs), "{n}");
                running.push(Running { claims: claims.clone(), marks, reserved });
            }
            (Err(own), Err(theirs)) => {
                refused += 1;
                assert_eq!(causes(&own), causes(&theirs), "{n}");
            }
            (own, theirs) => panic!("{n}: {own:?} {theirs:?}"),
        }
        assert_eq!(
            levels(&|claim| memory.level(claim, now)),
            levels(&|claim| shared.level(claim, now)),
            "{n}"
        );
        if !running.is_empty() && random.u8(..3) > 0 {
            let ended = running.swap_remove(random.usize(..running.len()));
            settle(&mut random, ended, &memory, &shared).await;
        }
    }
    assert!(admitted > 50 && refused > 50, "{admitted} {refused}");
}

#[tokio::test]
async fn a_sum_of_redis_follows_its_period_and_warns_once() {
    let Some(server) = Server::start() else { return };
    let shared = server.shared().await;
    let now = Memory::default().now();
    let day = |start| Period { start, end: start + 86_400 };
    let sum = |period, amount| Claim {
        warn_at: Some(80),
        ..claim("usd", Kind::Sum(period), amount, 100)
    };
    let today = now.second - 1000;
    let used = async |period, amount| {
        let reserved = reserve(&shared, &[sum(period, amount)], now).await.unwrap();
        let (holder, mut held) = reserved.taken();
        let (held, warns) = held.pop().unwrap();
        shared.settle(holder, vec![(held, amount)], None);
        shared.flushed(Duration::from_secs(20)).await;
        (shared.level(&sum(period, 0), now).used, warns)
    };
    assert_eq!(used(day(today), 50).await, (50, false));
    assert_eq!(used(day(today), 30).await, (80, true));
    assert_eq!(used(day(today), 5).await, (85, false));
    // another zone moves the start of the same day, and a clock may be late
    assert_eq!(used(day(today + 3600), 5).await, (90, false));
    assert_eq!(used(day(today - 3600), 5).await, (95, false));
    // the next day starts at 0, and a late clock does not bring the day before back
    assert_eq!(used(day(today + 86_400), 7).await, (7, false));
    assert_eq!(used(day(today), 1).await, (8, false));
    // used up
    assert_eq!(used(day(today + 86_400), 92).await, (100, true));
    let over = reserve(&shared, &[sum(day(today + 86_400), 0)], now).await.unwrap_err();
    assert_eq!(causes(&over), [(0, Cause::UsedUp)]);
}

#[tokio::test]
async fn a_reservation_that_no_request_takes_is_given_back() {
    let Some(server) = Server::start() else { return };
    let shared = server.shared().await;
    let now = Memory::default().now();
    let period = Period { start: now.second - 5, end: now.second + 500 };
    let claims = [
        claim("requests", Kind::Window(HOUR), 1, 1),
        claim("places", Kind::Concurrent, 1, 1),
        claim("money", Kind::Sum(period), 10, 10),
    ];
    for _ in 0..3 {
        drop(reserve(&shared, &claims, now).await.unwrap());
        shared.flushed(Duration::from_secs(20)).await;
    }
    let kept = reserve(&shared, &claims, now).await.unwrap();
    assert_eq!(reserve(&shared, &claims, now).await.unwrap_err().len(), 3);
    // a request that leaves while Redis works on its reservation
    drop(kept);
    let mut leaving = Box::pin(shared.reserve(&claims, now));
    drop(futures_util::FutureExt::now_or_never(&mut leaving));
    drop(leaving);
    let mut next = reserve(&shared, &claims, now).await;
    while next.is_err() {
        next = reserve(&shared, &claims, now).await;
    }
}

#[tokio::test]
async fn a_settlement_that_comes_after_its_hold_is_charged_once() {
    let Some(server) = Server::start() else { return };
    let shared = server.shared().await;
    let now = Memory::default().now();
    let period = Period { start: now.second - 5, end: now.second + 50_000 };
    let sum = |amount| claim("usd", Kind::Sum(period), amount, 1000);
    let mut line = shared.link.connected().await;
    let spent = async || {
        while shared.over(&[sum(0)], now).await.is_err() {}
        shared.level(&sum(0), now).used
    };
    // with and without an estimate, and whether or not the first try arrived
    for (estimate, is_first_lost) in [(70, true), (70, false), (0, true), (0, false)] {
        let before = spent().await;
        let (holder, held) = reserve(&shared, &[sum(estimate)], now).await.unwrap().taken();
        let settled: Vec<_> = held.into_iter().map(|(held, _)| (held, 30)).collect();
        // the hold expires, and another request clears it away
        let mut expire = redis::cmd("ZADD");
        expire.arg("{tidegate}:usd:ci:holds").arg(1).arg(format!("{holder}:{estimate}"));
        let () = expire.query_async(&mut line.connection).await.unwrap();
        assert_eq!(spent().await, before, "the money of the hold is free again");
        let tries = if is_first_lost { [true, true] } else { [false, true] };
        for is_again in tries {
            script::settle(&holder, &settled, is_again, &mut line.connection).await.unwrap();
            assert_eq!(spent().await, before + 30, "{estimate} {is_first_lost}");
        }
    }
}

#[tokio::test]
async fn a_settlement_without_an_estimate_is_charged_by_a_second_try() {
    let Some(server) = Server::start() else { return };
    let shared = server.shared().await;
    let now = Memory::default().now();
    let period = Period { start: now.second - 5, end: now.second + 50_000 };
    let sum = claim("usd", Kind::Sum(period), 0, 1000);
    let (holder, held) = reserve(&shared, &[sum], now).await.unwrap().taken();
    let settled: Vec<_> = held.into_iter().map(|(held, _)| (held, 30)).collect();
    let mut line = shared.link.connected().await;
    for _ in 0..3 {
        script::settle(&holder, &settled, true, &mut line.connection).await.unwrap();
    }
    let spent: u64 = redis::cmd("HGET")
        .arg("{tidegate}:usd:ci")
        .arg("spent")
        .query_async(&mut line.connection)
        .await
        .unwrap();
    assert_eq!(spent, 30);
}

#[tokio::test]
async fn an_error_of_data_is_no_outage() {
    let Some(server) = Server::start() else { return };
    let shared = server.shared().await;
    let now = Memory::default().now();
    let mut line = shared.link.connected().await;
    let damaged: [&[&str]; 3] = [
        &["SET", "{tidegate}:string:ci", "x"],
        &["HSET", "{tidegate}:window:ci", "5", "no slot"],
        &["HSET", "{tidegate}:sum:ci", "from", "1", "to", "x"],
    ];
    for command in damaged {
        let mut call = redis::cmd(command[0]);
        call.arg(&command[1..]);
        let () = call.query_async(&mut line.connection).await.unwrap();
    }
    let period = Period { start: now.second - 5, end: now.second + 50_000 };
    for (rule, kind) in
        [("string", Kind::Window(HOUR)), ("window", Kind::Window(HOUR)), ("sum", Kind::Sum(period))]
    {
        for _ in 0..5 {
            let found = shared.reserve(&[claim(rule, kind, 1, 9)], now).await;
            assert!(found.is_err(), "{rule}");
            assert!(shared.is_there(), "{rule}");
        }
    }
    // the other counters are used as before
    let kept = reserve(&shared, &[claim("fine", Kind::Window(HOUR), 1, 1)], now).await;
    assert!(kept.is_ok());
    assert!(reserve(&shared, &[claim("fine", Kind::Window(HOUR), 1, 1)], now).await.is_err());
}

#[tokio::test]
async fn a_reservation_of_nothing_keeps_no_slot_in_redis() {
    let Some(server) = Server::start() else { return };
    let shared = server.shared().await;
    let now = Memory::default().now();
    let claim = |amount| claim("tokens", Kind::Window(HOUR), amount, 100);
    let mut line = shared.link.connected().await;
    let slots = async |connection: &mut MultiplexedConnection| {
        let mut call = redis::cmd("HVALS");
        call.arg("{tidegate}:tokens:ci");
        let slots: Vec<String> = call.query_async(connection).await.unwrap();
        slots
    };
    let _first = reserve(&shared, &[claim(5)], now).await.unwrap();
    let before = slots(&mut line.connection).await;
    let nothing = reserve(&shared, &[claim(0)], now).await.unwrap();
    let after = slots(&mut line.connection).await;
    // a slot of five minutes may have ended between the two
    if after.len() == 1 {
        assert_eq!(after, before);
    }
    let (holder, held) = nothing.taken();
    shared.settle(holder, held.into_iter().map(|(held, _)| (held, 7)).collect(), Some(now));
    shared.flushed(Duration::from_secs(20)).await;
    let amount = |slot: &String| slot.split_once(' ').unwrap().0.parse::<u64>().unwrap();
    let used: u64 = slots(&mut line.connection).await.iter().map(amount).sum();
    assert_eq!(used, 12);
}

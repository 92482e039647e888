//! `Recent`: sums of the last hour in buckets of 10 seconds, and the last exchanges that ended. Both are in memory only.
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::telemetry::classes::{CLASSES, class, quantile};
use crate::telemetry::record::Record;
use crate::telemetry::story::Story;

/// The seconds of a bucket.
pub(crate) const STEP: u64 = 10;
/// The number of buckets: an hour.
pub(crate) const BUCKETS: u64 = 360;
/// The most names of one kind in a bucket. Clients choose the names of models that do not exist.
const NAMES: usize = 64;
/// The longest name, in bytes.
const NAME: usize = 256;
/// The exchanges that have ended and are kept whole.
const KEPT: usize = 256;
/// The most bytes of the texts of an exchange that is kept.
const TEXTS: usize = 16 * 1024;
/// The most attempts, tool calls and passed-over targets of such an exchange.
const ROWS: usize = 256;

/// The last hour of the process.
pub(crate) struct Recent {
    started: Instant,
    /// The second since 1970 at which the first bucket begins.
    origin: u64,
    /// The time from the beginning of the first bucket to the start.
    offset: Duration,
    buckets: Mutex<VecDeque<Bucket>>,
    stories: Mutex<VecDeque<(Arc<Story>, SystemTime)>>,
}

/// The sums of 10 seconds.
struct Bucket {
    /// The number since the first bucket.
    n: u64,
    sums: Sums,
    first_events: FirstEvents,
    models: Names,
    keys: Names,
}

/// Sums of exchanges that ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// The exchanges.
    pub(crate) requests: u64,
    /// Those that ended with an error for the client.
    pub(crate) errors: u64,
    /// Input tokens outside of the cache.
    pub(crate) uncached: u64,
    /// Tokens written to the cache.
    pub(crate) write: u64,
    /// Tokens read from the cache.
    pub(crate) read: u64,
    /// Output tokens.
    pub(crate) output: u64,
    /// Nano-dollars of the tokens with a price.
    pub(crate) cost_nano: i64,
    /// The exchanges with tokens without a price.
    pub(crate) unpriced: u64,
    /// These tokens.
    pub(crate) unpriced_tokens: u64,
}

/// The times to the first event of streams, by their class.
#[derive(Clone)]
pub(crate) struct FirstEvents([u32; CLASSES]);

/// The sums of each name; the empty name is that of exchanges without one.
#[derive(Default)]
struct Names {
    own: HashMap<Box<str>, Share>,
    /// The exchanges of further names.
    rest: Share,
}

/// The part of an object in the exchanges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// The exchanges.
    pub(crate) requests: u64,
    /// Those that ended with an error for the client.
    pub(crate) errors: u64,
    /// Nano-dollars of the tokens with a price.
    pub(crate) cost_nano: i64,
}

/// The last minutes.
pub(crate) struct Window {
    /// The beginning of the window, or of the process if that is later.
    pub(crate) since: SystemTime,
    /// The buckets in their order, empty ones included.
    pub(crate) steps: Vec<Step>,
    /// The sums of all buckets.
    pub(crate) total: Sums,
    /// The times to the first event of all buckets.
    pub(crate) first_events: FirstEvents,
    /// The models, those that cost most first, and the rest.
    pub(crate) models: Ranking,
    /// The keys, in the same order.
    pub(crate) keys: Ranking,
}

/// A bucket of a window.
pub(crate) struct Step {
    /// The beginning.
    pub(crate) at: SystemTime,
    /// The sums.
    pub(crate) sums: Sums,
    /// The times to the first event.
    pub(crate) first_events: FirstEvents,
}

/// Names by their cost and their exchanges.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ranking {
    /// The first names.
    pub(crate) first: Vec<(Box<str>, Share)>,
    /// The sums of all others; `None` without an exchange.
    pub(crate) rest: Option<Share>,
}

impl Default for Recent {
    fn default() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let origin = now.as_secs() / STEP * STEP;
        Self {
            started: Instant::now(),
            origin,
            offset: now.saturating_sub(Duration::from_secs(origin)),
            buckets: Mutex::default(),
            stories: Mutex::default(),
        }
    }
}

impl Recent {
    /// Adds an exchange that has ended.
    pub(super) fn add(&self, story: &Arc<Story>, now: Instant) {
        let n = self.number(now);
        let is_small = story.read(|record| {
            self.count(record, n);
            is_small(record)
        });
        if !is_small {
            return;
        }
        let at = SystemTime::now();
        let mut stories = self.stories.lock();
        let oldest = if stories.len() >= KEPT { stories.pop_front() } else { None };
        stories.push_back((Arc::clone(story), at));
        drop(stories);
        // the last reference frees the record, outside of the lock
        drop(oldest);
    }

    fn count(&self, record: &Record, n: u64) {
        let sums = Sums::of(record);
        let first_event = record.first_event.filter(|_| record.is_stream);
        // the names of the config come before those of a client
        let model = record.attempts.last().map_or(&*record.model, |last| &*last.model);
        let mut buckets = self.buckets.lock();
        // a thread can be a little late
        let n = buckets.back().map_or(n, |last| n.max(last.n));
        if buckets.back().is_none_or(|last| last.n < n) {
            while buckets.front().is_some_and(|first| first.n + BUCKETS <= n) {
                buckets.pop_front();
            }
            buckets.push_back(Bucket::new(n));
        }
        let Some(bucket) = buckets.back_mut() else { return };
        bucket.sums.add(&sums);
        bucket.first_events.add(first_event);
        bucket.models.add(model, sums.share());
        bucket.keys.add(&record.key, sums.share());
    }

    /// Returns the last minutes, up to an hour, with the first `most` names.
    pub(crate) fn window(&self, minutes: u64, most: usize, now: Instant) -> Window {
        let last = self.number(now);
        let number = (minutes * 60 / STEP).clamp(1, BUCKETS);
        let first = (last + 1).saturating_sub(number);
        let (mut models, mut keys) = (Names::default(), Names::default());
        let mut window = Window {
            since: self
                .moment(first)
                .max(UNIX_EPOCH + Duration::from_secs(self.origin) + self.offset),
            steps: (first..=last).map(|n| Step::new(self.moment(n))).collect(),
            total: Sums::default(),
            first_events: FirstEvents::default(),
            models: Ranking { first: Vec::new(), rest: None },
            keys: Ranking { first: Vec::new(), rest: None },
        };
        let buckets = self.buckets.lock();
        for bucket in buckets.iter().filter(|bucket| bucket.n >= first) {
            let place = usize::try_from(bucket.n - first).unwrap_or(usize::MAX);
            let Some(step) = window.steps.get_mut(place) else { continue };
            (step.sums, step.first_events) = (bucket.sums, bucket.first_events.clone());
            window.total.add(&bucket.sums);
            window.first_events.merge(&bucket.first_events);
            models.merge(&bucket.models);
            keys.merge(&bucket.keys);
        }
        drop(buckets);
        (window.models, window.keys) = (models.ranking(most), keys.ranking(most));
        window
    }

    /// Returns an exchange that has just ended, by the gateway's id of its request or by the upstream's.
    pub(crate) fn story(&self, id: &str) -> Option<(Arc<Story>, SystemTime)> {
        let stories = self.stories.lock();
        let is_it = |story: &Story| {
            story.read(|record| {
                let mut upstreams = record.attempts.iter().rev();
                let upstream = upstreams.find_map(|attempt| attempt.upstream_id.as_deref());
                &*record.request_id == id || upstream == Some(id)
            })
        };
        stories.iter().rev().find(|(story, _)| is_it(story)).cloned()
    }

    fn number(&self, now: Instant) -> u64 {
        (now.saturating_duration_since(self.started) + self.offset).as_secs() / STEP
    }

    fn moment(&self, n: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.origin + n * STEP)
    }
}

/// Returns whether a record takes little memory. Clients choose some of its texts.
fn is_small(record: &Record) -> bool {
    let tags = record.tags.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let session = record.session.as_ref().map_or(0, |session| session.len());
    let user = record.user.as_ref().map_or(0, |user| user.len());
    let rows = record.attempts.len() + record.tool_calls.len() + record.passed_over.len();
    record.model.len() + tags + session + user <= TEXTS && rows <= ROWS
}

impl Bucket {
    fn new(n: u64) -> Self {
        Self {
            n,
            sums: Sums::default(),
            first_events: FirstEvents::default(),
            models: Names::default(),
            keys: Names::default(),
        }
    }
}

impl Step {
    fn new(at: SystemTime) -> Self {
        Self { at, sums: Sums::default(), first_events: FirstEvents::default() }
    }
}

impl Sums {
    fn of(record: &Record) -> Self {
        let usage = record.usage();
        let cost = record.cost.unwrap_or_default();
        Self {
            requests: 1,
            errors: u64::from(record.status >= 400),
            uncached: usage.input,
            write: usage.written(),
            read: usage.cache_read,
            output: usage.output,
            cost_nano: cost.nano_dollars,
            unpriced: u64::from(cost.unpriced > 0),
            unpriced_tokens: cost.unpriced,
        }
    }

    fn share(&self) -> Share {
        Share { requests: self.requests, errors: self.errors, cost_nano: self.cost_nano }
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.uncached = self.uncached.saturating_add(other.uncached);
        self.write = self.write.saturating_add(other.write);
        self.read = self.read.saturating_add(other.read);
        self.output = self.output.saturating_add(other.output);
        self.cost_nano = self.cost_nano.saturating_add(other.cost_nano);
        self.unpriced += other.unpriced;
        self.unpriced_tokens = self.unpriced_tokens.saturating_add(other.unpriced_tokens);
    }
}

impl Default for FirstEvents {
    fn default() -> Self {
        Self([0; CLASSES])
    }
}

impl FirstEvents {
    fn add(&mut self, time: Option<Duration>) {
        let Some(time) = time else { return };
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0[class(micros)] += 1;
    }

    fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, own)| *sum += own);
    }

    /// Returns the time within which this share of the streams began; `None` without a stream.
    pub(crate) fn quantile(&self, percent: u64) -> Option<Duration> {
        quantile(&self.0.map(u64::from), percent)
    }
}

impl Names {
    fn add(&mut self, name: &str, share: Share) {
        let name = &name[..name.floor_char_boundary(NAME)];
        if let Some(own) = self.own.get_mut(name) {
            own.add(share);
        } else if self.own.len() < NAMES {
            self.own.insert(name.into(), share);
        } else {
            self.rest.add(share);
        }
    }

    /// Adds the names of a bucket. A window has at most the names of its buckets.
    fn merge(&mut self, other: &Self) {
        for (name, share) in &other.own {
            match self.own.get_mut(name) {
                Some(own) => own.add(*share),
                None => {
                    self.own.insert(name.clone(), *share);
                }
            }
        }
        self.rest.add(other.rest);
    }

    fn ranking(self, most: usize) -> Ranking {
        let mut first: Vec<(Box<str>, Share)> = self.own.into_iter().collect();
        first.sort_by(|(name, a), (other, b)| {
            (b.cost_nano, b.requests, name).cmp(&(a.cost_nano, a.requests, other))
        });
        let mut rest = self.rest;
        for (_, share) in first.drain(most.min(first.len())..) {
            rest.add(share);
        }
        Ranking { first, rest: Some(rest).filter(|rest| rest.requests > 0) }
    }
}

impl Share {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.cost_nano = self.cost_nano.saturating_add(other.cost_nano);
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::metrics::Metrics;
    use crate::telemetry::outcome::Ending;
    use crate::telemetry::record::Operation;

    use super::*;

    fn ended(key: &str, model: &str, status: u16) -> Arc<Story> {
        let story = Story::begin(&format!("req_{key}"), Instant::now(), Operation::Messages);
        story.name(key, model);
        story.answered(status);
        story.end(Ending::Whole, &Metrics::new());
        story
    }

    fn names(ranking: &Ranking) -> Vec<(&str, u64)> {
        ranking.first.iter().map(|(name, share)| (&**name, share.requests)).collect()
    }

    #[test]
    fn a_window_has_a_step_for_every_ten_seconds_and_forgets_after_an_hour() {
        let recent = Recent::default();
        let begin = recent.started + (Duration::from_secs(STEP) - recent.offset);
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        for (seconds, status) in [(0, 200), (9, 500), (10, 200), (3000, 429)] {
            recent.add(&ended("k", "m", status), at(seconds));
        }
        let window = recent.window(60, 10, at(3000));
        assert_eq!((window.total.requests, window.total.errors), (4, 2));
        let full: Vec<(usize, u64)> = window
            .steps
            .iter()
            .enumerate()
            .map(|(n, step)| (n, step.sums.requests))
            .filter(|(_, n)| *n > 0)
            .collect();
        // the process began in the step before
        assert_eq!(full, [(1, 2), (2, 1), (301, 1)]);
        assert_eq!(
            window.steps[301].at.duration_since(window.steps[1].at).unwrap().as_secs(),
            3000
        );
        assert_eq!(recent.window(1, 10, at(3000)).total.requests, 1);
        assert_eq!(recent.window(1, 10, at(3000)).steps.len(), 6);
        let window = recent.window(60, 10, at(3605));
        assert_eq!((window.total.requests, window.steps.len()), (2, 360));
        recent.add(&ended("k", "m", 200), at(100_000));
        assert_eq!(recent.buckets.lock().len(), 1);
        // a late thread counts in the newest bucket
        recent.add(&ended("k", "m", 200), at(50_000));
        assert_eq!(recent.window(1, 10, at(100_000)).total.requests, 2);
    }

    #[test]
    fn names_are_bounded_in_number_and_length_and_none_is_lost() {
        let recent = Recent::default();
        let now = recent.started;
        for n in 0..1000 {
            recent.add(&ended(&format!("k{n}"), &"é".repeat(1000), 200), now);
        }
        recent.add(&ended("k7", "m", 200), now);
        let window = recent.window(15, 10, now);
        assert_eq!(names(&window.keys)[0], ("k7", 2));
        assert_eq!((window.keys.first.len(), window.keys.rest.unwrap().requests), (10, 990));
        assert_eq!(window.models.first[0].0.len(), NAME);
        assert_eq!(recent.buckets.lock()[0].keys.own.len(), NAMES);
    }

    #[test]
    fn the_last_exchanges_are_found_by_their_ids() {
        let recent = Recent::default();
        for n in 0..=KEPT {
            recent.add(&ended(&n.to_string(), "m", 200), recent.started);
        }
        assert!(recent.story("req_0").is_none());
        let (story, _) = recent.story("req_1").unwrap();
        assert_eq!(story.read(|record| record.key.to_string()), "1");
        assert!(recent.story("").is_none());
        recent.add(&ended("large", &"m".repeat(1_000_000), 200), recent.started);
        assert!(recent.story("req_large").is_none());
        assert!(recent.story("req_1").is_some());
    }

    #[test]
    fn times_to_the_first_event_are_those_of_streams() {
        let mut times = FirstEvents::default();
        times.add(None);
        assert_eq!(times.quantile(50), None);
        (1..=100).for_each(|n| times.add(Some(Duration::from_millis(n))));
        let half = times.quantile(50).unwrap().as_millis();
        let most = times.quantile(95).unwrap().as_millis();
        assert!((50..=63).contains(&half) && (95..=119).contains(&most), "{half} {most}");
    }
}

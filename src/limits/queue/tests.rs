//! Tests of the queue: order by priority and turn, bounds, and requests that leave.
use std::collections::BTreeMap;

use futures_util::FutureExt as _;

use super::*;

fn caller(key: &str, priority: &str) -> Caller {
    let tags = BTreeMap::from([(PRIORITY.to_owned(), priority.to_owned())]);
    Caller { key: key.to_owned(), tags, ..Caller::default() }
}

fn line(subject: &str) -> LineId {
    LineId::Counter(CounterId { rule: "r".into(), subject: subject.into() })
}

struct Waiting {
    queue: Arc<Queue>,
    metrics: LimitMetrics,
    places: Vec<(String, Place)>,
}

impl Waiting {
    fn new() -> Self {
        Self { queue: Arc::default(), metrics: LimitMetrics::default(), places: Vec::new() }
    }

    fn enter(&mut self, name: &str, key: &str, priority: &str) {
        let place = self.queue.enter(line("x"), &caller(key, priority), &self.metrics).unwrap();
        self.places.push((name.to_owned(), place));
    }

    /// Takes the request whose turn it is out of the line.
    fn next(&mut self) -> (String, Place) {
        let first: Vec<usize> =
            (0..self.places.len()).filter(|n| self.places[*n].1.is_first()).collect();
        assert_eq!(first.len(), 1);
        self.places.remove(first[0])
    }

    /// Admits all in their order.
    fn order(mut self) -> String {
        let mut names = Vec::new();
        while !self.places.is_empty() {
            let (name, place) = self.next();
            place.ended(Waited::Admitted);
            names.push(name);
        }
        assert!(self.queue.is_empty());
        assert!(self.queue.lines.lock().by_id.is_empty());
        names.join(" ")
    }
}

#[test]
fn keys_take_turns_and_a_key_keeps_its_own_order() {
    let mut waiting = Waiting::new();
    for name in ["a1", "a2", "a3", "b1", "c1", "b2"] {
        waiting.enter(name, &name[..1], "normal");
    }
    assert_eq!(waiting.order(), "a1 b1 c1 a2 b2 a3");
}

#[test]
fn a_higher_priority_comes_first_and_an_unknown_word_is_normal() {
    let mut waiting = Waiting::new();
    for (name, priority) in
        [("low", "low"), ("odd", "urgent"), ("high", "high"), ("none", "normal"), ("late", "high")]
    {
        waiting.enter(name, name, priority);
    }
    assert_eq!(waiting.order(), "high late odd none low");
}

#[test]
fn a_request_that_leaves_has_no_turn_and_wakes_the_next_one() {
    let mut waiting = Waiting::new();
    for name in ["a1", "b1", "a2"] {
        waiting.enter(name, &name[..1], "normal");
    }
    // the client of the first one leaves
    drop(waiting.next());
    assert_eq!(waiting.order(), "b1 a2");
}

#[tokio::test]
async fn the_next_request_is_woken_when_the_first_one_is_admitted() {
    let mut waiting = Waiting::new();
    waiting.enter("a", "a", "normal");
    waiting.enter("b", "b", "normal");
    let (_, second) = waiting.places.pop().unwrap();
    let mut turn = Box::pin(second.turn());
    assert!((&mut turn).now_or_never().is_none());
    let (_, first) = waiting.places.pop().unwrap();
    first.ended(Waited::Admitted);
    turn.await;
}

#[tokio::test]
async fn the_end_of_a_running_request_wakes_the_first_one_only() {
    let mut waiting = Waiting::new();
    waiting.enter("a", "a", "normal");
    waiting.enter("b", "b", "normal");
    let pauses: Vec<_> =
        waiting.places.iter().map(|(_, place)| place.pause(Duration::MAX / 4)).collect();
    let [mut first, mut second]: [_; 2] =
        pauses.into_iter().map(Box::pin).collect::<Vec<_>>().try_into().ok().unwrap();
    assert!((&mut first).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());
    waiting.queue.wake(&line("other"));
    assert!((&mut first).now_or_never().is_none());
    waiting.queue.wake(&line("x"));
    first.await;
    assert!((&mut second).now_or_never().is_none());
}

#[test]
fn the_queue_is_bounded_for_each_key_and_for_all() {
    let (queue, metrics) = (Arc::<Queue>::default(), LimitMetrics::default());
    let mut places = Vec::new();
    for key in 0..11 {
        for _ in 0..MAX_OF_KEY + 1 {
            places.extend(queue.enter(line("x"), &caller(&key.to_string(), ""), &metrics));
        }
        assert_eq!(places.len(), ((key + 1) * MAX_OF_KEY).min(MAX_WAITING));
    }
    // a place that is left is free for others
    drop(places.pop());
    assert!(queue.enter(line("y"), &caller("new", ""), &metrics).is_some());
    places.clear();
    assert!(queue.is_empty() && queue.lines.lock().by_id.is_empty());
}

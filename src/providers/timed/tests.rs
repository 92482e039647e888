//! Streams of native frames from bodies that are cut, end, break and stop in every way.
use std::collections::VecDeque;

use futures_util::StreamExt;
use http_body::Frame;

use super::*;
use crate::providers::frames::Frames;

const START: &str = "event: message_start\ndata: {\"type\":\"message_start\"}\n\n";
const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const ERROR: &str = "event: error\ndata: {\"type\":\"error\"}\n\n";
const HOUR: Duration = Duration::from_secs(3600);

/// The next action of a body. After its steps it ends.
enum Step {
    Data(String),
    /// No data at this poll, and more at the next one.
    Pause,
    /// No more data at all.
    Hang,
    Break,
}

struct Steps(VecDeque<Step>);

impl Body for Steps {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.0.pop_front() {
            None => Poll::Ready(None),
            Some(Step::Data(text)) => Poll::Ready(Some(Ok(Frame::data(text.into())))),
            Some(Step::Break) => Poll::Ready(Some(Err("reset".into()))),
            Some(Step::Pause) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Step::Hang) => {
                self.0.push_front(Step::Hang);
                Poll::Pending
            }
        }
    }
}

fn data(text: &str) -> Step {
    Step::Data(text.to_owned())
}

fn timeouts(idle: Duration, total: Duration) -> Timeouts {
    Timeouts { idle, total, ..Timeouts::default() }
}

/// Returns the kinds of the events, and the kind of the error at the end.
async fn read(
    steps: impl IntoIterator<Item = Step>,
    timeouts: Timeouts,
) -> (Vec<EventKind>, Option<ErrorKind>) {
    let body = Steps(steps.into_iter().collect());
    let mut events = Timed::new(body, Frames::default(), timeouts);
    let mut kinds = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => kinds.push(event.kind),
            Err(error) => {
                assert!(events.next().await.is_none(), "an item after an error");
                return (kinds, Some(error.kind));
            }
        }
    }
    (kinds, None)
}

const PATIENT: Timeouts = Timeouts { connect: HOUR, first_event: HOUR, idle: HOUR, total: HOUR };

#[tokio::test]
async fn chunks_of_any_size_are_the_same_events() {
    let whole = format!("{START}: comment\n\n{STOP}");
    let kinds = vec![EventKind::MessageStart, EventKind::Other, EventKind::MessageStop];
    for at in 0..=whole.len() {
        let (one, other) = whole.split_at(at);
        let steps = [data(one), Step::Pause, data(other)];
        assert_eq!(read(steps, PATIENT).await, (kinds.clone(), None), "cut at {at}");
    }
}

#[tokio::test]
async fn a_body_that_ends_before_the_last_event_is_an_error() {
    for end in ["", "event: ping\ndata: {}", "event: message_stop\ndata: {\"type\":"] {
        let found = read([data(START), data(end)], PATIENT).await;
        assert_eq!(found, (vec![EventKind::MessageStart], Some(ErrorKind::BadUpstream)), "{end}");
    }
    assert_eq!(read([], PATIENT).await, (vec![], Some(ErrorKind::BadUpstream)));
}

#[tokio::test]
async fn the_last_event_needs_no_blank_line() {
    for (end, kind) in [(STOP, EventKind::MessageStop), (ERROR, EventKind::Error)] {
        for cut in [end.trim_end(), end.strip_suffix('\n').unwrap()] {
            let found = read([data(START), data(cut)], PATIENT).await;
            assert_eq!(found, (vec![EventKind::MessageStart, kind], None), "{cut:?}");
        }
    }
}

#[tokio::test]
async fn a_break_after_the_last_event_is_a_clean_end() {
    let found = read([data(STOP), Step::Break], PATIENT).await;
    assert_eq!(found, (vec![EventKind::MessageStop], None));
    let found = read([data(START), Step::Break], PATIENT).await;
    assert_eq!(found, (vec![EventKind::MessageStart], Some(ErrorKind::BadUpstream)));
}

#[tokio::test]
async fn nothing_is_read_after_an_error_event() {
    let found = read([data(ERROR), data(STOP), Step::Hang], PATIENT).await;
    assert_eq!(found, (vec![EventKind::Error], None));
}

#[tokio::test]
async fn silence_is_an_error() {
    let millis = Duration::from_millis(1);
    for timeouts in [timeouts(millis, HOUR), timeouts(HOUR, millis)] {
        let found = read([data(START), Step::Hang], timeouts).await;
        assert_eq!(found, (vec![EventKind::MessageStart], Some(ErrorKind::Timeout)));
    }
}

/// The pause sets the timer to an hour. The timer has to be shortened after the last event.
#[tokio::test]
async fn a_body_that_stays_open_after_the_last_event_is_given_up() {
    let steps = [data(START), Step::Pause, data(STOP), Step::Hang];
    let found = tokio::time::timeout(HOUR / 60, read(steps, PATIENT)).await.unwrap();
    assert_eq!(found, (vec![EventKind::MessageStart, EventKind::MessageStop], None));
}

#[test]
fn a_stream_is_given_up_by_the_nearest_of_its_timeouts() {
    let mut clock = Clock::start(timeouts(HOUR, 3 * HOUR));
    let start = clock.started;
    assert_eq!(clock.due(State::Open), start + HOUR);
    assert_eq!(clock.due(State::Complete), start + GRACE);
    clock.last_bytes = start + HOUR;
    assert_eq!(clock.due(State::Open), start + 2 * HOUR);
    clock.last_bytes = start + 3 * HOUR;
    assert_eq!(clock.due(State::Open), start + 3 * HOUR);
    clock.timeouts.idle = GRACE / 2;
    clock.last_bytes = start;
    assert_eq!(clock.due(State::Complete), start + GRACE / 2);
}

#[test]
fn an_error_ends_a_stream_and_the_last_event_completes_it() {
    use State::{Complete, Ended, Finishing, Open};
    for (before, kind, after) in [
        (Open, EventKind::Ping, Open),
        (Open, EventKind::MessageStop, Complete),
        (Complete, EventKind::Ping, Complete),
        (Complete, EventKind::Error, Ended),
        (Open, EventKind::Error, Ended),
        (Finishing, EventKind::MessageDelta, Finishing),
        (Finishing, EventKind::MessageStop, Ended),
    ] {
        assert_eq!(before.after(kind), after, "{before:?} {kind:?}");
    }
}

//! Streams of native frames from bodies that are cut, end, break and stop in every way.
use std::collections::VecDeque;

use futures_util::StreamExt;
use http_body::Frame;

use super::*;
use crate::providers::frames::Frames;
use crate::providers::translate::decode::{Parser, Translated};
use crate::providers::translate::ops::{Finish, Op};
use crate::providers::translate::sse::SseEvent;
use crate::providers::translate::trial;

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

/// A dialect in which every event is a text, and `end` ends the answer.
struct Words;

impl Parser for Words {
    fn event(&mut self, event: &SseEvent) -> Result<Vec<Op>> {
        let data = String::from_utf8_lossy(&event.data).into_owned();
        Ok(match data.as_str() {
            "end" => vec![Op::Finish(Finish::Turn), Op::Done],
            _ => vec![Op::Text(data)],
        })
    }

    fn whole(&mut self, _: &[u8]) -> Result<Vec<Op>> {
        Ok(Vec::new())
    }
}

type Silent = Timed<Steps, Translated<Words>>;

/// Returns a translated stream of these steps.
fn translated(steps: impl IntoIterator<Item = Step>) -> Silent {
    let body = Steps(steps.into_iter().collect());
    Timed::new(body, Translated::new(Words, trial::frame("words")), PATIENT)
}

/// Returns a stream whose upstream said nothing for the time of silence, and then takes these steps.
async fn silent(steps: impl IntoIterator<Item = Step>) -> (Vec<EventKind>, Silent) {
    let mut stream = translated([Step::Hang]);
    assert_eq!(stream.early, Some(stream.clock.started + SILENCE));
    stream.early = Some(stream.clock.started);
    let mut begin = Vec::new();
    for _ in 0..2 {
        begin.push(stream.next().await.unwrap().unwrap().kind);
    }
    stream.body = Steps(steps.into_iter().collect());
    (begin, stream)
}

async fn kinds_of(stream: &mut Silent) -> Vec<EventKind> {
    let mut kinds = Vec::new();
    while let Some(event) = stream.next().await {
        kinds.push(event.unwrap().kind);
    }
    kinds
}

#[tokio::test]
async fn a_translated_stream_begins_with_a_ping_after_15_seconds_of_silence() {
    use EventKind::{
        ContentBlockDelta, ContentBlockStart, ContentBlockStop, MessageDelta, MessageStart,
        MessageStop, Ping,
    };
    assert_eq!(SILENCE, Duration::from_secs(15));
    let words = || [Step::Pause, data("data: hello\n\n"), data("data: end\n\n")];
    let rest = [ContentBlockStart, ContentBlockDelta, ContentBlockStop, MessageDelta, MessageStop];
    let (begin, mut stream) = silent(words()).await;
    assert_eq!((begin, stream.early), (vec![MessageStart, Ping], None));
    assert_eq!(kinds_of(&mut stream).await, rest);
    // before the time is over the message waits for its content
    let found = kinds_of(&mut translated(words())).await;
    assert_eq!(found, [&[MessageStart][..], &rest].concat());
}

#[tokio::test]
async fn a_stream_that_has_begun_does_not_begin_again_after_a_silence() {
    let mut stream = translated([data("data: hello\n\n"), Step::Pause, Step::Break]);
    for expected in [EventKind::MessageStart, EventKind::ContentBlockStart] {
        assert_eq!(stream.next().await.unwrap().unwrap().kind, expected);
    }
    assert_eq!(stream.early, None);
    assert_eq!(stream.next().await.unwrap().unwrap().kind, EventKind::ContentBlockDelta);
    assert_eq!(stream.next().await.unwrap().unwrap_err().kind, ErrorKind::BadUpstream);
}

#[tokio::test]
async fn a_failure_after_an_early_beginning_ends_the_stream_with_an_error() {
    let (begin, mut stream) = silent([Step::Pause, Step::Break]).await;
    assert_eq!(begin, [EventKind::MessageStart, EventKind::Ping]);
    assert_eq!(stream.next().await.unwrap().unwrap_err().kind, ErrorKind::BadUpstream);
    assert!(stream.next().await.is_none());
    // before it, the failure is the first item, so that it becomes a status
    let mut stream = translated([Step::Pause, Step::Break]);
    assert!(stream.next().await.unwrap().is_err());
}

//! `Recording`: records one exchange as its client sent it, and the edits of each stage and of the gateway. It holds
//! bodies, so it stays in memory, within a bound that all recordings share.
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};

use crate::net::headers;
use crate::telemetry::recorded::{Actor, Edit, Kept, Recorded, Sent, Step};
use crate::telemetry::recordings::Recordings;

/// The pieces of a stream that are kept for each hook.
const PIECES: usize = 16;
/// The most bytes of a piece.
const PIECE: usize = 4 * 1024;
/// The share of one exchange in the memory of all.
const SHARE: usize = 4;
/// The value of a header that holds a secret.
const MASKED: &str = "***";

/// One exchange that is recorded.
#[derive(Debug)]
pub(crate) struct Recording {
    recordings: Arc<Recordings>,
    kept: Arc<Kept>,
}

impl Recording {
    /// Begins the recording of an exchange; `None` if recording is off.
    pub(crate) fn begin(recordings: &Arc<Recordings>, request_id: &str) -> Option<Arc<Self>> {
        recordings.is_on().then(|| Self::begin_one(recordings, request_id))
    }

    /// Begins the recording of one exchange, on or off.
    pub(crate) fn begin_one(recordings: &Arc<Recordings>, request_id: &str) -> Arc<Self> {
        let kept = Arc::new(recordings.new_one(request_id));
        Arc::new(Self { recordings: Arc::clone(recordings), kept })
    }

    /// Returns the facts up to now.
    pub(crate) fn read(&self) -> Recorded {
        self.kept.read()
    }

    /// Keeps the recording of an exchange that has ended.
    pub(crate) fn end(&self) {
        self.recordings.keep(Arc::clone(&self.kept));
    }

    /// Records the head of the client's request.
    pub(crate) fn received(&self, method: &str, path: &str, headers: &HeaderMap) {
        let shown = headers.iter().map(|(name, value)| {
            let value = match is_harmless(name) {
                true => String::from_utf8_lossy(value.as_bytes()),
                false => MASKED.into(),
            };
            (name.as_str().into(), value.into())
        });
        let headers: Vec<(Box<str>, Box<str>)> = shown.collect();
        let size = headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        let path = &path[..path.floor_char_boundary(PIECE)];
        let mut inner = self.kept.inner.lock();
        let headers = if self.takes(&mut inner, size) { headers } else { Vec::new() };
        inner.request =
            Some(Sent { method: method.into(), path: path.into(), headers, body: None });
    }

    /// Records the body of the client's request.
    pub(crate) fn body(&self, body: &Bytes) {
        let mut inner = self.kept.inner.lock();
        let kept = self.takes(&mut inner, body.len()).then(|| body.clone());
        if let Some(request) = &mut inner.request {
            request.body.clone_from(&kept);
        }
        inner.current = kept;
    }

    /// Records the request that the first stage receives. A difference is the gateway's own edit.
    pub(crate) fn request(&self, body: Bytes) {
        let mut inner = self.kept.inner.lock();
        let before = inner.current.take();
        inner.current = self.follow(&mut inner, before, body, Actor::gateway("on_request"));
    }

    /// Records the request after the edit of a stage.
    pub(crate) fn request_edited(&self, actor: Actor, body: Bytes) {
        let mut inner = self.kept.inner.lock();
        let before = inner.current.take();
        inner.current = self.follow(&mut inner, before, body, actor);
    }

    /// Records the request of an attempt, before its stages. A difference is the gateway's own edit: the model of the
    /// target, the declarations of its tools, the turns of a tool loop.
    pub(crate) fn attempt(&self, turn: u32, target: &str, body: Bytes) {
        let mut inner = self.kept.inner.lock();
        (inner.turn, inner.target) = (turn, Some(target.into()));
        let before = inner.current.take();
        inner.current = self.follow(&mut inner, before, body, Actor::gateway("attempt"));
        inner.sending = inner.current.clone();
    }

    /// Records the request of an attempt after the edit of a stage.
    pub(crate) fn attempt_edited(&self, actor: Actor, body: Bytes) {
        let mut inner = self.kept.inner.lock();
        let before = inner.sending.take();
        inner.sending = self.follow(&mut inner, before, body, actor);
    }

    /// Records the edit of another value: a tool's call or result, an answer, an error.
    pub(crate) fn edited(&self, actor: Actor, before: Bytes, after: Bytes) {
        let mut inner = self.kept.inner.lock();
        let edit = match self.takes(&mut inner, before.len() + after.len()) {
            // a part of a larger text would hold all of it
            true => Edit::Whole {
                before: Bytes::copy_from_slice(&before),
                after: Bytes::copy_from_slice(&after),
            },
            false => Edit::TooLarge,
        };
        inner.push(actor, edit);
    }

    /// Records the edit of a piece of a stream.
    pub(crate) fn piece(&self, actor: Actor, before: &str, after: &str) {
        let mut inner = self.kept.inner.lock();
        let cut = |text: &str| -> Box<str> { text[..text.floor_char_boundary(PIECE)].into() };
        let known = inner.steps.iter().position(|step| {
            step.actor == actor && matches!(step.edit, Edit::Pieces { .. } | Edit::TooLarge)
        });
        let pair = [cut(before), cut(after)];
        let size = pair.iter().map(|text| text.len()).sum();
        let has_room = match known.map(|n| &inner.steps[n].edit) {
            Some(Edit::Pieces { first, .. }) => first.len() < PIECES,
            known => known.is_none(),
        };
        let first = has_room && self.takes(&mut inner, size);
        let place = known.unwrap_or(inner.steps.len());
        if known.is_none() {
            inner.push(actor, Edit::Pieces { number: 0, first: Vec::new() });
        }
        if let Some(Step { edit: Edit::Pieces { number, first: pieces }, .. }) =
            inner.steps.get_mut(place)
        {
            *number += 1;
            pieces.extend(first.then_some(pair));
        }
    }

    /// Notes the later value of a chain, and its difference from the earlier one. Returns the later value if there is
    /// memory for it.
    fn follow(
        &self,
        inner: &mut Recorded,
        before: Option<Bytes>,
        after: Bytes,
        actor: Actor,
    ) -> Option<Bytes> {
        let is_same = before.as_ref().is_some_and(|before| {
            let is_one = before.as_ptr() == after.as_ptr() && before.len() == after.len();
            is_one || *before == after
        });
        if is_same {
            return before;
        }
        let kept = self.takes(inner, after.len()).then_some(after);
        let edit = match (before, &kept) {
            (Some(before), Some(after)) => Edit::Whole { before, after: after.clone() },
            _ => Edit::TooLarge,
        };
        inner.push(actor, edit);
        kept
    }

    /// Takes memory for `size` bytes, if the exchange has not had its share, and if all recordings have some left.
    fn takes(&self, inner: &mut Recorded, size: usize) -> bool {
        let is_within = inner.size.saturating_add(size) <= self.recordings.bytes() / SHARE;
        if !is_within || !self.recordings.take(size) {
            return false;
        }
        inner.size += size;
        true
    }
}

/// Returns whether a header holds no secret. An unknown header may hold one.
fn is_harmless(name: &HeaderName) -> bool {
    const PARTS: [&str; 9] =
        ["key", "secret", "token", "auth", "cookie", "password", "credential", "sign", "jwt"];
    let text = name.as_str();
    let is_known = matches!(
        text,
        "host"
            | "content-length"
            | "content-encoding"
            | "accept-encoding"
            | "transfer-encoding"
            | "connection"
            | "expect"
            | "x-forwarded-for"
            | "x-forwarded-proto"
    );
    let is_ours = text.starts_with("x-tidegate-");
    (is_known || is_ours || headers::may_be_forwarded(name))
        && !PARTS.iter().any(|part| text.contains(part))
}

#[cfg(test)]
mod tests {
    use crate::telemetry::recorded::{ActorKind, STEPS};

    use super::*;

    fn recording(bytes: usize) -> Arc<Recording> {
        let recordings = Arc::<Recordings>::default();
        recordings.switch_on(10, bytes);
        Recording::begin(&recordings, "req_1").unwrap()
    }

    fn actor(hook: &'static str) -> Actor {
        Actor { stage: "p".into(), kind: ActorKind::Policy, hook }
    }

    fn shown(recording: &Recording) -> Vec<String> {
        let steps = recording.kept.read().steps;
        let shown = steps.iter().map(|step| {
            let edit = match &step.edit {
                Edit::Whole { before, after } => format!(
                    "{} > {}",
                    String::from_utf8_lossy(before),
                    String::from_utf8_lossy(after)
                ),
                Edit::Pieces { number, first } => format!("{number} {}", first.len()),
                Edit::TooLarge => "too large".to_owned(),
            };
            let target = step.target.as_deref().unwrap_or("-");
            format!("{} {} {} {target}: {edit}", step.actor.stage, step.actor.hook, step.turn)
        });
        shown.collect()
    }

    #[test]
    fn each_edit_has_its_author_turn_and_target() {
        let recording = recording(1 << 20);
        recording.received("POST", "/v1/messages", &HeaderMap::new());
        recording.body(&"1".into());
        recording.request("1".into());
        recording.request_edited(actor("on_request"), "2".into());
        recording.attempt(1, "up/m", "3".into());
        recording.attempt_edited(actor("on_upstream_request"), "4".into());
        recording.attempt(1, "up/n", "3".into());
        recording.edited(actor("on_tool_call"), "{}".into(), "[]".into());
        recording.attempt(2, "up/n", "5".into());
        assert_eq!(
            shown(&recording),
            [
                "p on_request 0 -: 1 > 2",
                " attempt 1 up/m: 2 > 3",
                "p on_upstream_request 1 up/m: 3 > 4",
                "p on_tool_call 1 -: {} > []",
                " attempt 2 up/n: 3 > 5",
            ]
        );
    }

    #[test]
    fn an_exchange_is_bounded_and_says_so() {
        let recording = recording(400);
        recording.received("POST", "/", &HeaderMap::new());
        recording.body(&"x".repeat(60).into());
        recording.request_edited(actor("on_request"), "y".repeat(60).into());
        recording.request_edited(actor("on_request"), "z".into());
        assert_eq!(shown(&recording)[0], "p on_request 0 -: too large");
        assert_eq!(recording.recordings.used(), 61);
        for _ in 0..1000 {
            recording.edited(actor("on_error"), Bytes::new(), Bytes::new());
        }
        let read = recording.kept.read();
        assert_eq!((read.steps.len(), read.is_cut), (STEPS, true));
        let recordings = Arc::clone(&recording.recordings);
        drop(recording);
        assert_eq!(recordings.used(), 0);
    }

    #[test]
    fn the_first_pieces_of_a_stream_are_kept_and_all_are_counted() {
        let recording = recording(1 << 20);
        for n in 0..100 {
            recording.piece(actor("on_text"), &"ä".repeat(n * 100), "b");
        }
        recording.piece(actor("on_event"), "a", "");
        assert_eq!(shown(&recording), ["p on_text 0 -: 100 16", "p on_event 0 -: 1 1"]);
    }

    #[test]
    fn a_secret_of_the_head_is_masked() {
        let recording = recording(1 << 20);
        let mut headers = HeaderMap::new();
        for name in [
            "authorization",
            "x-api-key",
            "cookie",
            "proxy-authorization",
            "x-tidegate-key",
            "x-portkey-api-key",
            "x-amz-security-token",
            "x-goog-api-key",
            "api-key",
            "x-my-secret",
            "x-amzn-oidc-data",
            "cf-access-jwt-assertion",
        ] {
            headers.insert(name, "hidden".parse().unwrap());
        }
        headers.insert("anthropic-version", "2023-06-01".parse().unwrap());
        recording.received("POST", "/", &headers);
        let sent = recording.kept.read().request.unwrap();
        let shown = sent.headers.iter().map(|(name, value)| (&**name, &**value));
        let open: Vec<(&str, &str)> = shown.filter(|(_, value)| *value != MASKED).collect();
        assert_eq!(open, [("anthropic-version", "2023-06-01")]);
    }

    fn kept(recordings: &Arc<Recordings>, id: &str, size: usize) -> bool {
        let recording = Recording::begin(recordings, id).unwrap();
        recording.received("POST", "/", &HeaderMap::new());
        recording.body(&vec![b'x'; size].into());
        let has_body = recording.kept.read().request.is_some_and(|request| request.body.is_some());
        recording.end();
        has_body
    }

    #[test]
    fn the_oldest_leave_when_there_are_too_many_or_too_large_ones() {
        let recordings = Arc::<Recordings>::default();
        recordings.switch_on(3, 1000);
        for n in 0..5 {
            assert!(kept(&recordings, &n.to_string(), 100));
        }
        let known =
            || (0..6).filter(|n| recordings.of(&n.to_string()).is_some()).collect::<Vec<_>>();
        assert_eq!((known(), recordings.used()), (vec![2, 3, 4], 300));
        // an exchange of more than its share has no body, and harms no other one
        assert!(!kept(&recordings, "5", 300));
        assert_eq!((known(), recordings.used()), (vec![3, 4, 5], 200));
        let running: Vec<_> =
            (0..4).map(|_| Recording::begin(&recordings, "running").unwrap()).collect();
        running.iter().for_each(|it| {
            it.received("POST", "/", &HeaderMap::new());
            it.body(&vec![b'x'; 250].into());
        });
        // one without a body takes no memory
        assert_eq!((known(), recordings.used()), (vec![5], 1000));
        assert!(!kept(&recordings, "0", 1), "the memory of all recordings is in use");
        drop(running);
        assert_eq!(recordings.used(), 0);
    }

    #[test]
    fn nothing_is_recorded_while_it_is_off_but_the_playground() {
        let recordings = Arc::<Recordings>::default();
        assert!(Recording::begin(&recordings, "req").is_none());
        Recording::begin_one(&recordings, "req").end();
        assert!(recordings.of("req").is_some());
    }
}

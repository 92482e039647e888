//! The playground: a message that an operator sends as the holder of a key, through the pipeline or with a draft in it.
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use crate::admin::answer::Answer;
use crate::admin::call::Call;
use crate::admin::drafts::Draft;
use crate::admin::failure::Failure;
use crate::admin::placed::PlacedProblem;
use crate::admin::route::Route;
use crate::admin::state::State;
use crate::auth::Identity;
use crate::exchange::{self, Inbound, respond};
use crate::gateway::Gateway;
use crate::net::body::{Body, Received};
use crate::policy::Pipeline;
use crate::telemetry::story::request_id;

/// The parts of an answer that may wait for a slow client.
const WAITING: usize = 64;

/// Returns the route.
pub(super) fn routes() -> Vec<Route> {
    let route = Route::new(
        Method::POST,
        "/api/playground",
        "Sends a message as the holder of a key. The answer is that of the gateway. A stream ends with the event `tidegate_story`; its `id` is that of the exchange.",
        |state, call| Box::pin(play(state, call)),
    );
    let route = route.sends().body::<Asked>();
    vec![route.answers::<Message>(200).answers::<Refused>(422)]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The name of the key; empty if clients need none.
    #[serde(default)]
    key: String,
    /// The body of the message, as a client sends it.
    request: Map<String, Value>,
    /// A draft that takes the place of the policy with its name for this request, or is the last stage.
    policy: Option<Draft>,
}

/// The answer of the gateway: a message, or a stream if the request asks for one.
#[derive(Debug, Serialize, JsonSchema)]
struct Message {
    /// The fields of the message.
    #[serde(flatten)]
    fields: Map<String, Value>,
}

/// A draft that cannot be used.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Refused {
    /// The problems of the draft.
    problems: Vec<PlacedProblem>,
}

async fn play(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let Asked { key, request, policy } = call.body()?;
    let gateway = state.live.load();
    let identity = identity(&gateway, &key)?;
    let pipeline = match policy {
        None => Arc::clone(&gateway.pipeline),
        Some(draft) => match drafted(&state, &gateway, draft).await? {
            Ok(pipeline) => pipeline,
            Err(problems) => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                return Ok(Answer::with(status, &Refused { problems })?.about(key));
            }
        },
    };
    let sent = Sent::new(&call, &request)?;
    let (handle, seat) = state.workshop.requests()?;
    let (id, (head, answered)) = (sent.id.clone(), tokio::sync::oneshot::channel());
    handle.spawn(async move {
        let _seat = seat;
        sent.run(&gateway, identity, &pipeline, head).await;
    });
    let broken = |_| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the request ended early");
    let response = answered.await.map_err(broken)?;
    Ok(Answer::from(response).about(key).detail(format!("request {id}")))
}

fn identity(gateway: &Gateway, key: &str) -> Result<Identity, Failure> {
    let found = gateway.auth.named(key);
    let found = found.map_err(|error| Failure::field("key", "a key that counts", error.message))?;
    let shown: String = key.chars().take(80).collect();
    found.ok_or_else(|| Failure::field("key", "the name of a key", format!("`{shown}`")))
}

/// Returns the pipeline with the draft in it, or the problems of the draft.
async fn drafted(
    state: &State,
    gateway: &Arc<Gateway>,
    draft: Draft,
) -> Result<Result<Arc<Pipeline>, Vec<PlacedProblem>>, Failure> {
    draft.check()?;
    let gateway = Arc::clone(gateway);
    let made = state.workshop.try_out(move || {
        let script = draft.compile(&gateway)?;
        let pipeline = gateway.pipeline.with_draft(&draft.at(&gateway, &script));
        pipeline.map(Arc::new).map_err(|found| PlacedProblem::all(&found, &draft.file()))
    });
    made.await
}

/// A message on its way through the gateway.
struct Sent {
    id: String,
    head: Parts,
    body: Bytes,
}

impl Sent {
    fn new(call: &Call, request: &Map<String, Value>) -> Result<Self, Failure> {
        let mut head = Request::post("/v1/messages");
        for name in ["anthropic-version", "anthropic-beta", "user-agent"] {
            if let Some(value) = call.headers.get(name) {
                head = head.header(name, value);
            }
        }
        let built = head.header(CONTENT_TYPE, "application/json").body(());
        let wrong = |_| Failure::new(StatusCode::BAD_REQUEST, "the request has no valid head");
        let (head, ()) = built.map_err(wrong)?.into_parts();
        let body = Bytes::from(json!(request).to_string());
        Ok(Self { id: request_id(), head, body })
    }

    /// Sends the message, and hands the answer on. A client that leaves ends the request.
    async fn run(
        self,
        gateway: &Arc<Gateway>,
        identity: Identity,
        pipeline: &Arc<Pipeline>,
        head: tokio::sync::oneshot::Sender<Response<Body>>,
    ) {
        let mut head = head;
        let (id, started) = (self.id.clone(), Instant::now());
        let body = Received::whole(self.body);
        let inbound = Inbound { head: self.head, body, request_id: self.id, started };
        let answered = exchange::as_operator(gateway, inbound, identity, pipeline);
        let answered = tokio::select! {
            answered = answered => answered,
            () = head.closed() => return,
        };
        let response = respond::answered(answered, &id, gateway.bounds.ping_interval);
        let (parts, mut body) = response.into_parts();
        let (pieces, waiting) = mpsc::channel::<Bytes>(WAITING);
        let response = Response::from_parts(parts, received(waiting));
        let is_stream = is_stream(&response);
        if head.send(response).is_err() {
            return;
        }
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                () = pieces.closed() => return,
            };
            let data = frame.and_then(Result::ok).and_then(|frame| frame.into_data().ok());
            let Some(data) = data else { break };
            if pieces.send(data).await.is_err() {
                return;
            }
        }
        // the exchange ends with its body
        drop(body);
        if is_stream {
            let story = format!("event: tidegate_story\ndata: {}\n\n", json!({ "id": id }));
            // the client may have left
            let _ = pieces.send(story.into()).await;
        }
    }
}

fn is_stream(response: &Response<Body>) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"text/event-stream"))
}

/// Returns a body of the parts that arrive.
fn received(waiting: mpsc::Receiver<Bytes>) -> Body {
    let frames = stream::unfold(waiting, |mut waiting| async move {
        let piece = waiting.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(piece)), waiting))
    });
    Body::Stream(Box::pin(StreamBody::new(frames).map_err(Into::into)))
}

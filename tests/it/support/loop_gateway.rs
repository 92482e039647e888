//! A gateway with server tools in the process of the test, before an upstream that shows what it
//! was sent: one that the test leads, or the simulator.
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tempfile::TempDir;
use tidegate::config::Config;
use tidegate::context::{Caller, Context};
use tidegate::error::{BoxError, Problem};
use tidegate::gateway::reload::{Reloaded, Reloader};
use tidegate::gateway::shared::Shared;
use tidegate::gateway::{Gateway, Live};
use tidegate::providers::simulator::Simulator;
use tidegate::providers::{Attempt, Provider, Timeouts};
use tidegate::server::Server;
use tidegate::wire::sse::Cutter;
use tidegate::wire::{Endpoint, Event, EventStream, MessagesRequest, ReplyBody};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use crate::plugin::wasm;

/// Far above what anything here takes: only a hang reaches it.
const HANG: Duration = Duration::from_secs(20);

/// Waits for what must happen; a hang is a failure that says what was awaited.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(HANG, future).await {
        Ok(value) => value,
        Err(_) => panic!("hangs: {what}"),
    }
}

/// A gateway whose plugins are `advisor`, `datetime`, `unruly` and `web`.
pub struct Looping {
    folder: TempDir,
    reloader: Reloader,
    _server: Server,
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl Looping {
    /// The model `m` leads to the upstream's `up-1`.
    pub async fn before(upstream: SocketAddr) -> Self {
        Self::with(upstream, "", &[]).await
    }

    /// The same with these plugins in place of the usual ones; the config names their folder `{plugins}`.
    pub async fn with_plugins(upstream: SocketAddr, more: &str, plugins: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in plugins {
            fs::copy(wasm(name), folder.path().join(format!("{name}.wasm"))).unwrap();
        }
        let dir = folder.path().display();
        let gateway = Self::with(upstream, &more.replace("{plugins}", &dir.to_string()), &[]).await;
        // what is loaded is loaded
        drop(folder);
        gateway
    }

    /// The same with more config, and files beside it by their path. A config with `models:` of
    /// its own names the provider `up`, or `sim`, which is built in.
    pub async fn with(upstream: SocketAddr, more: &str, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["policies", "plugins"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for name in ["advisor", "datetime", "unruly", "web"] {
            fs::copy(wasm(name), folder.path().join(format!("plugins/{name}.wasm"))).unwrap();
        }
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let mut yaml = format!(
            "listen: 127.0.0.1:0\nproviders:\n  up: {{ type: anthropic, api_key: k, base_url: \"http://{upstream}\", citations: true }}\n  sim: {{ type: simulator }}\n{more}\n"
        );
        if !more.lines().any(|line| line.starts_with("models:")) {
            yaml.push_str("models:\n  m: { provider: up, model: up-1 }\n");
        }
        if !more.contains("server:") {
            yaml.push_str("server: { workers: 1 }\n");
        }
        let config = Config::parse(&yaml, folder.path()).unwrap_or_else(|found| fail(&found));
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-cache");
        let shared = Shared::new(1, Some(cache)).unwrap_or_else(|found| fail(&found));
        let shared = Arc::new(shared);
        let gateway = Gateway::build(&config, 1, &shared).await;
        let live = Arc::new(Live::new(gateway.unwrap_or_else(|found| fail(&found))));
        let server = Server::start(config.listen, &config.server, &live)
            .unwrap_or_else(|problem| fail(&[problem]));
        let address = server.address;
        let file = folder.path().join("tidegate.yaml");
        fs::write(&file, yaml).unwrap();
        let reloader = Reloader::new(&file, &config, &shared, &live);
        Self { folder, reloader, _server: server, shared, address }
    }

    /// Reloads without any policy or plugin.
    pub async fn reload_bare(&self) {
        for name in ["policies", "plugins"] {
            for entry in fs::read_dir(self.folder.path().join(name)).unwrap() {
                fs::remove_file(entry.unwrap().path()).unwrap();
            }
        }
        match self.reloader.reload().await {
            Reloaded::Swapped(_) => {}
            other => panic!("{other:?}"),
        }
    }

    /// Sends a request and reads the whole answer.
    pub async fn ask(&self, body: &Value) -> Answer {
        self.open("/v1/messages", body.to_string()).await.finish().await
    }

    /// The events of an answer that streams.
    pub async fn events(&self, body: &Value) -> Vec<Event> {
        let mut body = body.clone();
        body["stream"] = true.into();
        let mut answer = self.open("/v1/messages", body.to_string()).await;
        if answer.status != 200 {
            panic!("{}", answer.finish().await.text());
        }
        let mut events = Vec::new();
        while let Some(event) = answer.event().await {
            events.push(event);
        }
        events
    }

    /// Sends a request and reads the head of the answer.
    pub async fn open(&self, path: &str, body: String) -> Opened {
        self.open_as("", path, body).await
    }

    /// The same with a key.
    pub async fn open_as(&self, key: &str, path: &str, body: String) -> Opened {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = Leaving(tokio::spawn(async move { drop(connection.await) }));
        let request = Request::post(path).header("host", "gateway.test").header("x-api-key", key);
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let response = within("the head of an answer", sender.send_request(request)).await.unwrap();
        let (head, body) = response.into_parts();
        Opened {
            status: head.status.as_u16(),
            body,
            cutter: Cutter::default(),
            is_broken: false,
            connection,
        }
    }

    /// Everything that is measured, as a scraper reads it.
    pub fn metrics(&self) -> String {
        self.shared.metrics.encode().unwrap()
    }

    /// A measured value by its name and a part of its labels; 0 if there is none.
    pub fn measured(&self, name: &str, labels: &str) -> f64 {
        let metrics = self.metrics();
        let fits = |line: &&str| {
            line.starts_with(&format!("{name}{{")) && labels.split(' ').all(|l| line.contains(l))
        };
        let values = metrics.lines().filter(fits).filter_map(|line| line.rsplit(' ').next());
        values.filter_map(|value| value.parse::<f64>().ok()).sum()
    }

    /// Waits until no request is under way.
    pub async fn until_idle(&self) {
        within("the last request to be over", async {
            while self.shared.metrics.active_requests.get() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

fn fail(found: &[Problem]) -> ! {
    panic!("{}", found.iter().map(|problem| format!("{problem}\n")).collect::<String>())
}

/// Closes its connection when it is dropped.
struct Leaving(tokio::task::JoinHandle<()>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer whose head has been read.
pub struct Opened {
    /// The status.
    pub status: u16,
    body: Incoming,
    cutter: Cutter,
    is_broken: bool,
    connection: Leaving,
}

impl Opened {
    /// The next event; `None` when the stream is over.
    pub async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(frame) = self.cutter.next_frame().unwrap() {
                return Some(Event::from_frame(frame));
            }
            match within("an event", self.body.frame()).await {
                Some(Ok(frame)) => self.cutter.push(frame.into_data().unwrap()),
                Some(Err(_)) => self.is_broken = true,
                None => return None,
            }
            if self.is_broken {
                return None;
            }
        }
    }

    /// The whole answer.
    pub async fn finish(self) -> Answer {
        let body = within("a body", self.body.collect()).await.unwrap().to_bytes();
        Answer { status: self.status, body }
    }

    /// The caller leaves.
    pub fn leave(self) {
        drop(self.connection);
    }
}

/// A whole answer.
pub struct Answer {
    /// The status.
    pub status: u16,
    body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body of a success.
    pub fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The message of an error.
    pub fn refusal(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        body["error"]["message"].as_str().unwrap().to_owned()
    }
}

type Chunks = mpsc::Sender<Result<Bytes, BoxError>>;
type Body = UnsyncBoxBody<Bytes, BoxError>;

/// An upstream on loopback.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    calls: mpsc::UnboundedReceiver<Call>,
}

/// A request to it.
pub struct Call {
    /// Where it went.
    pub path: String,
    /// The exact bytes.
    pub body: Bytes,
    reply: oneshot::Sender<Response<Body>>,
}

impl Upstream {
    /// One that the test leads.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, calls) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connected(stream, sender.clone()));
            }
        });
        Self { address, calls }
    }

    /// The next request.
    pub async fn call(&mut self) -> Call {
        within("a request to the upstream", self.calls.recv()).await.unwrap()
    }

    /// Lets the simulator answer every request.
    pub fn simulate(mut self) -> Simulated {
        let (address, seen) = (self.address, Arc::<Mutex<Vec<Bytes>>>::default());
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Some(call) = self.calls.recv().await {
                log.lock().unwrap().push(call.body.clone());
                tokio::spawn(call.simulate());
            }
        });
        Simulated { address, seen }
    }
}

/// A simulator behind HTTP.
pub struct Simulated {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Bytes>>>,
}

impl Simulated {
    /// One that listens.
    pub async fn start() -> Self {
        Upstream::start().await.simulate()
    }

    /// The bodies of all requests so far.
    pub fn bodies(&self) -> Vec<Bytes> {
        self.seen.lock().unwrap().clone()
    }

    /// The same as JSON.
    pub fn seen(&self) -> Vec<Value> {
        self.bodies().iter().map(|body| serde_json::from_slice(body).unwrap()).collect()
    }
}

async fn connected(stream: TcpStream, calls: mpsc::UnboundedSender<Call>) {
    let service = service_fn(move |request| serve(request, calls.clone()));
    let server = hyper::server::conn::http1::Builder::new();
    // how it ends is the gateway's business
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn serve(
    request: Request<Incoming>,
    calls: mpsc::UnboundedSender<Call>,
) -> Result<Response<Body>, BoxError> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    let (reply, answer) = oneshot::channel();
    calls.send(Call { path, body, reply }).map_err(|_| "the test is over")?;
    Ok(answer.await?)
}

impl Call {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Waits until the gateway has given the request up.
    pub async fn abandoned(mut self) {
        within("a request to be given up", self.reply.closed()).await;
    }

    /// Begins a stream. An `Err` breaks it off, a drop of the sender ends it.
    pub fn stream(self) -> Chunks {
        let (sender, chunks) = mpsc::channel::<Result<Bytes, BoxError>>(1024);
        let chunks = stream::unfold(chunks, |mut chunks| async move {
            Some((chunks.recv().await?.map(Frame::data), chunks))
        });
        let body = StreamBody::new(chunks);
        self.answer(200, "text/event-stream", body.boxed_unsync());
        sender
    }

    /// Streams all of these frames.
    pub async fn frames(self, frames: &[String]) {
        let chunks = self.stream();
        for frame in frames {
            // who has left sees no more
            let _ = chunks.send(Ok(frame.clone().into())).await;
        }
    }

    async fn pass(self, mut events: EventStream) {
        let chunks = self.stream();
        while let Some(event) = events.next().await {
            let chunk = event.map(Event::into_frame).map_err(Into::into);
            if chunks.send(chunk).await.is_err() {
                return;
            }
        }
    }

    fn answer(self, status: u16, kind: &str, body: Body) {
        let response = Response::builder().status(status).header("content-type", kind);
        // who has left sees no answer
        let _ = self.reply.send(response.body(body).unwrap());
    }

    /// Answers with a whole body.
    pub fn whole(self, status: u16, body: Bytes) {
        let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
        self.answer(status, "application/json", body);
    }

    async fn simulate(self) {
        let endpoint = match self.path.ends_with("count_tokens") {
            true => Endpoint::CountTokens,
            false => Endpoint::Messages,
        };
        let request = MessagesRequest::parse(self.body.clone(), endpoint).unwrap();
        let attempt = Attempt { request, headers: None, timeouts: Timeouts::default() };
        match Simulator::new(Duration::ZERO).send(&context(), attempt).await {
            Ok(reply) => match reply.body {
                ReplyBody::Full(body) => self.whole(200, body),
                ReplyBody::Events(events) => self.pass(events).await,
            },
            Err(error) => {
                let answer = error.answer().unwrap().clone();
                let status = answer.status().as_u16();
                self.whole(status, answer.into_body());
            }
        }
    }
}

/// The facts of some exchange.
pub fn context() -> Context {
    Context {
        request_id: "req_1".to_owned(),
        started: Instant::now(),
        caller: Arc::new(Caller::default()),
        headers: HeaderMap::new(),
        query: None,
        credential: None,
        session: "s".to_owned(),
        model: "m".to_owned(),
        story: Arc::default(),
    }
}

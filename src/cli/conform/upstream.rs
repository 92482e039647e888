//! The test upstream: an Anthropic-compatible server that answers byte by byte as the checks have prepared.
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::cli::conform::play::Step;
use crate::cli::conform::stage::{Seen, Stage};
use crate::cli::conform::unprepared;

/// The most headers of a request.
const HEADERS: usize = 256;
/// The wait after an error of the listener, such as too many open files.
const PAUSE: Duration = Duration::from_millis(20);

/// The test upstream. Dropped, it stops.
#[derive(Debug)]
pub struct Upstream {
    /// The address on which it listens.
    pub address: SocketAddr,
    pub(super) stage: Arc<Stage>,
    task: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    /// Starts the upstream.
    ///
    /// Fails if the address cannot be listened on.
    pub async fn start(listen: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let stage: Arc<Stage> = Arc::default();
        let task = tokio::spawn(accept(listener, Arc::clone(&stage)));
        Ok(Self { address, stage, task })
    }
}

async fn accept(listener: TcpListener, stage: Arc<Stage>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                let connection =
                    Connection { stream, buffer: BytesMut::new(), stage: Arc::clone(&stage) };
                tokio::spawn(connection.serve());
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    stage: Arc<Stage>,
}

/// The state of a connection after an answer.
enum After {
    Open,
    Closed,
}

impl Connection {
    async fn serve(mut self) {
        while let Some(seen) = self.request().await {
            let plain = unprepared::answer(&seen);
            let play = self.stage.receive(seen).unwrap_or(plain);
            if let After::Closed = self.play(play.steps).await {
                return;
            }
        }
    }

    async fn play(&mut self, steps: Vec<Step>) -> After {
        for step in steps {
            if let After::Closed = self.step(step).await {
                return After::Closed;
            }
        }
        After::Open
    }

    async fn step(&mut self, step: Step) -> After {
        match step {
            Step::Send(bytes) => match self.stream.write_all(&bytes).await {
                Ok(()) => After::Open,
                Err(_) => After::Closed,
            },
            Step::Wait(permits) => {
                // nothing closes the semaphore
                permits.acquire().await.map_or(After::Closed, |permit| {
                    permit.forget();
                    After::Open
                })
            }
            Step::Report(reached) => {
                reached.notify_one();
                After::Open
            }
            Step::Watch(closed) => {
                while self.more().await.is_some() {}
                closed.notify_one();
                After::Closed
            }
            Step::Close => After::Closed,
            Step::Reset => {
                let _ = self.stream.set_zero_linger();
                After::Closed
            }
        }
    }

    /// Reads the next request; `None` at the end of the connection, or if it is no HTTP/1.1.
    async fn request(&mut self) -> Option<Seen> {
        let end = loop {
            if let Some(at) = memmem::find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = self.buffer.split_to(end);
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(&head).ok()?;
        let method = request.method?.to_owned();
        let target = request.path?.to_owned();
        let headers = request.headers.iter().map(|header| {
            (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned())
        });
        let mut seen = Seen { method, target, headers: headers.collect(), body: Bytes::new() };
        if seen.header("expect").is_some() {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
        }
        seen.body = match seen.header("transfer-encoding") {
            Some(_) => self.chunked().await?,
            None => {
                let length = seen.header("content-length").map_or(Some(0), |n| n.parse().ok())?;
                self.exactly(length).await?.freeze()
            }
        };
        Some(seen)
    }

    async fn chunked(&mut self) -> Option<Bytes> {
        let mut body = BytesMut::new();
        loop {
            let line = self.line().await?;
            let size = line[..].split(|byte| *byte == b';').next()?;
            let size = std::str::from_utf8(size).ok()?.trim();
            let size = usize::from_str_radix(size, 16).ok()?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&self.exactly(size).await?);
            self.line().await?;
        }
        // trailers end with an empty line
        while !self.line().await?.is_empty() {}
        Some(body.freeze())
    }

    async fn line(&mut self) -> Option<BytesMut> {
        let end = loop {
            if let Some(at) = memmem::find(&self.buffer, b"\r\n") {
                break at;
            }
            self.more().await?;
        };
        let mut line = self.buffer.split_to(end + 2);
        line.truncate(end);
        Some(line)
    }

    async fn exactly(&mut self, length: usize) -> Option<BytesMut> {
        while self.buffer.len() < length {
            self.more().await?;
        }
        Some(self.buffer.split_to(length))
    }

    async fn more(&mut self) -> Option<()> {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(()),
        }
    }
}

//! A small reverse proxy that can be wrong on purpose, in one way at a time.
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::edits;
use super::faults::Fault;
use crate::support::head::{Head, Inlet};

/// The proxy. Dropped, it stops.
pub struct Proxy {
    /// The address on which it listens.
    pub address: SocketAddr,
    upstream: Arc<OnceLock<SocketAddr>>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Starts a proxy with a fault. Without an upstream it waits for [`Self::lead_to`].
    pub async fn start(fault: Fault, upstream: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let known: Arc<OnceLock<SocketAddr>> = Arc::default();
        if let Some(upstream) = upstream {
            known.set(upstream).unwrap();
        }
        let found = Arc::clone(&known);
        let task = tokio::spawn(accept(listener, fault, found));
        Self { address, upstream: known, task }
    }

    /// Names the upstream.
    pub fn lead_to(&self, upstream: SocketAddr) {
        self.upstream.set(upstream).unwrap();
    }
}

/// Takes connections. A client that comes before the upstream is known is turned away.
async fn accept(listener: TcpListener, fault: Fault, upstream: Arc<OnceLock<SocketAddr>>) {
    while let Ok((stream, _)) = listener.accept().await {
        if let Some(upstream) = upstream.get() {
            tokio::spawn(serve(fault, stream, *upstream));
        }
    }
}

/// Serves the one request of a connection.
async fn serve(fault: Fault, mut client: TcpStream, address: SocketAddr) {
    let mut inlet = Inlet::default();
    let Some(head) = inlet.head(&mut client).await else { return };
    let Some(body) = inlet.body(&head, &mut client).await else { return };
    if fault == Fault::IsStrict && edits::is_unexpected(&head, &body) {
        let body = edits::ENVELOPE;
        let text = format!("HTTP/1.1 400 Bad\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let _ = client.write_all(text.as_bytes()).await;
        return;
    }
    let mut upstream = TcpStream::connect(address).await.unwrap();
    upstream.write_all(&edits::request(fault, &head, &body)).await.unwrap();
    if fault == Fault::Buffers {
        return relay(fault, &head, &mut client, &mut upstream).await;
    }
    let (mut reader, mut writer) = client.split();
    let mut nothing = [0; 1];
    tokio::select! {
        () = relay(fault, &head, &mut writer, &mut upstream) => {}
        // the client left
        _ = reader.read(&mut nothing) => {}
    }
}

/// Passes the answer on.
async fn relay(
    fault: Fault,
    request: &Head,
    client: &mut (impl AsyncWriteExt + Unpin),
    upstream: &mut TcpStream,
) {
    let mut inlet = Inlet::default();
    let Some(head) = inlet.head(upstream).await else {
        return write(client, &edits::broken(fault)).await;
    };
    if head.header("transfer-encoding").is_some() {
        let answer = Begun { head, inlet };
        return stream(fault, client, answer, upstream).await;
    }
    let Some(body) = inlet.body(&head, upstream).await else {
        return write(client, &edits::broken(fault)).await;
    };
    write(client, &edits::answer(fault, request, &head, &body)).await;
}

async fn write(client: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) {
    // the client may have left
    let _ = client.write_all(bytes).await;
}

/// A stream whose head has arrived.
struct Begun {
    head: Head,
    inlet: Inlet,
}

/// Passes a stream on, chunk by chunk. A stream that is not complete is cut.
async fn stream(
    fault: Fault,
    client: &mut (impl AsyncWriteExt + Unpin),
    mut answer: Begun,
    upstream: &mut TcpStream,
) {
    let mut out = edits::head(fault, &answer.head);
    out.extend(b"transfer-encoding: chunked\r\n\r\n");
    let mut frames = edits::Frames::new(fault);
    let mut received = Vec::new();
    let is_whole = loop {
        match answer.inlet.chunk(upstream).await {
            Some(Some(chunk)) => {
                received.extend(&chunk);
                let chunk = frames.edit(chunk);
                if !chunk.is_empty() {
                    out.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
                    out.extend(chunk);
                    out.extend(b"\r\n");
                }
            }
            Some(None) => break edits::is_complete(&received),
            None => break false,
        }
        if fault != Fault::Buffers {
            write(client, &std::mem::take(&mut out)).await;
        }
    };
    if is_whole || fault == Fault::EndsCleanly {
        out.extend(b"0\r\n\r\n");
    } else if received.is_empty() {
        out = edits::broken(fault);
    }
    write(client, &out).await;
}

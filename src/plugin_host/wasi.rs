//! A minimal WASI 0.2, so that guests of other languages load.
//!
//! It has no files, no sockets, no environment and an empty standard input. Output goes to the log.
//! Clocks and random numbers work.
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::io::AsyncWrite;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// The maximum length of a plugin's log line, in bytes. The gateway cuts longer lines.
pub(super) const LONGEST_LINE: usize = 4096;
/// The number of streams, pollables and similar resources that one call may hold.
const MOST_RESOURCES: usize = 1024;
/// The random bytes of one request to WASI.
const MOST_RANDOM: u64 = 1 << 20;
/// The bytes that one call may print. The rest is dropped, and the log says so.
const LONGEST_OUTPUT: usize = 64 << 10;
/// The bytes that a stream accepts at a time.
const PERMIT: usize = 64 << 10;

/// Links every interface of `wasi:cli/imports@0.2`.
pub(super) fn link<T: WasiView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)
}

/// The WASI state of one call. It is created only for a component that imports `wasi:…`.
pub(super) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    out: Printed,
    err: Printed,
}

impl Wasi {
    pub(super) fn new(plugin: &Arc<str>, request_id: &str) -> Self {
        let printed = |stream| {
            Printed(Arc::new(Mutex::new(Lines {
                stream,
                plugin: Arc::clone(plugin),
                request_id: request_id.to_owned(),
                begun: Vec::new(),
                last: String::new(),
                left: LONGEST_OUTPUT,
            })))
        };
        let (out, err) = (printed(Stream::Out), printed(Stream::Err));
        let mut builder = WasiCtx::builder();
        builder.stdout(out.clone()).stderr(err.clone()).max_random_size(MOST_RANDOM);
        builder.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
        let mut table = ResourceTable::new();
        table.set_max_capacity(MOST_RESOURCES);
        Self { ctx: builder.build(), table, out, err }
    }

    pub(super) fn view(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }

    /// Assigns later lines to another request.
    pub(super) fn serve(&self, request_id: &str) {
        for printed in [&self.out, &self.err] {
            let mut lines = printed.lines();
            request_id.clone_into(&mut lines.request_id);
            lines.left = LONGEST_OUTPUT;
        }
    }

    /// Ends both streams and logs their incomplete lines. Returns the last line of standard error,
    /// if any: the text of an exception.
    pub(super) fn finish(&self) -> Option<String> {
        self.out.lines().end();
        let mut err = self.err.lines();
        err.end();
        Some(mem::take(&mut err.last)).filter(|line| !line.is_empty())
    }
}

/// A stream to which a guest prints.
#[derive(Clone)]
struct Printed(Arc<Mutex<Lines>>);

/// The kind of an output stream.
#[derive(Clone, Copy)]
enum Stream {
    Out,
    Err,
}

/// The printed bytes, cut into lines for the log.
struct Lines {
    stream: Stream,
    plugin: Arc<str>,
    request_id: String,
    /// The bytes of the incomplete line.
    begun: Vec<u8>,
    /// The last line that was not blank.
    last: String,
    /// The bytes that may still be printed.
    left: usize,
}

impl Lines {
    fn write(&mut self, bytes: &[u8]) {
        if self.left == 0 {
            return;
        }
        let (taken, rest) = bytes.split_at(bytes.len().min(self.left));
        self.left -= taken.len();
        let mut pieces = taken.split(|byte| *byte == b'\n');
        let mut piece = pieces.next();
        while let Some(text) = piece {
            let room = LONGEST_LINE.saturating_sub(self.begun.len());
            self.begun.extend_from_slice(&text[..text.len().min(room)]);
            piece = pieces.next();
            if piece.is_some() {
                self.end();
            }
        }
        if self.left == 0 && !rest.is_empty() {
            self.end();
            let plugin = &*self.plugin;
            let request_id = &*self.request_id;
            tracing::warn!(plugin, request_id, "plugin output exceeds 64 KiB: the rest is dropped");
        }
    }

    #[expect(
        clippy::cognitive_complexity,
        reason = "the macros of `tracing` count, one for each level"
    )]
    fn end(&mut self) {
        let line = mem::take(&mut self.begun);
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if line.is_empty() {
            return;
        }
        let (plugin, request_id) = (&*self.plugin, &*self.request_id);
        match self.stream {
            Stream::Out => tracing::info!(plugin, request_id, "{line}"),
            Stream::Err => tracing::warn!(plugin, request_id, "{line}"),
        }
        self.last = line.to_owned();
    }
}

impl Printed {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock()
    }
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Printed {
    async fn ready(&mut self) {}
}

impl OutputStream for Printed {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.lines().write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

impl AsyncWrite for Printed {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.lines().write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

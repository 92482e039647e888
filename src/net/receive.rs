//! Reads a whole body within limits of size and time, and decodes it.
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use async_compression::tokio::bufread;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::Body;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::error::{BoxError, Error, ErrorKind, Result};
use crate::net::coding::{Coding, Unknown};

/// The limits of a body.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The size in bytes, decoded.
    pub size: u64,
    /// The longest pause between two pieces.
    pub pause: Duration,
}

/// Reads a client's body and decodes its `content-encoding`.
///
/// Fails with 413 above the size, with 408 if the client pauses too long, and with 400 if the encoding
/// is unknown or the body does not match it.
pub(crate) async fn body<B>(body: B, headers: &HeaderMap, bounds: Bounds) -> Result<Bytes>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > bounds.size) {
        return Err(too_large(bounds.size));
    }
    let raw = collect(body, announced, bounds).await?;
    match Coding::all_of(headers).map_err(unsupported)?.as_slice() {
        [] => Ok(raw),
        codings => decode(raw, codings, bounds.size).await,
    }
}

async fn collect<B>(mut body: B, announced: Option<u64>, bounds: Bounds) -> Result<Bytes>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let Some(first) = next(&mut body, bounds.pause).await? else { return Ok(Bytes::new()) };
    // a small body arrives whole with its head: return the same buffer
    if body.is_end_stream() {
        return match first.len() as u64 > bounds.size {
            true => Err(too_large(bounds.size)),
            false => Ok(first),
        };
    }
    let mut whole =
        BytesMut::with_capacity(announced.unwrap_or(0).max(first.len() as u64 * 2) as usize);
    whole.extend_from_slice(&first);
    drop(first);
    while let Some(piece) = next(&mut body, bounds.pause).await? {
        if whole.len() as u64 + piece.len() as u64 > bounds.size {
            return Err(too_large(bounds.size));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// Returns the next piece. Creates a timer only if it has to wait.
async fn next<B>(body: &mut B, pause: Duration) -> Result<Option<Bytes>>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    loop {
        let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx))).await;
        let frame = match polled {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let frame = poll_fn(|cx: &mut Context<'_>| Pin::new(&mut *body).poll_frame(cx));
                match tokio::time::timeout(pause, frame).await {
                    Ok(frame) => frame,
                    Err(_) => return Err(too_slow(pause)),
                }
            }
        };
        match frame {
            None => return Ok(None),
            Some(Err(e)) => {
                return Err(Error::invalid("the request body broke off").with_source(e));
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(Some(data)),
                _ => {}
            },
        }
    }
}

fn unsupported(Unknown(found): Unknown) -> Error {
    let message = format!(
        "`content-encoding: {found}` is not supported: use gzip, deflate, br or zstd, or none"
    );
    Error::invalid(message).with_code("request_body_encoding_unsupported")
}

/// Decodes a body. The header lists the codings in the order of encoding, so the last is undone first.
async fn decode(raw: Bytes, codings: &[Coding], size: u64) -> Result<Bytes> {
    let mut body = raw;
    for coding in codings.iter().rev() {
        let decoded = match coding {
            Coding::Gzip => {
                let mut decoder = bufread::GzipDecoder::new(&body[..]);
                decoder.multiple_members(true);
                inflate(decoder, size).await?
            }
            // servers and clients disagree about `deflate`: accept both forms
            Coding::Deflate => match inflate(bufread::ZlibDecoder::new(&body[..]), size).await {
                Err(e) if e.kind == ErrorKind::InvalidRequest => {
                    inflate(bufread::DeflateDecoder::new(&body[..]), size).await?
                }
                decoded => decoded?,
            },
            Coding::Brotli => inflate(bufread::BrotliDecoder::new(&body[..]), size).await?,
            Coding::Zstd => inflate(bufread::ZstdDecoder::new(&body[..]), size).await?,
        };
        body = decoded;
    }
    Ok(body)
}

async fn inflate(decoder: impl AsyncRead, size: u64) -> Result<Bytes> {
    let mut decoder = pin!(decoder);
    let mut whole = BytesMut::with_capacity(16 * 1024);
    loop {
        let read = decoder.read_buf(&mut whole).await.map_err(|e| {
            Error::invalid("the request body is not valid for its `content-encoding`")
                .with_code("request_body_encoding_invalid")
                .with_source(e)
        })?;
        if read == 0 {
            return Ok(whole.freeze());
        }
        if whole.len() as u64 > size {
            return Err(too_large(size).with_code("request_body_too_large_after_decoding"));
        }
        // 32 MiB take a while: let the other requests of this thread go first
        tokio::task::yield_now().await;
    }
}

fn too_large(size: u64) -> Error {
    let message = format!("the request body is larger than {size} bytes");
    Error::new(ErrorKind::RequestTooLarge, message)
}

/// Returns the error for a request body without progress.
pub(crate) fn too_slow(pause: Duration) -> Error {
    let message = format!("the request body made no progress for {} s", pause.as_secs());
    Error::new(ErrorKind::RequestTimeout, message)
}

//! Content codings by their HTTP names (RFC 9110, 8.4.1), and their decoders.
use std::io;
use std::pin::Pin;

use async_compression::tokio::bufread;
use async_compression::zstd::DParameter;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, BufReader};

/// A coding that the gateway decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// `gzip`, `x-gzip`
    Gzip,
    /// `deflate`
    Deflate,
    /// `br`
    Brotli,
    /// `zstd`
    Zstd,
}

/// A coding that the gateway does not decode, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unknown(pub(crate) String);

/// A body while it is read.
pub(crate) type Reader = Pin<Box<dyn AsyncBufRead + Send>>;

impl Coding {
    /// Returns the coding of a name, in upper or lower case; `None` for one that changes nothing.
    pub(crate) fn of(name: &str) -> Result<Option<Self>, Unknown> {
        Ok(Some(match name.trim().to_ascii_lowercase().as_str() {
            "identity" | "" => return Ok(None),
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "br" => Self::Brotli,
            "zstd" => Self::Zstd,
            _ => return Err(Unknown(name.trim().chars().take(32).collect())),
        }))
    }

    /// Returns the codings of a body in the order of encoding; the last is undone first.
    pub(crate) fn all_of(headers: &HeaderMap) -> Result<Vec<Self>, Unknown> {
        let lists = headers.get_all(CONTENT_ENCODING).iter();
        let names = lists.flat_map(|list| list.to_str().unwrap_or("?").split(','));
        names.filter_map(|name| Self::of(name).transpose()).collect()
    }

    /// Returns a reader of the decoded body.
    pub(crate) async fn decode(self, mut reader: Reader) -> io::Result<Reader> {
        let decoder: Pin<Box<dyn AsyncRead + Send>> = match self {
            Self::Gzip => {
                let mut decoder = bufread::GzipDecoder::new(reader);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
            // servers disagree about `deflate`: the first byte decides
            Self::Deflate => match reader.fill_buf().await?.first() {
                Some(first) if first & 0x0f == 8 => Box::pin(bufread::ZlibDecoder::new(reader)),
                _ => Box::pin(bufread::DeflateDecoder::new(reader)),
            },
            Self::Brotli => Box::pin(bufread::BrotliDecoder::new(reader)),
            // a window larger than HTTP allows (RFC 9659) would only cost memory
            Self::Zstd => {
                let window = [DParameter::window_log_max(23)];
                Box::pin(bufread::ZstdDecoder::with_params(reader, &window))
            }
        };
        Ok(Box::pin(BufReader::new(decoder)))
    }
}

//! Content codings by their HTTP names (RFC 9110, 8.4.1).

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

/// The error for a coding that the gateway does not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unknown;

impl Coding {
    /// Returns the coding of a name, in upper or lower case; `None` for one that changes nothing.
    pub(crate) fn of(name: &str) -> Result<Option<Self>, Unknown> {
        Ok(Some(match name.trim().to_ascii_lowercase().as_str() {
            "identity" | "" => return Ok(None),
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "br" => Self::Brotli,
            "zstd" => Self::Zstd,
            _ => return Err(Unknown),
        }))
    }
}

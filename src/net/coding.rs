//! Content codings by the names that HTTP has for them (RFC 9110, 8.4.1).

/// One that the gateway undoes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`, `x-gzip`
    Gzip,
    /// `deflate`
    Deflate,
    /// `br`
    Brotli,
    /// `zstd`
    Zstd,
}

/// A name that stands for no coding that the gateway undoes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown;

impl Coding {
    /// By its name, in whatever letters; `None` for one that changes nothing.
    pub fn of(name: &str) -> Result<Option<Self>, Unknown> {
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

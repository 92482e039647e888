//! From a name to addresses.
use std::io;
use std::net::IpAddr;

use futures_util::future::BoxFuture;

/// From a name and a port to all of its addresses.
pub type Resolve =
    Box<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// By the system's resolver.
pub fn resolve() -> Resolve {
    Box::new(|host, port| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, port)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

//! Name resolution for plugins' requests.
use std::io;
use std::net::IpAddr;

use futures_util::future::BoxFuture;

/// Resolves a name and a port to all addresses of the name.
pub(crate) type Resolve =
    Box<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// Returns the system's resolver.
pub(crate) fn resolve() -> Resolve {
    Box::new(|host, port| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, port)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

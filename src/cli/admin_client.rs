//! A client of the admin API of a running gateway, for commands.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::config::Config;
use crate::error::{BoxError, Problem, Secret};

/// The longest time for one answer. A query of the ledger may take a few seconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most bytes of an answer.
const MOST: usize = 16 * 1024 * 1024;

/// The admin listener of a gateway.
pub(super) struct AdminClient {
    address: SocketAddr,
    token: Secret,
}

impl AdminClient {
    /// Returns the listener that a config names; `address` replaces its address. Other parts of the config may be
    /// wrong: a gateway goes on with its last good generation then.
    ///
    /// Fails if the config has no admin listener.
    pub(super) fn of(file: &Path, address: Option<SocketAddr>) -> Result<Self, Vec<Problem>> {
        let config = Config::load_partly(file)?.config;
        let none = || {
            let message =
                "expected an admin listener such as `{ listen: 127.0.0.1:4001 }`, found none";
            vec![Problem::new("admin", message)]
        };
        let admin = config.admin.ok_or_else(none)?;
        let address = address.unwrap_or(admin.listen);
        Ok(Self { address: reachable(address), token: admin.token })
    }

    /// Returns the address.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads a path.
    ///
    /// Fails if the gateway cannot be reached, or if the answer is an error or no JSON.
    pub(super) async fn get(&self, path: &str) -> Result<Value, BoxError> {
        match tokio::time::timeout(PATIENCE, self.answer(path)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs()).into()),
        }
    }

    async fn answer(&self, path: &str) -> Result<Value, BoxError> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let mut request = Request::get(path).body(Empty::<Bytes>::new())?;
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_str(&self.address.to_string())?);
        if !self.token.is_empty() {
            let bearer = format!("Bearer {}", self.token.expose());
            let mut bearer = HeaderValue::from_str(&bearer)
                .map_err(|_| "`admin.token` has characters that no header can carry")?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MOST).collect().await?.to_bytes();
        connection.abort();
        read(head.status, &body)
    }
}

fn read(status: StatusCode, body: &[u8]) -> Result<Value, BoxError> {
    let answer: Value = serde_json::from_slice(body)
        .map_err(|_| format!("expected JSON, found another answer with status {status}"))?;
    match (status.is_success(), answer["error"]["message"].as_str()) {
        (true, _) => Ok(answer),
        (false, Some(message)) => Err(format!("{status}: {message}").into()),
        (false, None) => Err(status.to_string().into()),
    }
}

/// Returns an address to connect to: a listener on all addresses is also on loopback.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

//! From a checked address to a stream: TLS where the scheme says so.
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::net::egress::Refusal;
use crate::net::egress::destination::Destination;
use crate::net::http1::Driven;
use crate::net::tls::{self, Trust};

/// From an address to a connection.
pub type Connect =
    Box<dyn Fn(SocketAddr) -> BoxFuture<'static, io::Result<TcpStream>> + Send + Sync>;

/// Straight to the address; no proxy, whatever the environment says.
pub fn connect() -> Connect {
    Box::new(|address| Box::pin(TcpStream::connect(address)))
}

/// Opens connections, each for one request.
pub struct Opener {
    connect: Connect,
    trust: Trust,
    tls: OnceLock<Arc<ClientConfig>>,
}

impl Opener {
    /// Certificates of servers have to be signed by whom `trust` says.
    pub fn new(connect: Connect, trust: Trust) -> Self {
        Self { connect, trust, tls: OnceLock::new() }
    }

    /// A connection to the first of the addresses that answers. `limit` is for each.
    pub async fn open(
        &self,
        to: &Destination,
        addresses: &[SocketAddr],
        limit: Duration,
    ) -> Result<Driven, Refusal> {
        // one that is dead must not use up the time of the next
        let share = limit / addresses.len().clamp(1, 3) as u32;
        let mut failure = timed_out(to);
        for address in addresses {
            match tokio::time::timeout(share, (self.connect)(*address)).await {
                Ok(Ok(tcp)) => return self.handshake(to, tcp).await,
                Ok(Err(_)) => failure = refused(to),
                Err(_) => failure = timed_out(to),
            }
        }
        Err(failure)
    }

    async fn handshake(&self, to: &Destination, tcp: TcpStream) -> Result<Driven, Refusal> {
        let _ = tcp.set_nodelay(true);
        let opened = match to.url.scheme() {
            "https" => {
                let name = ServerName::try_from(to.host.clone())
                    .map_err(|_| Refusal::new("invalid_url", "the host is no name for TLS"))?;
                let connector = TlsConnector::from(self.tls()?);
                let stream = connector.connect(name, tcp).await.map_err(|e| untrusted(to, &e))?;
                Driven::handshake(stream).await
            }
            _ => Driven::handshake(tcp).await,
        };
        opened.map_err(|_| refused(to))
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, Refusal> {
        if let Some(config) = self.tls.get() {
            return Ok(Arc::clone(config));
        }
        let config = tls::client(&self.trust).map_err(|e| Refusal::unreachable(e.to_string()))?;
        let mut config = ClientConfig::clone(&config);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::clone(self.tls.get_or_init(|| Arc::new(config))))
    }
}

/// The connection did not stand in time.
pub fn timed_out(to: &Destination) -> Refusal {
    Refusal::timeout(format!("`{}` took too long to connect", to.host))
}

fn refused(to: &Destination) -> Refusal {
    Refusal::unreachable(format!("`{}` on port {} takes no connection", to.host, to.port))
}

fn untrusted(to: &Destination, error: &io::Error) -> Refusal {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(cause)) => {
            let message = format!("the certificate of `{}` is not trusted: {cause}", to.host);
            Refusal::new("unreachable", message)
        }
        _ => Refusal::unreachable(format!("no TLS connection to `{}` came about", to.host)),
    }
}

//! Opens a connection to a checked address, with TLS if the scheme requires it.
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

/// Opens a TCP connection to an address.
pub(crate) type Connect =
    Box<dyn Fn(SocketAddr) -> BoxFuture<'static, io::Result<TcpStream>> + Send + Sync>;

/// Connects directly to the address; uses no proxy, even if the environment names one.
pub(crate) fn connect() -> Connect {
    Box::new(|address| Box::pin(TcpStream::connect(address)))
}

/// Opens connections, each for one request.
pub(crate) struct Opener {
    connect: Connect,
    trust: Trust,
    tls: OnceLock<Arc<ClientConfig>>,
}

impl Opener {
    /// Creates an opener that accepts server certificates signed by the authorities of `trust`.
    pub(crate) fn new(connect: Connect, trust: Trust) -> Self {
        Self { connect, trust, tls: OnceLock::new() }
    }

    /// Connects to the first address that accepts. Each address gets a share of `limit`.
    pub(crate) async fn open(
        &self,
        to: &Destination,
        addresses: &[SocketAddr],
        limit: Duration,
    ) -> Result<Driven, Refusal> {
        // a dead address must not use up the time of the next one
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
                    .map_err(|_| Refusal::new("invalid_url", "the host is not a valid TLS name"))?;
                let connector = TlsConnector::from(self.tls()?);
                let stream = connector.connect(name, tcp).await.map_err(|e| untrusted(to, &e))?;
                Driven::handshake(stream, Duration::ZERO).await
            }
            _ => Driven::handshake(tcp, Duration::ZERO).await,
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

/// Returns the refusal for a connection that was not opened in time.
pub(crate) fn timed_out(to: &Destination) -> Refusal {
    Refusal::timeout(format!("`{}` did not accept a connection in time", to.host))
}

fn refused(to: &Destination) -> Refusal {
    Refusal::unreachable(format!("cannot connect to `{}` on port {}", to.host, to.port))
}

fn untrusted(to: &Destination, error: &io::Error) -> Refusal {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(cause)) => {
            let message = format!("the certificate of `{}` is not trusted: {cause}", to.host);
            Refusal::new("unreachable", message)
        }
        _ => Refusal::unreachable(format!("the TLS handshake with `{}` failed", to.host)),
    }
}

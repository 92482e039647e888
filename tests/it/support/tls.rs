//! Certificates, and listeners that show them.
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A certificate for `localhost` that is its own authority.
pub struct Authority {
    /// What a gateway has as `ca_file`.
    pub pem: String,
    server: Arc<ServerConfig>,
}

impl Authority {
    /// A new one, for servers that speak this protocol (`h2`, `http/1.1`).
    pub fn new(protocol: &str) -> Self {
        Self::named("localhost", protocol)
    }

    /// The same for another host.
    pub fn named(host: &str, protocol: &str) -> Self {
        let made = rcgen::generate_simple_self_signed(vec![host.to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::Pkcs8(key))
            .unwrap();
        server.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Self { pem: made.cert.pem(), server: Arc::new(server) }
    }

    /// Calls `serve` with each connection whose handshake succeeds, and its number.
    pub async fn listen<F>(
        &self,
        serve: impl Fn(usize, TlsStream<TcpStream>) -> F + Send + 'static,
    ) -> SocketAddr
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(accept(listener, TlsAcceptor::from(Arc::clone(&self.server)), serve));
        address
    }

    /// A door that leads to an upstream without TLS.
    pub async fn door(&self, to: SocketAddr) -> SocketAddr {
        self.listen(move |_, mut stream| async move {
            let mut inner = TcpStream::connect(to).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut inner).await;
        })
        .await
    }
}

async fn accept<F>(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    serve: impl Fn(usize, TlsStream<TcpStream>) -> F + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut number = 0;
    while let Ok((stream, _)) = listener.accept().await {
        // who does not trust the certificate leaves
        let Ok(stream) = acceptor.accept(stream).await else { continue };
        tokio::spawn(serve(number, stream));
        number += 1;
    }
}

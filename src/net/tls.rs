//! TLS for both directions, with rustls.
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::disk;
use crate::error::{BoxError, Problem};

/// The certificate authorities trusted for an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Trust {
    /// The authorities of the system.
    System,
    /// These authorities and no others.
    Only(Arc<[CertificateDer<'static>]>),
}

impl Trust {
    /// Reads the authorities from a PEM file.
    ///
    /// Fails with a message if the file is unreadable or holds no usable certificate.
    pub fn read(file: &Path) -> Result<Self, String> {
        let shown = file.display();
        let pem = disk::pem(file).map_err(|unread| format!("`{shown}` {unread}"))?;
        let found = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| format!("`{shown}` cannot be read: {e}"))?;
        if found.is_empty() {
            return Err(format!("`{shown}` has no certificate: expected PEM"));
        }
        let mut roots = RootCertStore::empty();
        for certificate in &found {
            roots
                .add(certificate.clone())
                .map_err(|e| format!("`{shown}` has a certificate that cannot be used: {e}"))?;
        }
        Ok(Self::Only(found.into()))
    }

    fn roots(&self) -> Result<RootCertStore, BoxError> {
        let mut roots = RootCertStore::empty();
        let added = match self {
            Self::System => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs).0
            }
            Self::Only(certificates) => {
                roots.add_parsable_certificates(certificates.iter().cloned()).0
            }
        };
        match added {
            0 => Err("no root certificates were found: install ca-certificates".into()),
            _ => Ok(roots),
        }
    }
}

/// Returns the TLS config for connections to upstreams; offers HTTP/2.
///
/// Fails if there are no root certificates at all.
pub(crate) fn client(trust: &Trust) -> Result<Arc<ClientConfig>, BoxError> {
    let roots = trust.roots()?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Explains to the operator why a handshake with an upstream failed, and how to fix it.
pub(crate) fn explain(error: io::Error) -> BoxError {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(cause)) => format!(
            "the upstream's certificate is not trusted ({cause}): name its authority as the provider's `ca_file`, and the host in `base_url` as the certificate does"
        )
        .into(),
        _ => error.into(),
    }
}

/// Returns the TLS config of the gateway's listener. Problems name `server.tls.cert` or `server.tls.key`.
pub(crate) fn server(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, Problem> {
    let of_cert =
        |why: String| Problem::new("server.tls.cert", format!("`{}` {why}", cert.display()));
    let of_key = |why: String| Problem::new("server.tls.key", format!("`{}` {why}", key.display()));
    let chain = disk::pem(cert).map_err(|unread| of_cert(unread.to_string()))?;
    let chain = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| of_cert(format!("cannot be read: {e}")))?;
    if chain.is_empty() {
        return Err(of_cert("has no certificate: expected PEM".to_owned()));
    }
    let key = disk::pem(key).map_err(|unread| of_key(unread.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|e| match e {
        pem::Error::NoItemsFound => of_key("has no private key: expected PEM".to_owned()),
        other => of_key(format!("cannot be read: {other}")),
    })?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|e| Problem::new("server.tls", e.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

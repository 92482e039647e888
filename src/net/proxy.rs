//! `Proxy`: an HTTP proxy between the gateway and an upstream.
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use crate::error::BoxError;

/// The largest head of a proxy's answer, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// A proxy by its address, with the credentials of its URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Proxy {
    host: String,
    port: u16,
    /// The value of `proxy-authorization`; never printed.
    authorization: Option<HeaderValue>,
}

impl Proxy {
    /// Reads a URL such as `http://user:password@proxy.example.com:3128`.
    ///
    /// Fails with a message that does not quote the URL, since it may hold a password.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected a URL such as `http://proxy.example.com:3128`";
        let url = Url::parse(text).map_err(|error| format!("{error}: {EXPECTED}"))?;
        if url.scheme() != "http" {
            return Err(format!("only proxies with `http://` are supported: {EXPECTED}"));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| format!("has no host: {EXPECTED}"))?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("a path, a query or a fragment has no effect: {EXPECTED}"));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = url.port_or_known_default().unwrap_or(80);
        Ok(Self { host, port, authorization: credentials(&url)? })
    }

    /// Opens a connection to the proxy.
    pub(super) async fn connect(&self) -> std::io::Result<TcpStream> {
        TcpStream::connect((self.host.as_str(), self.port)).await
    }

    /// Returns the header that each request to the proxy itself carries.
    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// Turns a connection to the proxy into a tunnel to a host.
    ///
    /// Fails if the proxy does not answer `CONNECT` with a success.
    pub(super) async fn tunnel(
        &self,
        stream: &mut TcpStream,
        host: &str,
        port: u16,
    ) -> Result<(), BoxError> {
        let mut request =
            format!("CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}\r\n").into_bytes();
        if let Some(value) = &self.authorization {
            request.extend_from_slice(b"proxy-authorization: ");
            request.extend_from_slice(value.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        stream.write_all(&request).await?;
        let mut head = Vec::with_capacity(256);
        // the upstream speaks only after the gateway, so nothing follows the head
        while memchr::memmem::find(&head, b"\r\n\r\n").is_none() {
            if head.len() > MAX_HEAD {
                return Err("the proxy's answer has no end".into());
            }
            if stream.read_buf(&mut head).await? == 0 {
                return Err("the proxy closed the connection without an answer".into());
            }
        }
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let status = line.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
        match status {
            Some(200..=299) => Ok(()),
            Some(status) => Err(format!("the proxy answered {status} to CONNECT").into()),
            None => Err("the proxy's answer is not HTTP".into()),
        }
    }
}

fn credentials(url: &Url) -> Result<Option<HeaderValue>, String> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    let pair = [decoded(url.username()), decoded(url.password().unwrap_or_default())].join(&b':');
    let value = format!("Basic {}", BASE64_STANDARD.encode(pair));
    let mut value = HeaderValue::from_str(&value).map_err(|e| e.to_string())?;
    value.set_sensitive(true);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_proxy_with_its_credentials() {
        let proxy = Proxy::parse("http://us%40er:p%3Aw@proxy.example.com:3128/").unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.example.com", 3128));
        let expected = format!("Basic {}", BASE64_STANDARD.encode("us@er:p:w"));
        assert_eq!(proxy.authorization().unwrap(), &expected);
        assert!(!format!("{proxy:?}").contains(&expected));
        let plain = Proxy::parse("http://[::1]").unwrap();
        assert_eq!((plain.host.as_str(), plain.port, plain.authorization()), ("::1", 80, None));
    }

    #[test]
    fn other_urls_are_refused_without_their_text() {
        for url in [
            "proxy:3128",
            "https://u:secret@p",
            "socks5://secret",
            "http://",
            "http://u:secret@p/path",
            "http://p?secret",
        ] {
            let message = Proxy::parse(url).unwrap_err();
            assert!(
                message.contains("expected a URL such as") && !message.contains("secret"),
                "{message}"
            );
        }
    }
}

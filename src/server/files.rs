//! `GET /files/<name>`: a file that a plugin published. The name is its only key.
use std::time::Instant;

use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response};

use crate::error::{Error, ErrorKind, Result};
use crate::gateway::Gateway;
use crate::net::body::Body;

/// The types that browsers may display: pictures only. All other files are downloads, since a plugin's page
/// must not run under the gateway's own origin.
const SHOWN: [&str; 4] = ["image/png", "image/jpeg", "image/webp", "image/gif"];

/// Returns the file, or fails with a 404.
pub(crate) fn show(gateway: &Gateway, name: &str) -> Result<Response<Body>> {
    let found = gateway.shared.published.find(name, Instant::now());
    let (media_type, content) = found
        .ok_or_else(|| Error::new(ErrorKind::NotFound, "the file does not exist or has expired"))?;
    let mut response = Response::new(Body::from(content));
    describe(response.headers_mut(), &media_type);
    Ok(response)
}

fn describe(headers: &mut HeaderMap, media_type: &str) {
    let shown = SHOWN.into_iter().find(|shown| *shown == media_type);
    match shown {
        Some(shown) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(shown));
        }
        None => {
            let plain = HeaderValue::from_static("application/octet-stream");
            headers.insert(CONTENT_TYPE, plain);
            headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
        }
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let policy = HeaderValue::from_static("default-src 'none'; sandbox");
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    // a name always refers to the same bytes
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=600, immutable"));
}

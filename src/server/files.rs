//! `GET /files/<name>`: what a plugin published. The name is the only key to it.
use std::time::Instant;

use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response};

use crate::error::{Error, ErrorKind, Result};
use crate::gateway::Gateway;
use crate::net::body::Body;

/// What browsers show as a picture and nothing else. The rest is for saving: a page of a plugin's
/// making must not run under the gateway's own origin.
const SHOWN: [&str; 4] = ["image/png", "image/jpeg", "image/webp", "image/gif"];

/// The file, or a 404.
pub fn show(gateway: &Gateway, name: &str) -> Result<Response<Body>> {
    let found = gateway.shared.published.find(name, Instant::now());
    let (media_type, content) = found.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "there is no such file, or its time is over")
    })?;
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
    // the name stands for these bytes for ever
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=600, immutable"));
}

//! Requests that an upstream did not process: they may be sent again.
use hyper::Error;

/// Returns whether an HTTP/2 upstream reports that it did not process the request: it sent GOAWAY first,
/// or it refused the stream (RFC 9113, 8.7).
pub(crate) fn is_unsent(error: &Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(found) = cause {
        if let Some(error) = found.downcast_ref::<h2::Error>() {
            let is_refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
            return error.is_remote() && (error.is_go_away() || is_refused);
        }
        cause = found.source();
    }
    false
}

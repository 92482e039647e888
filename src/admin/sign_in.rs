//! `/login` and `/logout`: a browser exchanges the admin token for a session.
use std::net::SocketAddr;
use std::time::Instant;

use http::header::{CONTENT_TYPE, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::admin::answer::Answer;
use crate::admin::call::Call;
use crate::admin::entrance::Entrance;
use crate::admin::failure::Failure;
use crate::admin::sessions::Channel;

/// The path that ends a session.
pub(super) const LOGOUT: &str = "/logout";

/// The body of `POST /login`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    /// The admin token.
    token: String,
}

/// Begins a session, and answers with its cookie. Without a token in the config there is nothing to begin.
///
/// Fails with a 401 for a wrong token, and with a 429 after many of them.
pub(super) fn begin(entrance: &Entrance, call: &Call) -> Result<Answer, Failure> {
    let SignIn { token } = call.body()?;
    let now = Instant::now();
    if entrance.is_open() {
        return Ok(Answer::empty());
    }
    entrance.judge(&token, call.caller.address.ip(), now)?;
    let cookie = entrance.sessions.begin(Channel::of(&call.headers), now).ok_or_else(|| {
        let message = "the system gives no random bytes for a session";
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    })?;
    Ok(with_cookie(cookie))
}

/// Ends the session of a request.
pub(super) fn end(entrance: &Entrance, head: &Parts, peer: SocketAddr) -> Answer {
    let had_session = entrance.sessions.hold(&head.headers, Instant::now());
    if had_session {
        tracing::info!(address = %peer.ip(), "a session of the dashboard ended");
    }
    entrance.sessions.end(&head.headers).map_or_else(Answer::empty, with_cookie)
}

/// Checks that a body is JSON. A form of another site cannot send JSON.
///
/// Fails with a 415.
pub(super) fn is_json(headers: &HeaderMap) -> Result<(), Failure> {
    let sent = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = sent.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let found = match sent {
        "" => "nothing".to_owned(),
        _ => format!("`{}`", sent.chars().take(80).collect::<String>()),
    };
    let failure = Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "");
    Err(failure.about("content-type", "`application/json`", found))
}

fn with_cookie(cookie: HeaderValue) -> Answer {
    let mut answer = Answer::empty();
    answer.response.headers_mut().insert(SET_COOKIE, cookie);
    answer
}

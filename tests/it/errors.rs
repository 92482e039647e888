//! What callers get when something is wrong: with them, with an upstream, or on the way.
mod heads;
mod input;
mod refusals;
mod slow;
mod streams;
mod upstreams;

#[test]
fn a_status_is_of_one_kind_whoever_chose_it() {
    use http::StatusCode;
    use tidegate::error::ErrorKind;
    let kinds = [
        (401, "authentication_error"),
        (408, "timeout_error"),
        (409, "invalid_request_error"),
        (413, "request_too_large"),
        (500, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ];
    for (status, kind) in kinds {
        let of_status = ErrorKind::of_status(StatusCode::from_u16(status).unwrap());
        assert_eq!(of_status.as_str(), kind, "{status}");
    }
}

//! Statuses and kinds of errors.
use http::StatusCode;

use crate::error::ErrorKind;
use crate::testing::repository::text;

#[test]
fn a_status_is_of_one_kind_whoever_chose_it() {
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

#[test]
fn the_errors_page_names_every_error_as_it_is() {
    let page = text("docs/reference/errors.md");
    let source = text("src/error.rs");
    let kinds = source.split("pub fn as_str").nth(1).unwrap().split("\n    }\n").next().unwrap();
    let kinds: Vec<&str> = kinds.split('"').skip(1).step_by(2).collect();
    assert!(kinds.len() >= 10, "{kinds:?}");
    for kind in kinds {
        assert!(page.contains(&format!("`{kind}`")), "the page has no `{kind}`");
    }
    for kind in [
        ErrorKind::InvalidRequest,
        ErrorKind::Authentication,
        ErrorKind::Permission,
        ErrorKind::NotFound,
        ErrorKind::RequestTimeout,
        ErrorKind::RequestTooLarge,
        ErrorKind::Api,
        ErrorKind::BadUpstream,
        ErrorKind::Overloaded,
        ErrorKind::Timeout,
    ] {
        let row = format!("| {} | `{}` |", kind.status().as_u16(), kind.as_str());
        assert!(page.contains(&row), "there is no row {row}");
    }
}

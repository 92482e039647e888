//! `Failure`: the error of an admin route, and its one form in JSON.
use std::time::Duration;

use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

/// The error of a request to the admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The status of the answer.
    pub(crate) status: StatusCode,
    /// The body of the answer.
    pub(crate) body: Box<FailureBody>,
    /// The value of `retry-after`.
    pub(crate) retry_after: Option<Duration>,
    /// The methods that the route has, for a 405.
    pub(crate) allowed: Option<String>,
}

/// The body of every error of the admin API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FailureBody {
    /// Always `error`.
    r#type: Constant,
    /// The error.
    error: FailureDetail,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Constant {
    Error,
}

/// The description of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FailureDetail {
    /// The kind, such as `invalid_request_error`.
    r#type: String,
    /// A sentence for people.
    message: String,
    /// The field, parameter or header that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// The value that the field needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    /// The value that the field has.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
}

impl Failure {
    /// Returns an error without a field.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let kind = match status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            408 | 504 => "timeout_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 => "overloaded_error",
            400..500 => "invalid_request_error",
            _ => "api_error",
        };
        let error = FailureDetail {
            r#type: kind.to_owned(),
            message: message.into(),
            field: None,
            expected: None,
            found: None,
        };
        let body = Box::new(FailureBody { r#type: Constant::Error, error });
        Self { status, body, retry_after: None, allowed: None }
    }

    /// Returns the error of a field with a wrong value: a 400.
    pub(crate) fn field(
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "").about(field, expected, found)
    }

    /// Returns the error of a field with this status.
    pub(crate) fn about(
        mut self,
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        let (field, expected, found) = (field.into(), expected.into(), found.into());
        let error = &mut self.body.error;
        if error.message.is_empty() {
            error.message = format!("`{field}`: expected {expected}, found {found}");
        }
        (error.field, error.expected, error.found) = (Some(field), Some(expected), Some(found));
        self
    }

    /// Returns the 404 of an object that does not exist.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// Adds `retry-after`.
    pub(crate) fn after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// Returns the sentence for people.
    pub(crate) fn message(&self) -> &str {
        &self.body.error.message
    }
}

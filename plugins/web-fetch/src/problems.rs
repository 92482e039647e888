//! Problems with an address, with the API's codes for this tool.
use tidegate_sdk::Problem;
use url::Url;

/// Returns the problem for an address outside the domains of the declaration.
pub(crate) fn not_permitted(url: &Url) -> Problem {
    let host = url.host_str().unwrap_or_default();
    let message = format!("`{host}` is not among the domains that this tool may fetch from");
    Problem::new("url_not_allowed", message)
}

/// Converts a problem of the gateway's `fetch` to the API's codes for this tool.
pub(crate) fn as_the_api_says(problem: Problem) -> Problem {
    let code = match problem.code.as_str() {
        "not_granted" | "url_not_allowed" => "url_not_allowed",
        "invalid_url" | "invalid_input" => "invalid_tool_input",
        "too_large" => "content_too_large",
        "unavailable" => "unavailable",
        _ => "url_not_accessible",
    };
    Problem { code: code.to_owned(), ..problem }
}

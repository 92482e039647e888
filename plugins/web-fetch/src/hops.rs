//! Follows redirects from an address to a response. The tool follows them itself, so that it checks
//! every address before it sends a request.
use tidegate_sdk::{Problem, Result, http};
use url::Url;

use crate::problems::as_the_api_says;

/// The largest number of redirects, the same as the gateway's own.
const MAX_REDIRECTS: usize = 5;

/// Sends requests hop by hop. `check` fails for a forbidden address; `request` makes the request
/// for an address.
pub fn follow(
    first: Url,
    check: impl Fn(&Url) -> Result<()>,
    request: impl Fn(&Url) -> http::Request,
) -> Result<(Url, http::Response)> {
    let mut url = first;
    for hop in 0..=MAX_REDIRECTS {
        let led = |problem: Problem| if hop == 0 { problem } else { led_to(&url, problem) };
        check(&url).map_err(led)?;
        let sent = request(&url).redirects(0).send();
        let answer = sent.map_err(|problem| led(as_the_api_says(problem)))?;
        match next(&url, &answer)? {
            Some(next) => url = next,
            None => return Ok((url, answer)),
        }
    }
    let message = format!("more than {MAX_REDIRECTS} redirects: ask for where they lead");
    Err(Problem::new("url_not_accessible", message))
}

/// Returns the next address if a response is a redirect.
fn next(url: &Url, answer: &http::Response) -> Result<Option<Url>> {
    let Some(location) = answer.location() else { return Ok(None) };
    let host = url.host_str().unwrap_or_default();
    let Ok(mut next) = url.join(location) else {
        let message = format!("`{host}` redirects to an invalid URL");
        return Err(Problem::new("url_not_accessible", message));
    };
    if url.scheme() == "https" && next.scheme() == "http" {
        let message = format!("`{host}` leads from `https:` to `http:`: that is not followed");
        return Err(Problem::new("url_not_allowed", message));
    }
    // the fragment stays unless the new address has its own
    if next.fragment().is_none() {
        next.set_fragment(url.fragment());
    }
    Ok(Some(next))
}

/// Explains a problem with an address that the model did not request: the model has to know the
/// redirect, and that its input is correct.
fn led_to(url: &Url, problem: Problem) -> Problem {
    let host = url.host_str().unwrap_or_default();
    let code = match problem.code.as_str() {
        "invalid_tool_input" => "url_not_accessible",
        code => code,
    };
    let message = format!("redirected to `{host}`: {}", problem.message);
    Problem { code: code.to_owned(), message, ..problem }
}

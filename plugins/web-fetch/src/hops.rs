//! Follows redirects from an address to a response. The tool follows them itself, so that it checks
//! every address before it sends a request.
use tidegate_sdk::{Problem, Result, http};
use url::Url;

use crate::problems::as_the_api_says;

/// The largest number of redirects, the same as the gateway's own.
const MAX_REDIRECTS: usize = 5;

/// The way from an address to a page.
pub struct Way<C, R> {
    /// The address of the next request, or of the last response.
    pub url: Url,
    /// Fails for a forbidden address.
    check: C,
    /// Makes the request for an address.
    request: R,
    /// The addresses before this one.
    before: Vec<Url>,
}

impl<C, R> Way<C, R>
where
    C: Fn(&Url) -> Result<()>,
    R: Fn(&Url) -> http::Request,
{
    /// Begins at an address. `check` fails for a forbidden one; `request` makes the request.
    pub fn new(url: Url, check: C, request: R) -> Self {
        Self { url, check, request, before: Vec::new() }
    }

    /// Sends requests hop by hop, until a response is no redirect.
    pub fn follow(&mut self) -> Result<http::Response> {
        loop {
            let is_first = self.before.is_empty();
            let led = |problem: Problem| match is_first {
                true => problem,
                false => led_to(&self.url, problem),
            };
            (self.check)(&self.url).map_err(led)?;
            let sent = (self.request)(&self.url).redirects(0).send();
            let answer = sent.map_err(|problem| led(as_the_api_says(problem)))?;
            match location(&answer) {
                Some(location) => match self.url.join(location) {
                    Ok(next) => self.go(next)?,
                    Err(_) => {
                        let host = self.url.host_str().unwrap_or_default();
                        let message = format!("`{host}` redirects to an invalid URL");
                        return Err(Problem::new("url_not_accessible", message));
                    }
                },
                None => return Ok(answer),
            }
        }
    }

    /// Returns whether the way has passed an address.
    pub fn has_passed(&self, url: &Url) -> bool {
        let page = |url: &Url| url[..url::Position::AfterQuery].to_owned();
        let all = self.before.iter().chain([&self.url]);
        all.into_iter().any(|passed| page(passed) == page(url))
    }

    /// Goes on to the next address.
    pub fn go(&mut self, next: Url) -> Result<()> {
        if self.before.len() >= MAX_REDIRECTS {
            let message = format!("more than {MAX_REDIRECTS} redirects: ask for where they lead");
            return Err(Problem::new("url_not_accessible", message));
        }
        if self.url.scheme() == "https" && next.scheme() == "http" {
            let host = self.url.host_str().unwrap_or_default();
            let message = format!("`{host}` leads from `https:` to `http:`: that is not followed");
            return Err(Problem::new("url_not_allowed", message));
        }
        let mut next = next;
        // the fragment stays unless the new address has its own
        if next.fragment().is_none() {
            next.set_fragment(self.url.fragment());
        }
        self.before.push(std::mem::replace(&mut self.url, next));
        Ok(())
    }
}

/// Returns the destination of a redirect. A header without an address is none, as in browsers.
fn location(answer: &http::Response) -> Option<&str> {
    answer.location()?;
    let is_location = |name: &str| name.eq_ignore_ascii_case("location");
    let all = answer.headers.iter().filter(|(name, _)| is_location(name));
    let mut all = all.map(|(_, value)| value.trim());
    all.find(|value| !value.is_empty())
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

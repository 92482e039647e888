//! CORS: the answers to preflights, and the headers that let the pages of some origins read responses.
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method};
use url::{Origin, Url};

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, DELETE");
/// The headers that a script may read beside the simple ones.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "request-id, retry-after, retry-after-ms, x-should-retry, x-tidegate-target, x-tidegate-attempts, x-tidegate-dropped, x-tidegate-trace",
);
/// The time in seconds for which a browser keeps the answer to a preflight.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The origins whose pages may read responses.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Cors {
    origins: Vec<String>,
    is_any: bool,
}

/// The origin of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PageOrigin {
    /// The request has no origin, or CORS is off.
    None,
    /// The config does not name the origin.
    Refused,
    /// Pages of this origin may read the response.
    Allowed(HeaderValue),
}

impl Cors {
    /// Reads the origins of the config.
    ///
    /// Fails with the position of a wrong one, and a message.
    pub(crate) fn new(origins: &[String]) -> Result<Self, (usize, String)> {
        let mut cors = Self::default();
        for (at, text) in origins.iter().enumerate() {
            match text.as_str() {
                "*" => cors.is_any = true,
                text => cors.origins.push(origin(text).map_err(|message| (at, message))?),
            }
        }
        Ok(cors)
    }

    fn is_off(&self) -> bool {
        self.origins.is_empty() && !self.is_any
    }

    /// Returns whether a request asks for permission before the request itself.
    pub(crate) fn is_preflight(&self, method: &Method, headers: &HeaderMap) -> bool {
        !self.is_off()
            && *method == Method::OPTIONS
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// Returns the origin of a request.
    pub(crate) fn origin_of(&self, headers: &HeaderMap) -> PageOrigin {
        // CORS is off in most gateways: no header is looked up then
        let found = if self.is_off() { None } else { headers.get(ORIGIN) };
        let Some(found) = found else { return PageOrigin::None };
        let is_allowed = self.is_any || self.origins.iter().any(|known| *known == *found);
        match is_allowed {
            true => PageOrigin::Allowed(found.clone()),
            false => PageOrigin::Refused,
        }
    }
}

impl PageOrigin {
    /// Adds the headers of the response to a preflight with these headers.
    pub(crate) fn answer_preflight(&self, request: &HeaderMap, response: &mut HeaderMap) {
        let Self::Allowed(origin) = self else { return };
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        response.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        response.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        // SDKs send some twenty headers, and new ones with each version
        if let Some(names) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            response.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        let vary = HeaderValue::from_static("origin, access-control-request-headers");
        response.insert(VARY, vary);
    }

    /// Adds the headers of any other response.
    pub(crate) fn sign(&self, response: &mut HeaderMap) {
        if *self == Self::None {
            return;
        }
        response.append(VARY, HeaderValue::from_static("origin"));
        if let Self::Allowed(origin) = self {
            response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

/// Returns an origin as browsers send it.
fn origin(text: &str) -> Result<String, String> {
    let expected =
        || format!("expected `*` or an origin such as `https://app.example.com`, found {text:?}");
    let url = Url::parse(text).map_err(|_| expected())?;
    let origin = url.origin();
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    match origin {
        Origin::Tuple(..) if is_bare && url.username().is_empty() => {
            Ok(origin.ascii_serialization())
        }
        _ => Err(expected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> (usize, String) {
        Cors::new(&["https://a.example".to_owned(), text.to_owned()]).unwrap_err()
    }

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port() {
        for text in ["app.example.com", "https://a.example/path", "https://a.example?x", "", "null"]
        {
            let (at, message) = wrong(text);
            assert_eq!(at, 1, "{text}");
            assert!(message.contains("expected `*` or an origin"), "{message}");
            assert!(message.contains(&format!("{text:?}")), "{message}");
        }
    }

    #[test]
    fn an_origin_is_compared_in_the_form_that_browsers_send() {
        let cors = Cors::new(&["HTTPS://App.Example.com:443/".to_owned()]).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_static("https://app.example.com"));
        assert!(matches!(cors.origin_of(&headers), PageOrigin::Allowed(_)));
        headers.insert(ORIGIN, HeaderValue::from_static("https://app.example.com.evil.example"));
        assert_eq!(cors.origin_of(&headers), PageOrigin::Refused);
        assert_eq!(Cors::default().origin_of(&headers), PageOrigin::None);
    }
}

//! The headers that cross the gateway, in either direction.
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use wildmatch::WildMatch;

use crate::net::rate_limits;

/// `request-id`, the API's name for it.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// `x-should-retry`; the SDKs check it before the status.
pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// `retry-after-ms`; it takes precedence over `retry-after`.
pub(crate) const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
/// `x-tidegate-target: <provider>/<model>`.
pub(crate) const TARGET: HeaderName = HeaderName::from_static("x-tidegate-target");
/// `x-tidegate-attempts`.
pub(crate) const ATTEMPTS: HeaderName = HeaderName::from_static("x-tidegate-attempts");

/// The properties that W3C Baggage carries along with a trace.
const BAGGAGE: &str = "baggage";

/// The prefix of every header addressed to the gateway.
const OURS: &str = "x-tidegate-";
/// `x-tidegate-cost-usd`: the price of a whole answer.
pub(crate) const COST: HeaderName = HeaderName::from_static("x-tidegate-cost-usd");
/// `server-timing`: the gateway's own time.
pub(crate) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// `x-tidegate-dropped`: the parts of the request that were not sent, since the target does not support them.
pub(crate) const DROPPED: HeaderName = HeaderName::from_static("x-tidegate-dropped");
/// `x-tidegate-estimated: true`: the gateway estimated the count, since the upstream counts none.
pub(crate) const ESTIMATED: HeaderName = HeaderName::from_static("x-tidegate-estimated");
/// `x-aistats-strictness`, read as `x-tidegate-strictness`.
pub(crate) const AISTATS_STRICTNESS: HeaderName = HeaderName::from_static("x-aistats-strictness");
/// `x-tidegate-session-id`.
pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static("x-tidegate-session-id");
/// `x-tidegate-trace`.
pub(crate) const TRACE: HeaderName = HeaderName::from_static("x-tidegate-trace");

/// Returns the client's headers addressed to the gateway; mostly empty, and then nothing is allocated.
pub(crate) fn for_gateway(headers: &HeaderMap) -> HeaderMap {
    let ours = headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with(OURS) || **name == AISTATS_STRICTNESS)
        .filter(|(name, _)| name.as_str() != "x-tidegate-key");
    ours.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Returns the client's headers without credentials, hop-by-hop headers and headers addressed to the gateway.
/// [`for_attempt`] selects those that an upstream receives.
pub(crate) fn without_credentials(mut headers: HeaderMap) -> HeaderMap {
    remove_named_by_connection(&mut headers);
    // one pass over the present headers is cheaper than a look-up of every possible one
    let stays: Vec<HeaderName> =
        headers.keys().filter(|name| !may_be_forwarded(name)).cloned().collect();
    for name in stays {
        headers.remove(name);
    }
    headers
}

/// The prefixes of headers for other vendors' gateways. Some of these headers hold keys.
const OTHERS: [&str; 8] = [
    "x-portkey-",
    "x-aistats-",
    "x-phaseo-",
    "x-ai-gateway-",
    "x-vercel-",
    "x-litellm-",
    "x-aisix-",
    "helicone-",
];

/// The headers of other vendors that a translating policy may read.
const TRANSLATED: [&str; 10] = [
    "x-portkey-config",
    "x-portkey-provider",
    "x-portkey-metadata",
    "x-portkey-trace-id",
    "x-portkey-request-timeout",
    "x-portkey-retry-count",
    "x-aistats-user-id",
    "x-phaseo-user-id",
    "x-phaseo-strictness",
    "x-phaseo-debug",
];

/// Returns the client's headers that stages may read: all but credentials, and those that a policy may
/// translate.
pub(crate) fn for_stages(headers: HeaderMap) -> HeaderMap {
    let translated: Vec<(HeaderName, HeaderValue)> = headers
        .iter()
        .filter(|(name, _)| is_translated(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut headers = without_credentials(headers);
    headers.extend(translated);
    headers
}

/// The client's headers that an upstream receives beside the usual ones: names, with `*` for any text.
#[derive(Debug, Default, Clone)]
pub struct Forwards {
    patterns: Vec<WildMatch>,
    is_all: bool,
}

/// No further header.
pub(crate) static NO_FORWARDS: Forwards = Forwards { patterns: Vec::new(), is_all: false };
/// Every header that may be forwarded: a case of a policy knows no provider.
pub(crate) static ALL_FORWARDS: Forwards = Forwards { patterns: Vec::new(), is_all: true };

impl Forwards {
    /// Fails with a message for the first pattern that no forwarded header can match.
    pub(crate) fn new(patterns: &[String]) -> Result<Self, String> {
        let patterns = patterns.iter().map(|pattern| {
            let name = pattern.to_ascii_lowercase();
            let plain: String = name.chars().filter(|c| *c != '*').collect();
            if name == BAGGAGE {
                return Err(format!("`{pattern}` is never sent to an upstream"));
            }
            let is_name = !plain.is_empty() && HeaderName::try_from(&*plain).is_ok();
            match HeaderName::try_from(&*name) {
                Ok(exact) if !name.contains('*') && !may_be_forwarded(&exact) => {
                    Err(format!("`{pattern}` is never sent to an upstream"))
                }
                _ if is_name => Ok(WildMatch::new(&name)),
                _ => Err(format!(
                    "expected names of headers such as `x-team` or `x-mine-*`, found {pattern:?}"
                )),
            }
        });
        let patterns = patterns.collect::<Result<_, _>>()?;
        Ok(Self { patterns, is_all: false })
    }

    fn has(&self, name: &HeaderName) -> bool {
        // a client's baggage may hold anything about its users
        name != BAGGAGE
            && (self.is_all || self.patterns.iter().any(|pattern| pattern.matches(name.as_str())))
    }
}

/// Returns the client's headers that an attempt sends: the usual ones and those of `forwards`. Any other
/// header may reveal the client's network, or hold a token for another service.
pub(crate) fn for_attempt(headers: &HeaderMap, forwards: &Forwards) -> HeaderMap {
    let mut sent = HeaderMap::with_capacity(headers.len() + 4);
    for (name, value) in headers {
        if is_usual(name) || (forwards.has(name) && may_be_forwarded(name)) {
            sent.append(name.clone(), value.clone());
        }
    }
    sent
}

/// Removes the headers that only servers of the Messages API understand, except those that `forwards` names.
pub(crate) fn remove_messages_api(headers: &mut HeaderMap, forwards: &Forwards) {
    const FAMILIES: [&str; 3] = ["anthropic-", "x-stainless-", "x-claude-"];
    let is_own = |name: &HeaderName| {
        let name = name.as_str();
        name == "x-app" || FAMILIES.iter().any(|family| name.starts_with(family))
    };
    let removed: Vec<HeaderName> =
        headers.keys().filter(|name| is_own(name) && !forwards.has(name)).cloned().collect();
    for name in removed {
        headers.remove(name);
    }
}

fn is_usual(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(
        name,
        "user-agent"
            | "accept"
            | "accept-language"
            | "idempotency-key"
            | "traceparent"
            | "tracestate"
            | "x-app"
    ) || ["anthropic-", "x-stainless-", "x-claude-", "content-"]
        .iter()
        .any(|family| name.starts_with(family))
}

/// Returns whether a header of a client may go to an upstream at all.
pub(crate) fn may_be_forwarded(name: &HeaderName) -> bool {
    passes_upstream(name) && !is_for_others(name) && !is_token(name)
}

/// Returns whether a header holds a token of a sign-on proxy.
fn is_token(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-amzn-oidc-")
        || name.starts_with("x-goog-iap-")
        || (name.starts_with("x-") && (name.contains("token") || name.contains("jwt")))
}

fn is_translated(name: &HeaderName) -> bool {
    is_for_others(name) && TRANSLATED.contains(&name.as_str())
}

/// Returns the headers of an upstream's response that clients rely on.
pub(crate) fn for_caller(upstream: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(upstream.len() + 4);
    for (name, value) in upstream {
        if passes_to_caller(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers.extend(rate_limits::translated(upstream));
    headers
}

/// Returns the headers of a response on a forwarded route: all except hop-by-hop headers.
pub(crate) fn forwarded(mut headers: HeaderMap) -> HeaderMap {
    remove_named_by_connection(&mut headers);
    for name in [
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        HeaderName::from_static("keep-alive"),
        header::TRAILER,
        header::UPGRADE,
        header::SET_COOKIE,
        header::STRICT_TRANSPORT_SECURITY,
    ] {
        headers.remove(name);
    }
    headers
}

/// Returns whether a policy may set this response header. Headers that frame the response are excluded.
pub(crate) fn may_be_set_for_caller(name: &HeaderName) -> bool {
    !matches!(
        name.as_str(),
        "content-length"
            | "content-encoding"
            | "content-type"
            | "transfer-encoding"
            | "connection"
            | "keep-alive"
            | "trailer"
            | "upgrade"
            | "request-id"
    )
}

/// Returns whether a header may go to an upstream. Hop-by-hop headers and the gateway's own are excluded;
/// `accept-encoding` is the gateway's own, since it reads the events.
pub(crate) fn passes_upstream(name: &HeaderName) -> bool {
    let is_ours = matches!(
        name.as_str(),
        "host"
            | "content-length"
            | "transfer-encoding"
            | "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "upgrade"
            | "expect"
            | "content-encoding"
            | "accept-encoding"
            | "authorization"
            | "cookie"
            | "x-api-key"
            // headers of earlier proxies reveal the client's network
            | "forwarded"
            | "via"
            | "x-real-ip"
            | "true-client-ip"
            | "cdn-loop"
            | "x-client-ip"
            | "x-cluster-client-ip"
            | "x-original-forwarded-for"
            | "fastly-client-ip"
            | "x-aistats-strictness"
    );
    let families = [OURS, "x-forwarded-", "cf-"];
    !is_ours && !families.iter().any(|family| name.as_str().starts_with(family))
}

fn is_for_others(name: &HeaderName) -> bool {
    // a quick check: most names begin otherwise
    name.as_str().starts_with(['x', 'h'])
        && OTHERS.iter().any(|family| name.as_str().starts_with(family))
}

fn passes_to_caller(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "request-id" | "retry-after" | "retry-after-ms" | "x-should-retry" | "content-type"
    ) || name.as_str().starts_with("anthropic-")
}

fn remove_named_by_connection(headers: &mut HeaderMap) {
    let lists = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let lists = lists
        .filter(|list| !matches!(list, l if l.eq_ignore_ascii_case("keep-alive") || l.eq_ignore_ascii_case("close")));
    let named: Vec<HeaderName> = lists
        .flat_map(|list| list.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
}

/// Returns a header value from text that is known to be printable; empty if it is not.
pub(crate) fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Returns the wait that a response asks for: `retry-after-ms`, else `retry-after` in seconds or as
/// an HTTP date.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<std::time::Duration> {
    use std::time::{Duration, SystemTime};
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(millis) = text(RETRY_AFTER_MS).and_then(|text| text.trim().parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(millis / 1000.0).ok();
    }
    let text = text(header::RETRY_AFTER)?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

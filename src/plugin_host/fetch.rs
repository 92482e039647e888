//! `fetch`: network access of a plugin, limited by its grants and by the time of its call.
use std::time::Duration;

use bytes::Bytes;
use url::{Host, Url};

use crate::net::egress::{self, Refusal};
use crate::plugin_host::bindings::tidegate::plugin::host::{HttpRequest, HttpResponse};
use crate::plugin_host::bindings::{Problem, not_granted};
use crate::plugin_host::call::PluginCall;
use crate::plugin_host::way_out::OwnWayOut;

impl PluginCall {
    /// Sends a request and returns the server's response.
    pub(super) async fn fetched(&mut self, request: HttpRequest) -> Result<HttpResponse, Problem> {
        if let Some((host, port)) = destination(&request.url) {
            self.terms.grants.host(&host, port).map_err(not_granted)?;
        }
        let Some(OwnWayOut { client, policy }) = &self.terms.way_out else {
            return Err(not_granted("the network cannot be reached here".to_owned()));
        };
        let left = self.time_left();
        let own = request.timeout_ms.map(|millis| Duration::from_millis(millis.into()));
        let request = egress::Request {
            method: request.method,
            url: request.url,
            headers: request.headers,
            body: request.body.map(Bytes::from),
            max_bytes: request.max_bytes.map(|bytes| bytes as usize),
            timeout: Some(own.map_or(left, |own| own.min(left))),
            redirects: request.redirects,
        };
        match client.fetch(policy, request).await {
            Ok(response) => {
                self.input = self.input.saturating_add(response.body.len());
                Ok(HttpResponse {
                    status: response.status,
                    url: response.url,
                    headers: response.headers,
                    body: response.body.into(),
                    truncated: response.truncated,
                })
            }
            Err(refusal) => Err(self.fetch_problem(refusal)),
        }
    }

    fn fetch_problem(&self, refusal: Refusal) -> Problem {
        let Refusal { code, mut message, retryable } = refusal;
        // the first host was allowed, so this was a redirect
        if code == "not_granted" {
            message =
                format!("it was redirected to where {message}: {}", self.terms.grants.host_lines());
        }
        Problem { code: code.to_owned(), message, retryable }
    }
}

/// Returns the host and port of a URL. The client reports an invalid URL.
fn destination(url: &str) -> Option<(String, u16)> {
    let url = Url::parse(url).ok()?;
    let host = match url.host()? {
        Host::Domain(name) => name.trim_end_matches('.').to_owned(),
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    };
    Some((host, url.port_or_known_default()?))
}

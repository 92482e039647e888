//! Fetches for plugins: the addresses of every hop are checked, and it connects to a checked address.
use crate::net::egress::answer::Arriving;
use crate::net::egress::connect::{self, Connect, Opener};
use crate::net::egress::hop::{self, Hop, Step};
use crate::net::egress::memory::Hold;
use crate::net::egress::resolve::{self, Resolve};
use crate::net::egress::{MAX_REDIRECTS, Policy, Refusal, Request, Response};
use crate::net::http1::{Awaits, Driven};
use crate::net::tls::Trust;

/// The client for plugins' requests. It keeps no connections and shares none with upstreams.
pub struct Client {
    resolve: Resolve,
    opener: Opener,
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// Creates a client with the system's resolver and certificate authorities.
    pub fn new() -> Self {
        Self::trusting(Trust::System)
    }

    /// Creates a client that trusts other certificate authorities.
    pub(crate) fn trusting(trust: Trust) -> Self {
        Self::with(resolve::resolve(), connect::connect(), trust)
    }

    /// Creates a client with another resolver or connector, for tests; the checks are the same.
    pub fn with(resolve: Resolve, connect: Connect, trust: Trust) -> Self {
        Self { resolve, opener: Opener::new(connect, trust) }
    }

    /// Fetches a URL: follows redirects up to the limit and decodes the body. A status of 404 is a response,
    /// not an error. Dropping the future closes the connection.
    ///
    /// Refuses every hop that `policy` does not allow, and fails at the policy's limits.
    pub async fn fetch(&self, policy: &Policy, request: Request) -> Result<Response, Refusal> {
        self.within_time(None, policy, request).await
    }

    /// Fetches a URL in the same way. The body takes its memory from `hold` while it arrives.
    pub(super) async fn fetch_into(
        &self,
        hold: &mut Hold<'_>,
        policy: &Policy,
        request: Request,
    ) -> Result<Response, Refusal> {
        self.within_time(Some(hold), policy, request).await
    }

    async fn within_time(
        &self,
        hold: Option<&mut Hold<'_>>,
        policy: &Policy,
        request: Request,
    ) -> Result<Response, Refusal> {
        let total = policy.limits.total;
        let limit = request.timeout.map_or(total, |own| own.min(total));
        match tokio::time::timeout(limit, self.follow(hold, policy, request)).await {
            Ok(done) => done,
            Err(_) => {
                let message = format!("no whole answer within {} ms", limit.as_millis());
                Err(Refusal::timeout(message))
            }
        }
    }

    async fn follow(
        &self,
        hold: Option<&mut Hold<'_>>,
        policy: &Policy,
        request: Request,
    ) -> Result<Response, Refusal> {
        let most = policy.limits.decoded;
        let wanted = request.max_bytes.map_or(most, |own| own.min(most));
        let follows = request.redirects.map(|own| own.min(MAX_REDIRECTS));
        let mut hop = Hop::first(request, policy)?;
        for followed in 0..=MAX_REDIRECTS {
            let (answer, driven) = self.ask(policy, &hop).await?;
            // the target of a redirect is checked only if the redirect is followed
            let step = match follows {
                Some(most) if followed == most => Step::Stay(hop),
                _ => hop.next(&answer, policy)?,
            };
            match step {
                Step::Go(next) => hop = next,
                Step::Stay(last) => {
                    let (head, incoming) = answer.into_parts();
                    let arriving = Arriving::new(driven, incoming);
                    let (body, truncated) = match hop::location(head.status, &head.headers) {
                        Some(_) => arriving.glance(&head.headers, wanted, policy.limits).await,
                        None => arriving.read(&head.headers, wanted, policy.limits, hold).await?,
                    };
                    return Ok(Response {
                        status: head.status.as_u16(),
                        url: last.to.url.into(),
                        headers: hop::for_plugin(&head.headers),
                        body,
                        truncated,
                    });
                }
            }
        }
        let message =
            format!("more than {MAX_REDIRECTS} redirects: request the last target instead");
        Err(Refusal::new("too_many_redirects", message))
    }

    /// Resolves the name, checks the addresses, connects, and reads the head of the response.
    async fn ask(
        &self,
        policy: &Policy,
        hop: &Hop,
    ) -> Result<(http::Response<hyper::body::Incoming>, Driven), Refusal> {
        let request = hop.request()?;
        let limit = policy.limits.connect;
        let open = async {
            let addresses = hop.to.addresses(policy, &self.resolve).await?;
            self.opener.open(&hop.to, &addresses, limit).await
        };
        let mut driven = match tokio::time::timeout(limit, open).await {
            Ok(opened) => opened?,
            Err(_) => return Err(connect::timed_out(&hop.to)),
        };
        let answer = driven.send(request, Awaits::Whole).await.map_err(|_| {
            Refusal::unreachable(format!("`{}` sent no HTTP response", hop.to.host))
        })?;
        Ok((answer, driven))
    }
}

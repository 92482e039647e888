//! Tests of plugins' network access. No test leaves loopback: the test decides about name resolution, and
//! every allowed address leads to a server of the test.
mod bodies;
mod media;
mod names;
mod redirects;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::net::egress::{Cidr, Client, Config, Limits, Policy, Refusal, Request, Response};
use crate::net::tls::Trust;
use tokio::net::TcpStream;

use crate::testing::within;

/// An address that the guard treats as public.
const PUBLIC: &str = "93.184.216.34";

/// The internet of a test: name resolution, and the target of every connection.
struct Net {
    client: Client,
    dialled: Arc<Mutex<Vec<SocketAddr>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Net {
    /// Resolves every name to `PUBLIC`.
    fn leading_to(server: SocketAddr) -> Self {
        Self::with(server, |_, _| vec![PUBLIC])
    }

    /// Resolves names with `lookup`, which also gets the number of earlier lookups.
    fn with(
        server: SocketAddr,
        lookup: impl Fn(&str, usize) -> Vec<&'static str> + Send + Sync + 'static,
    ) -> Self {
        Self::trusting(server, lookup, Trust::System)
    }

    fn trusting(
        server: SocketAddr,
        lookup: impl Fn(&str, usize) -> Vec<&'static str> + Send + Sync + 'static,
        trust: Trust,
    ) -> Self {
        let (dialled, asked) =
            (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (dials, questions) = (Arc::clone(&dialled), Arc::clone(&asked));
        let resolve = move |host: String, _: u16| {
            let mut questions = questions.lock().unwrap();
            let found: Vec<IpAddr> =
                lookup(&host, questions.len()).iter().map(|ip| ip.parse().unwrap()).collect();
            questions.push(host);
            let found =
                if found.is_empty() { Err(io::Error::other("no such name")) } else { Ok(found) };
            Box::pin(std::future::ready(found)) as _
        };
        let connect = move |address| {
            dials.lock().unwrap().push(address);
            Box::pin(TcpStream::connect(server)) as _
        };
        let client = Client::with(Box::new(resolve), Box::new(connect), trust);
        Self { client, dialled, asked }
    }

    async fn fetch(&self, policy: &Policy, request: Request) -> Result<Response, Refusal> {
        within("a fetch", self.client.fetch(policy, request)).await
    }

    async fn get(&self, url: &str) -> Result<Response, Refusal> {
        self.fetch(&anything(), get(url)).await
    }

    fn dialled(&self) -> Vec<String> {
        self.dialled.lock().unwrap().iter().map(SocketAddr::to_string).collect()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn get(url: &str) -> Request {
    Request { method: "GET".to_owned(), url: url.to_owned(), ..Request::default() }
}

/// A policy that grants every host on the usual ports.
fn anything() -> Policy {
    Policy {
        allow_private: Vec::new(),
        own: Vec::new(),
        may_reach: Arc::new(|_, port| matches!(port, 80 | 443)),
        limits: Limits { total: Duration::from_secs(60), ..Limits::default() },
        remedy: "`egress.allow_private`",
    }
}

fn blocks(blocks: &[&str]) -> Vec<Cidr> {
    blocks.iter().map(|block| block.parse().unwrap()).collect()
}

/// Returns an address without a listener: a connection attempt proves that the guard let it pass.
fn nowhere() -> SocketAddr {
    "127.0.0.1:1".parse().unwrap()
}

#[test]
fn blocks_of_the_config_are_read_or_are_problems() {
    let config = |blocks: &[&str]| Config {
        allow_private: blocks.iter().map(|block| (*block).to_owned()).collect(),
        ..Config::default()
    };
    assert!(config(&["10.1.0.0/16", "fd00::/8", "0.0.0.0/0", "::1/128"]).build(vec![]).is_ok());
    let wrong = [
        "10.0.0.0/8",
        "10.0.0.0",
        "10.0.0.0/33",
        "::/129",
        "10.0.0.0/+8",
        "a/8",
        "1.2/8",
        "/8",
        "10.0.0.0/",
    ];
    let problems = config(&wrong).build(vec![]).unwrap_err();
    let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
    let expect: Vec<_> = (1..wrong.len()).map(|n| format!("egress.allow_private[{n}]")).collect();
    assert_eq!(paths, expect);
}

fn hosts(hosts: &[&str]) -> Config {
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    Config { media_hosts: Some(hosts), ..Config::default() }
}

#[test]
fn the_hosts_of_urls_in_requests_are_patterns_or_problems() {
    let may_reach =
        |config: Config| config.build(vec![]).unwrap().media_policy().unwrap().may_reach;
    let all = may_reach(Config::default());
    assert!(all("example.com", 443) && all("10.0.0.1", 9000));
    let some = may_reach(hosts(&["*.example.com", "wiki.corp:8080"]));
    assert!(some("a.example.com", 443) && some("wiki.corp", 8080));
    assert!(!some("example.org", 443) && !some("a.example.com", 8080) && !some("wiki.corp", 80));
    assert!(hosts(&[]).build(vec![]).unwrap().media_policy().is_none());
    let problems = hosts(&["*", "a b", "x:y"]).build(vec![]).unwrap_err();
    let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["egress.media_hosts[1]", "egress.media_hosts[2]"]);
}

#[tokio::test]
async fn a_private_block_is_open_to_urls_in_requests_only_with_a_list_of_hosts() {
    let fetch = async |config: Config, own: &[&str]| {
        let net = Net::leading_to(nowhere());
        let own = own.iter().map(|own| own.parse().unwrap()).collect();
        let config = Config { allow_private: vec!["10.0.0.0/8".to_owned()], ..config };
        let policy = config.build(own).unwrap().media_policy().unwrap();
        let refusal = net.fetch(&policy, get("http://10.1.1.1/x")).await.unwrap_err();
        (refusal.code, net.dialled(), refusal.message)
    };
    let (code, dialled, message) = fetch(Config::default(), &[]).await;
    assert_eq!((code, dialled.len()), ("url_not_allowed", 0));
    assert!(message.contains("`egress.allow_private`, and its host in `egress.media_hosts`"));
    for pattern in ["10.1.1.1", "*:*"] {
        let (code, dialled, _) = fetch(hosts(&[pattern]), &[]).await;
        assert_eq!((code, dialled), ("unreachable", vec!["10.1.1.1:80".to_owned()]));
    }
    assert_eq!(fetch(hosts(&["example.com"]), &[]).await.0, "not_granted");
    // the gateway's own listeners stay out of reach
    assert_eq!(fetch(hosts(&["*"]), &["10.1.1.1:80"]).await.0, "url_not_allowed");
}

//! The bounds of the URLs of one exchange: number, size, time, and one fetch for each.
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::*;
use crate::net::egress::collector::{Bounds, Collection, Collector, Fetched};
use crate::net::egress::media::{Media, Outcome};
use crate::testing::upstream::{self, Behaviour, Upstream};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01";

fn data_url(n: usize) -> String {
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode([PNG, &n.to_be_bytes()].concat()))
}

fn bounds(request: usize) -> Bounds {
    Bounds { time: Duration::from_secs(60), request }
}

/// Collects from a net that leads to a server.
fn collector(net: Net, max_body: u64) -> Collector {
    Collector::new(&Arc::new(net.client), anything(), max_body)
}

fn outcome(collection: &Collection, url: &str) -> Outcome {
    match collection.fetched() {
        Fetched::Known(contents) => (**contents.get(url).unwrap()).clone(),
        Fetched::Assumed => panic!("assumed"),
    }
}

#[tokio::test]
async fn the_number_of_urls_of_an_exchange_is_limited_over_all_attempts() {
    let collector = collector(Net::leading_to(nowhere()), 1 << 20);
    let collection = Collection::default();
    let urls: Vec<String> = (0..60).map(data_url).collect();
    collector.collect(&collection, urls[..40].to_vec(), bounds(0)).await;
    collector.collect(&collection, urls.clone(), bounds(0)).await;
    assert!(urls[..50].iter().all(|url| outcome(&collection, url).is_ok()));
    for url in &urls[50..] {
        let reason = outcome(&collection, url).unwrap_err();
        assert_eq!(reason, "the request has more than 50 URLs to fetch");
    }
}

#[tokio::test]
async fn the_request_with_all_contents_stays_below_the_limit_of_bodies() {
    let collector = collector(Net::leading_to(nowhere()), 1000);
    let size = match outcome_of(&collector, &data_url(0)).await {
        Ok(Media::Image { data, .. }) => data.len(),
        other => panic!("{other:?}"),
    };
    let collection = Collection::default();
    let urls: Vec<String> = (0..3).map(data_url).collect();
    collector.collect(&collection, urls.clone(), bounds(1000 - 2 * size)).await;
    assert!(urls[..2].iter().all(|url| outcome(&collection, url).is_ok()));
    let reason = outcome(&collection, &urls[2]).unwrap_err();
    assert_eq!(reason, "the request with its fetched content is larger than 1000 bytes");
}

async fn outcome_of(collector: &Collector, url: &str) -> Outcome {
    let collection = Collection::default();
    collector.collect(&collection, vec![url.to_owned()], bounds(0)).await;
    outcome(&collection, url)
}

#[tokio::test]
async fn a_url_is_fetched_once_and_its_failure_stays() {
    let server = Upstream::by(|call| {
        let head = "content-type: image/png\r\n";
        Behaviour::Answer(match call.head.target() {
            "/a" => upstream::answer(200, head, PNG),
            _ => upstream::answer(503, "", ""),
        })
    })
    .await;
    let collector = collector(Net::leading_to(server.address), 1 << 20);
    let collection = Collection::default();
    let urls = ["http://e.com/a", "http://e.com/b", "http://e.com/a"].map(str::to_owned);
    for _ in 0..2 {
        collector.collect(&collection, urls.to_vec(), bounds(0)).await;
    }
    assert_eq!(server.count(), 2);
    assert!(outcome(&collection, &urls[0]).is_ok());
    assert_eq!(outcome(&collection, &urls[1]).unwrap_err(), "the server answered 503");
    // the headers tell nothing about the client
    let (head, body) = server.seen().remove(0);
    assert!(head.header("accept").unwrap().contains("image/*") && body.is_empty());
    assert_eq!((head.header("authorization"), head.header("cookie")), (None, None));
}

#[tokio::test]
async fn without_time_nothing_is_requested() {
    let net = Net::leading_to(nowhere());
    let dialled = Arc::clone(&net.dialled);
    let collector = collector(net, 1 << 20);
    let collection = Collection::default();
    let bounds = Bounds { time: Duration::ZERO, request: 0 };
    collector.collect(&collection, vec!["http://e.com/a".to_owned()], bounds).await;
    let reason = outcome(&collection, "http://e.com/a").unwrap_err();
    assert_eq!(reason, "the time for fetching was over");
    assert!(dialled.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_shown_of_a_collection_has_no_url_and_no_content() {
    let collector = collector(Net::leading_to(nowhere()), 1 << 20);
    let collection = Collection::default();
    collector.collect(&collection, vec![data_url(1)], bounds(0)).await;
    assert_eq!(format!("{collection:?}"), "Collection of 1 URLs");
    let shown = format!("{:?}", outcome(&collection, &data_url(1)));
    assert!(shown.contains("image/png of 40 bytes"), "{shown}");
}

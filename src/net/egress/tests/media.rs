//! The bounds of the URLs of one exchange: number, size, time, and one fetch for each.
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::*;
use crate::net::egress::collector::{Bounds, Collection, Collector, Fetched};
use crate::net::egress::media::{Media, Outcome};
use crate::net::egress::memory::{Memory, UNIT};
use crate::testing::upstream::{self, Auto, Behaviour, Upstream};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01";

fn data_url(n: usize) -> String {
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode([PNG, &n.to_be_bytes()].concat()))
}

fn bounds(request: usize) -> Bounds {
    Bounds { time: Duration::from_secs(60), request }
}

/// Collects from a net that leads to a server.
fn collector(net: Net, max_body: u64) -> Collector {
    collector_with(net, max_body, &Memory::default())
}

fn collector_with(net: Net, max_body: u64, memory: &Memory) -> Collector {
    Collector::new(&Arc::new(net.client), anything(), memory, max_body)
}

/// A server of images; the name says the number of bytes. It never answers to `/silent`.
async fn images() -> Auto {
    Upstream::by(|call| match call.head.target() {
        "/silent" => Behaviour::Silence,
        path => {
            let size: usize = path.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
            let mut body = PNG.to_vec();
            body.resize(size, 0);
            Behaviour::Answer(upstream::answer(200, "content-type: image/png\r\n", &body))
        }
    })
    .await
}

fn urls<const N: usize>(paths: [&str; N]) -> Vec<String> {
    paths.iter().map(|path| format!("http://e.com/{path}")).collect()
}

fn number(collection: &Collection) -> usize {
    match collection.fetched() {
        Fetched::Known(contents) => contents.len(),
        Fetched::Assumed => panic!("assumed"),
    }
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
async fn a_slow_server_does_not_keep_later_urls_from_being_requested() {
    let server = images().await;
    let collector = collector(Net::leading_to(server.address), 1 << 20);
    let collection = Collection::default();
    let asked = urls(["silent", "100", "101", "102", "103", "104", "105", "106", "107"]);
    // the time is up only after all others have arrived
    let bounds = Bounds { time: Duration::from_secs(3), request: 0 };
    collector.collect(&collection, asked.clone(), bounds).await;
    assert!(outcome(&collection, &asked[0]).unwrap_err().contains("no whole answer within"));
    for url in &asked[1..] {
        assert!(outcome(&collection, url).is_ok(), "{url}: {:?}", outcome(&collection, url));
    }
    assert_eq!(server.count(), asked.len());
}

#[tokio::test]
async fn a_content_counts_as_often_as_the_request_has_it() {
    let server = images().await;
    let collector = collector(Net::leading_to(server.address), 100_000);
    let (image, collection) = (urls(["30000"]).remove(0), Collection::default());
    // 40,000 bytes of Base64
    for (uses, fits) in [(2, true), (3, false)] {
        let collection = Collection::default();
        collector.collect(&collection, vec![image.clone(); uses], bounds(0)).await;
        assert_eq!(outcome(&collection, &image).is_ok(), fits, "{uses}");
    }
    collector.collect(&collection, vec![data_url(1); 1250], bounds(0)).await;
    assert!(outcome(&collection, &data_url(1)).is_ok());
    let other = data_url(2);
    collector.collect(&collection, vec![other.clone(); 1251], bounds(50_000)).await;
    let reason = outcome(&collection, &other).unwrap_err();
    assert_eq!(reason, "the request with its fetched content is larger than 100000 bytes");
}

#[tokio::test]
async fn a_file_is_cut_off_where_its_base64_no_longer_fits_into_the_request() {
    let server = images().await;
    let collector = collector(Net::leading_to(server.address), 100_000);
    for (size, reason) in [(60_000, None), (60_001, Some("the content is larger than 60000 bytes"))]
    {
        let (url, collection) = (urls([&size.to_string()]).remove(0), Collection::default());
        collector.collect(&collection, vec![url.clone()], bounds(20_000)).await;
        assert_eq!(outcome(&collection, &url).err().as_deref(), reason, "{size}");
    }
    let (url, collection) = (urls(["100"]).remove(0), Collection::default());
    collector.collect(&collection, vec![url.clone()], bounds(100_000)).await;
    let reason = outcome(&collection, &url).unwrap_err();
    assert_eq!(reason, "the request with its fetched content is larger than 100000 bytes");
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn the_contents_of_all_requests_share_one_memory_until_their_exchange_ends() {
    let server = images().await;
    let memory = Memory::of(1 << 20);
    let collector = collector_with(Net::leading_to(server.address), 1 << 30, &memory);
    let whole = memory.free();
    let [first, second, third] = [(); 3].map(|()| Collection::default());
    let image = urls(["300000"]).remove(0);
    let brief = Bounds { time: Duration::from_millis(1500), request: 0 };
    collector.collect(&first, vec![image.clone()], bounds(0)).await;
    assert!(outcome(&first, &image).is_ok());
    // the file itself is gone, its Base64 is kept
    let left = memory.free();
    assert!(left <= whole - 400_000 && left >= whole - 420_000, "{left}");
    // another exchange has no room for file and Base64, and says so
    collector.collect(&second, vec![image.clone()], brief).await;
    let reason = outcome(&second, &image).unwrap_err();
    assert!(reason.contains("left no memory for this one"), "{reason}");
    assert_eq!(memory.free(), left);
    // a third one waits until the first one ends
    let waiting = collector.collect(&third, vec![image.clone()], bounds(0));
    let ending = async {
        while server.count() < 3 {
            tokio::task::yield_now().await;
        }
        drop(first);
    };
    within("the memory", async { tokio::join!(waiting, ending) }).await;
    assert!(outcome(&third, &image).is_ok());
    drop((second, third));
    assert_eq!(memory.free(), whole);
}

#[tokio::test]
async fn requests_that_have_a_part_of_the_memory_do_not_wait_for_each_other() {
    let server = images().await;
    let memory = Memory::of(1 << 20);
    let collector = collector_with(Net::leading_to(server.address), 1 << 30, &memory);
    // each needs more than half of the memory, for its file and Base64
    let image = urls(["300000"]).remove(0);
    let all = [(); 4].map(|()| Collection::default());
    let fetches = all.iter().map(|one| collector.collect(one, vec![image.clone()], bounds(0)));
    futures_util::future::join_all(fetches).await;
    let outcomes: Vec<_> = all.iter().map(|one| outcome(one, &image)).collect();
    assert!(outcomes.iter().any(Result::is_ok), "{outcomes:?}");
    // the contents of one request do not wait for each other either
    drop(all);
    let one = Collection::default();
    let two = urls(["300000", "300001"]);
    collector.collect(&one, two.clone(), bounds(0)).await;
    assert!(two.iter().any(|url| outcome(&one, url).is_ok()));
}

#[tokio::test]
async fn a_fetch_that_ends_early_gives_its_memory_back() {
    let server = images().await;
    let memory = Memory::of(1 << 20);
    let whole = memory.free();
    let collector = collector_with(Net::leading_to(server.address), 200_000, &memory);
    let collection = Collection::default();
    // too large for the request, of no known type, and dropped while it waits
    let text = format!("data:image/png,{}", "x".repeat(50_000));
    let asked = [urls(["190000"]), vec![text]].concat();
    collector.collect(&collection, asked.clone(), bounds(0)).await;
    assert!(asked.iter().all(|url| outcome(&collection, url).is_err()));
    let silent = collector.collect(&collection, urls(["100", "silent"]), bounds(0));
    let arrived = async {
        while server.count() < 3 || number(&collection) < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! { () = silent => panic!("answered"), () = within("an image", arrived) => {} }
    assert_eq!(memory.free(), whole - UNIT);
    drop(collection);
    assert_eq!(memory.free(), whole);
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

//! Files that plugins publish: kept for a while, within the size limit, under unguessable names.
use std::time::{Duration, Instant};

use crate::plugin_host::{File, FilesConfig, published::Published};
use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;

fn file(content: &'static str) -> File {
    File { media_type: "image/png".to_owned(), content: Bytes::from_static(content.as_bytes()) }
}

fn config(max_bytes: u64) -> FilesConfig {
    FilesConfig { max_bytes, ..FilesConfig::default() }
}

#[test]
fn a_file_is_found_until_its_time_is_over() {
    let (files, now) = (Published::default(), Instant::now());
    let name = files.keep(file("abc"), &config(100), now).unwrap();
    let found = files.find(&name, now + Duration::from_secs(3599)).unwrap();
    assert_eq!(found, ("image/png".to_owned(), Bytes::from_static(b"abc")));
    assert!(files.find(&name, now + Duration::from_secs(3600)).is_none());
    assert!(files.find("another", now).is_none());
}

#[test]
fn the_oldest_file_makes_room_and_a_file_larger_than_the_limit_is_not_kept() {
    let (dropped, now) = (Counter::default(), Instant::now());
    let files = Published::new(dropped.clone());
    // each has 9 additional bytes of its media type
    let names = ["aaaa", "bbbb", "cccc"].map(|c| files.keep(file(c), &config(30), now).unwrap());
    let is_there = names.each_ref().map(|name| files.find(name, now).is_some());
    assert_eq!(is_there, [false, true, true]);
    assert!(files.keep(file("a long one, far too long"), &config(30), now).is_none());
    assert!(files.find(&names[2], now).is_some(), "what did not fit has pushed nothing out");
    assert_eq!(dropped.get(), 1);
    assert!(files.find(&names[2], now + Duration::from_secs(3600)).is_none());
    assert_eq!(dropped.get(), 1, "its time was over");
}

#[test]
fn the_same_file_twice_has_two_names() {
    let (files, now) = (Published::default(), Instant::now());
    let [first, second] = [0, 1].map(|_| files.keep(file("a"), &config(100), now).unwrap());
    assert_ne!(first, second);
    assert_eq!(first.len(), 32);
}

#[test]
fn empty_files_are_bounded_as_well() {
    let (files, now) = (Published::default(), Instant::now());
    let empty = || File { media_type: String::new(), content: Bytes::new() };
    let first = files.keep(empty(), &config(10), now).unwrap();
    for _ in 1..4096 {
        files.keep(empty(), &config(10), now).unwrap();
    }
    assert!(files.find(&first, now).is_some());
    files.keep(empty(), &config(10), now).unwrap();
    assert!(files.find(&first, now).is_none());
}

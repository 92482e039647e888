//! Tests of the outbox.
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;

use super::{Bounds, Courier, Outbox, Size, Waits};
use crate::telemetry::exporter::Dropped;

const BOUNDS: Bounds = Bounds {
    batch: Size { units: 3, bytes: 100 },
    open: Duration::from_secs(1),
    all: Size { units: 8, bytes: 1000 },
};
const HOUR: Duration = Duration::from_secs(3600);

fn outbox() -> Arc<Outbox<u32>> {
    Arc::new(Outbox::new(BOUNDS, Gauge::default()))
}

fn size(bytes: u64) -> Size {
    Size { units: 1, bytes }
}

#[test]
fn a_batch_closes_when_it_is_full_or_old_or_the_last() {
    let outbox = outbox();
    (0..4).for_each(|n| outbox.push(n, size(1)).unwrap());
    let mut state = outbox.state.lock();
    let begin = state.waiting[3].since;
    let mut next = |now| state.next(now, &BOUNDS).map(|batch| batch.len());
    assert_eq!(next(begin), Ok(3));
    assert_eq!(next(begin), Err(Some(begin + BOUNDS.open)));
    assert_eq!(next(begin + BOUNDS.open), Ok(1));
    assert_eq!(next(begin + BOUNDS.open), Err(None));
    state.is_closed = true;
    assert_eq!(state.next(begin, &BOUNDS).map(|batch| batch.len()), Ok(0));
}

#[tokio::test]
async fn a_batch_is_bounded_in_bytes_and_has_at_least_one_entry() {
    let outbox = outbox();
    for bytes in [40, 50, 60, 500] {
        outbox.push(0, size(bytes)).unwrap();
    }
    outbox.close();
    let mut sizes = Vec::new();
    for _ in 0..4 {
        sizes.push(outbox.batch().await.len());
    }
    assert_eq!(sizes, [2, 1, 1, 0]);
}

#[test]
fn entries_count_until_they_are_released() {
    let outbox = outbox();
    (0..8).for_each(|n| outbox.push(n, size(1)).unwrap());
    assert_eq!(outbox.push(8, size(1)), Err(Dropped::Full));
    let batch = outbox.state.lock().next(tokio::time::Instant::now(), &BOUNDS).unwrap();
    assert_eq!(outbox.push(8, size(1)), Err(Dropped::Full));
    outbox.release(Size::of(&batch));
    assert_eq!(outbox.push(8, size(996)), Err(Dropped::Full), "the bytes are bounded, too");
    assert_eq!(outbox.push(8, size(995)), Ok(()));
    outbox.close();
    assert_eq!(outbox.push(9, size(1)), Err(Dropped::Stopped));
    assert_eq!((outbox.waiting.get(), outbox.clear(), outbox.waiting.get()), (6, 6, 0));
}

#[tokio::test]
async fn a_pause_ends_with_the_outbox() {
    let outbox = outbox();
    let paused = Arc::clone(&outbox);
    let pause = tokio::spawn(async move { paused.pause(HOUR).await });
    tokio::task::yield_now().await;
    outbox.push(1, size(1)).unwrap();
    tokio::task::yield_now().await;
    assert!(!pause.is_finished());
    outbox.close();
    pause.await.unwrap();
}

#[tokio::test]
async fn the_tries_end_with_the_list_or_with_the_outbox() {
    let outbox = outbox();
    let mut waits = Waits::new([HOUR, HOUR]);
    assert!(waits.next(&outbox, Some(Duration::ZERO)).await, "the receiver's own wait counts");
    assert!(waits.next(&outbox, Some(Duration::ZERO)).await);
    assert!(!waits.next(&outbox, Some(Duration::ZERO)).await);
    outbox.close();
    assert!(!Waits::new([HOUR]).next(&outbox, None).await);
}

#[tokio::test]
async fn a_courier_that_is_stopped_loses_what_it_could_not_send() {
    let outbox = outbox();
    let courier = Courier::start(&outbox, std::future::pending());
    outbox.push(1, size(1)).unwrap();
    assert_eq!(courier.stop(Duration::ZERO).await, 1);
}

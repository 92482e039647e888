//! Tests of a shard: the connections it keeps, and the order in which it returns them.
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::DuplexStream;

use super::{Connection, Driven, MAX_KEPT, MAX_STREAMS, Shard};
use std::sync::Arc;
use std::time::Duration;

/// Returns an HTTP/1.1 connection and its other end.
async fn one() -> (Driven, DuplexStream) {
    let (near, far) = tokio::io::duplex(1024);
    (Driven::handshake(near, Duration::ZERO).await.unwrap(), far)
}

/// Waits until the other end closes the connection.
async fn is_closed(mut far: DuplexStream) {
    use tokio::io::AsyncReadExt;
    let read = crate::testing::within("the connection to close", far.read(&mut [0])).await;
    assert_eq!(read.unwrap(), 0);
}

#[tokio::test]
async fn the_connection_that_came_back_last_is_taken_first() {
    let shard = Arc::new(Shard::default());
    assert!(shard.take().is_none());
    let ((old, old_far), (new, new_far)) = (one().await, one().await);
    shard.give_back(old);
    shard.give_back(new);
    drop(shard.take());
    is_closed(new_far).await;
    drop(shard.take());
    is_closed(old_far).await;
    assert!(shard.take().is_none());
}

#[tokio::test]
async fn connections_beyond_the_most_are_closed() {
    let shard = Arc::new(Shard::default());
    let mut ends = Vec::new();
    for _ in 0..=MAX_KEPT {
        let (connection, far) = one().await;
        shard.give_back(connection);
        ends.push(far);
    }
    is_closed(ends.pop().unwrap()).await;
    let taken = std::iter::from_fn(|| shard.take()).count();
    assert_eq!(taken, MAX_KEPT);
}

#[tokio::test]
async fn a_shared_connection_is_given_until_its_streams_are_used_up() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let server = tokio::spawn(async move {
        let mut server = h2::server::handshake(far).await.unwrap();
        while server.accept().await.is_some() {}
    });
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (sender, connection) = builder.handshake(TokioIo::new(near)).await.unwrap();
    let driver = tokio::spawn(connection);
    let shard = Shard::default();
    let mut held = vec![shard.share(sender, Duration::ZERO)];
    while let Some(connection) = shard.take_shared() {
        held.push(connection);
        assert!(held.len() <= MAX_STREAMS, "more than the upstream may allow");
    }
    assert_eq!(held.len(), MAX_STREAMS);
    // a stream that has ended makes room for another
    held.pop();
    assert!(matches!(shard.take(), Some(Connection::Many(_))));
    // a connection that has ended is not returned
    held.clear();
    server.abort();
    let _ = crate::testing::within("the connection to end", driver).await;
    assert!(shard.take().is_none());
}

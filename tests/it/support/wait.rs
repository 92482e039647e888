//! Waits for a condition instead of for a time.
use std::future::Future;
use std::time::Duration;

/// Far above what anything here takes: only a hang reaches it.
const HANG: Duration = Duration::from_secs(60);

/// Waits for what must happen; a hang is a failure that says what was awaited.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(HANG, future).await {
        Ok(value) => value,
        Err(_) => panic!("hangs: {what}"),
    }
}

/// Waits until a condition holds, which `what` names.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

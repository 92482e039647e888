//! Random ids: of requests and events, and of this process.
use std::sync::OnceLock;

/// Returns a new id: a prefix and 24 characters.
pub(crate) fn id(prefix: &str) -> String {
    let mut id = String::with_capacity(prefix.len() + 24);
    id.push_str(prefix);
    id.extend((0..24).map(|_| fastrand::alphanumeric()));
    id
}

/// Returns the id of this process, for traces and events.
pub(crate) fn instance() -> &'static str {
    static INSTANCE: OnceLock<String> = OnceLock::new();
    INSTANCE.get_or_init(|| format!("{:032x}", fastrand::u128(..)))
}

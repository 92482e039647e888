//! What several tests share.
pub mod grammar;

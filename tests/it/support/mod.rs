//! What the tests of several parts share.
pub mod grammar;
pub mod loop_gateway;
pub mod stages;
pub mod turn;

//! Handles one request, from its head to the reply.
mod answered;
mod attempt;
mod binding;
mod dispatch;
mod failover;
pub mod forward;
mod inbound;
pub mod inner;
mod messages;
mod meter;
pub mod models;
mod requested;
mod route;
mod tool_loop;

pub use answered::Answered;
pub use inbound::Inbound;
pub use messages::messages;

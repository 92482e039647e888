//! Handles one request, from its head to the reply.
mod admit;
mod answered;
mod attempt;
mod binding;
mod count;
mod cut;
mod dispatch;
mod failover;
mod forgetful;
pub(crate) mod forward;
mod inbound;
pub(crate) mod inner;
mod messages;
mod meter;
pub(crate) mod models;
mod open;
mod reasoning;
mod requested;
pub(crate) mod respond;
mod route;
pub(crate) mod telemetry;
mod tool_loop;
mod traced;
mod verdict;

pub(crate) use inbound::Inbound;
pub(crate) use messages::{as_operator, messages};

//! Limits per time and budgets of money: rules, counters, and the reservation of each exchange.
mod admission;
pub(crate) mod budget;
mod claim;
pub(crate) mod config;
mod left;
mod memory;
mod notices;
pub(crate) mod overview;
mod problems;
mod queue;
mod refusal;
mod rules;
mod saved;
mod shared;
mod store;
mod sums;
mod waiting;
mod window;

pub(crate) use admission::{Admission, Admitted, Source, TargetEntry, Wanted};
pub(crate) use problems::{Known, of_named, problems};
pub(crate) use queue::LineId;
pub(crate) use refusal::Rejection;
pub(crate) use rules::{Estimate, Limits, Name, Watch};
pub(crate) use saved::Counters;
pub(crate) use waiting::Free;

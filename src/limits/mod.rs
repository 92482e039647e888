//! Limits per time and budgets of money: rules, counters, and the reservation of each exchange.
mod admission;
pub(crate) mod budget;
pub(crate) mod config;
mod left;
mod problems;
mod rules;
mod saved;
mod store;
mod sums;
mod window;

pub(crate) use admission::{Admission, Admitted, Source, TargetEntry};
pub(crate) use problems::{Known, of_named, problems};

pub(crate) use rules::{Estimate, Limits, Name};
pub(crate) use saved::Counters;

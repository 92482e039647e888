//! What callers get when something is wrong: with them, with an upstream, or on the way.
mod begun;
mod coded;
mod early;
mod heads;
mod input;
mod lost;
mod refusals;
mod slow;
mod streams;
mod upstreams;

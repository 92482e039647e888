//! What callers get when something is wrong: with them, with an upstream, or on the way.
mod heads;
mod input;
mod refusals;
mod slow;
mod streams;
mod upstreams;

//! Native doors: upstreams that speak the Messages API, each with its signer and the form of its body.
pub(super) mod betas;
pub(super) mod door;
mod failure;
pub(super) mod form;
mod guard;
pub(super) mod invoke;
mod invoked;
pub(super) mod names;
mod rewrite;
mod urls;
pub(super) mod vertex;

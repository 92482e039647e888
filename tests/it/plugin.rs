//! Plugins of a running gateway, and the commands about plugins.
mod blame;
mod bounds;
mod commands;
mod idle;
mod left;
mod served;
mod swapped;

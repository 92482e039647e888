//! What callers see of server tools, and what an upstream gets of that: on the way out, and when it comes back.
pub mod face;
pub mod history;
pub mod images;
pub mod sources;
pub mod unhide;
pub mod web;

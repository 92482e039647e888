//! Server tools: declarations, their form for clients and upstreams, and the turns of a tool loop
//! as one message.
pub(crate) mod allowed;
pub(crate) mod budget;
pub(crate) mod citations;
pub(crate) mod declare;
pub(crate) mod face;
pub(crate) mod hidden;
pub(crate) mod history;
pub(crate) mod images;
pub(crate) mod native;
mod reported;
pub(crate) mod splice;
pub(crate) mod tool;
pub(crate) mod transcript;
pub(crate) mod unhide;
pub(crate) mod web;

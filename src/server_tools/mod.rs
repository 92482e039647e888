//! Server tools: declarations, their form for clients and upstreams, and the turns of a tool loop
//! as one message.
pub mod budget;
pub mod citations;
pub mod declare;
pub mod face;
pub mod hidden;
pub mod history;
pub mod images;
pub mod native;
pub mod splice;
pub mod tool;
pub mod transcript;
pub mod unhide;
pub mod web;

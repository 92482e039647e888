//! Server tools: how requests declare them, how clients and upstreams see their calls, how the turns of a loop become one message.
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

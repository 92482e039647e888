//! The listeners: accept, read the head, hand over to the routes.
pub use crate::config::listeners::ServerConfig as Config;
pub use crate::config::listeners::TlsConfig;

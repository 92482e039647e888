//! The admin listener: metrics, health, and later the admin API and the dashboard.
pub use crate::config::listeners::AdminConfig as Config;

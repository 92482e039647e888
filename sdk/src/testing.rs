//! A replacement for the gateway, so that a plugin's tests run natively.
//!
//! ```
//! use tidegate_sdk::testing::MockHost;
//!
//! let host = MockHost::new().clock(1_000_000_000);
//! let now = host.run(tidegate_sdk::host::clock);
//! assert_eq!(now, 1_000_000_000);
//! ```
use serde_json::Value;

use crate::document::Document;
use crate::plugin::{Action, Package, Plugin, Target};
use crate::problem::Result;

pub use crate::mock::{MockHost, logs};

impl MockHost {
    /// Runs code on behalf of a plugin. The host rejects everything that its manifest does not
    /// request.
    fn run_as<P: Plugin, T>(&self, what: impl FnOnce() -> T) -> T {
        self.wanting(P::WANTS).run(what)
    }

    /// Returns the manifest, as the gateway reads it when it loads the plugin.
    pub fn describe<P: Plugin + Package>(&self) -> Result<Value> {
        self.run_as::<P, _>(crate::guest::describe::<P>)
    }

    /// Runs a tool and returns the `content` of a `tool_result`.
    pub fn call_tool<P: Plugin>(&self, name: &str, input: Value, options: Value) -> Result<Value> {
        let (input, options) = (input.to_string(), options.to_string());
        self.run_as::<P, _>(|| crate::guest::call_tool::<P>(name, &input, &options))
    }

    /// Runs [`Plugin::on_request`] on a body.
    pub fn on_request<P: Plugin>(&self, body: &mut Value) -> Result<Action> {
        self.run_as::<P, _>(|| {
            P::new(crate::host::config()?)?.on_request(&mut Document::mock(body))
        })
    }

    /// Runs [`Plugin::on_upstream_request`] on a body.
    pub fn on_upstream_request<P: Plugin>(
        &self,
        body: &mut Value,
        target: &Target,
    ) -> Result<Action> {
        self.run_as::<P, _>(|| {
            P::new(crate::host::config()?)?.on_upstream_request(&mut Document::mock(body), target)
        })
    }

    /// Runs [`Plugin::on_response`] on a message.
    pub fn on_response<P: Plugin>(&self, message: &mut Value) -> Result<Action> {
        self.run_as::<P, _>(|| {
            P::new(crate::host::config()?)?.on_response(&mut Document::mock(message))
        })
    }
}

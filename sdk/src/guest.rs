//! The code between the generated exports and the trait: manifest, dispatch, panic hook.
use serde_json::{Value, json};

use crate::host;
use crate::plugin::{Package, Plugin};
use crate::problem::{Problem, Result};

/// The type of [`describe`], the same for every plugin.
pub type Describe = fn() -> Result<Value>;

/// Returns the manifest of a plugin after its config was checked. While the plugin is built, it has
/// no config, and nothing is checked.
pub fn describe<P: Plugin + Package>() -> Result<Value> {
    let hooks = match host::config::<Option<P::Config>>()? {
        Some(config) => P::new(config)?.hooks()?,
        None => P::HOOKS.to_vec(),
    };
    let hooks: Vec<_> = hooks.iter().map(|hook| hook.as_str()).collect();
    let tools: Vec<_> = P::tools()
        .iter()
        .map(|tool| {
            json!({
                "name": tool.name,
                "description": tool.description,
                "input_schema": (tool.input_schema)(),
                "options_schema": (tool.options_schema)(),
            })
        })
        .collect();
    Ok(json!({
        "name": P::NAME,
        "version": P::VERSION,
        "hooks": hooks,
        "tools": tools,
        "wants": P::WANTS,
        "config_schema": crate::tool::schema_of::<P::Config>(),
    }))
}

/// Makes the plugin for one call.
fn made<P: Plugin>() -> Result<P> {
    // an empty config need not cross the border each time: `describe` has checked it
    P::new(match size_of::<P::Config>() {
        0 => serde_json::from_str("{}").or_else(|_| host::config())?,
        _ => host::config()?,
    })
}

/// Runs a tool and returns the `content` of a `tool_result`.
pub fn call_tool<P: Plugin>(name: &str, input: &str, options: &str) -> Result<Value> {
    let tools = P::tools();
    let tool = tools
        .iter()
        .find(|tool| tool.name == name)
        .ok_or_else(|| Problem::new("unknown_tool", format!("there is no tool `{name}`")))?;
    tool.call(&made::<P>()?, input, options)
}

#[cfg(target_arch = "wasm32")]
pub use wasm::Exported;

#[cfg(target_arch = "wasm32")]
mod wasm {
    use std::marker::PhantomData;
    use std::sync::Once;

    use crate::bindings;
    use crate::document::Document;
    use crate::host;
    use crate::plugin::{Action, Package, Plugin};
    use crate::problem::{Problem, Result};

    /// The exports of a plugin, for [`export!`](crate::export).
    pub struct Exported<P>(PhantomData<P>);

    impl<P: Plugin + Package> bindings::Guest for Exported<P> {
        fn describe() -> Result<String, bindings::Problem> {
            listen_to_panics();
            Ok(super::describe::<P>()?.to_string())
        }

        fn call_tool(
            name: String,
            input: String,
            options: String,
        ) -> Result<String, bindings::Problem> {
            listen_to_panics();
            Ok(super::call_tool::<P>(&name, &input, &options)?.to_string())
        }

        fn on_request(request: &bindings::Request) -> Result<bindings::Action, bindings::Problem> {
            listen_to_panics();
            let plugin = super::made::<P>()?;
            Ok(plugin.on_request(&mut Document::request(request))?.into())
        }

        fn on_upstream_request(
            request: &bindings::Request,
            target: String,
        ) -> Result<bindings::Action, bindings::Problem> {
            listen_to_panics();
            let plugin = super::made::<P>()?;
            let target = serde_json::from_str(&target)
                .map_err(|e| Problem::new("internal", format!("the target: {e}")))?;
            Ok(plugin.on_upstream_request(&mut Document::request(request), &target)?.into())
        }

        fn on_response(message: &bindings::Message) -> Result<bindings::Action, bindings::Problem> {
            listen_to_panics();
            let plugin = super::made::<P>()?;
            Ok(plugin.on_response(&mut Document::message(message))?.into())
        }
    }

    impl From<Problem> for bindings::Problem {
        fn from(problem: Problem) -> Self {
            let Problem { code, message, retryable } = problem;
            Self { code, message, retryable }
        }
    }

    impl From<bindings::Problem> for Problem {
        fn from(problem: bindings::Problem) -> Self {
            let bindings::Problem { code, message, retryable } = problem;
            Self { code, message, retryable }
        }
    }

    impl From<Action> for bindings::Action {
        fn from(action: Action) -> Self {
            match action {
                Action::Next => Self::Next,
                Action::Route(model) => Self::Route(model),
                Action::Respond(message) => Self::Respond(message.to_string()),
                Action::Deny(status, message) => {
                    Self::Deny(bindings::tidegate::plugin::types::Denial { status, message })
                }
                Action::PassOver(why) => Self::PassOver(why),
            }
        }
    }

    /// Sends the text of a panic to the host's log before the trap, because a trap carries no text.
    fn listen_to_panics() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            std::panic::set_hook(Box::new(|panic| {
                host::log(host::Level::Error, &panic.to_string());
            }));
        });
    }
}

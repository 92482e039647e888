//! A plugin that imports WASI, like plugins in other languages, for the tests of the host.
#![cfg(target_arch = "wasm32")]
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;
use tidegate_sdk::prelude::*;

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "posix", generate_all });
}

use bindings::wasi::cli::{environment, exit, stderr, stdin, stdout};
use bindings::wasi::clocks::wall_clock;
use bindings::wasi::filesystem::preopens;
use bindings::wasi::random::random;
use bindings::wasi::sockets::network::IpAddressFamily;
use bindings::wasi::sockets::tcp_create_socket::create_tcp_socket;

/// The calls of this instance; 0 in a fresh one.
static ASKED: AtomicU32 = AtomicU32::new(0);

struct Posix;

/// The lines to print, and their stream.
#[derive(Deserialize, JsonSchema)]
struct Print {
    out: String,
    err: String,
    /// The number of repetitions.
    times: u32,
    /// Whether the call ends with `exit` instead of an answer.
    exits: bool,
}

/// The amount to take.
#[derive(Deserialize, JsonSchema)]
struct Take {
    bytes: u64,
}

impl Plugin for Posix {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Self> {
        Ok(Self)
    }

    fn tools() -> Vec<Tool<Self>> {
        vec![
            Tool::new("look", "What WASI gives.", Self::look),
            Tool::new("print", "Prints.", Self::print),
            Tool::new("random", "Takes random bytes.", Self::random),
            Tool::new("remember", "Counts its calls, and prints half a line.", Self::remember),
        ]
    }
}

impl Posix {
    fn look(&self, _: NoInput, _: NoOptions) -> Result<Json<serde_json::Value>> {
        let directories: Vec<String> =
            preopens::get_directories().into_iter().map(|(_, path)| path).collect();
        let stdin = stdin::get_stdin().blocking_read(10);
        let mut random = (random::get_random_bytes(16), random::get_random_bytes(16));
        random.0.sort();
        random.1.sort();
        Ok(Json(json!({
            "environment": environment::get_environment(),
            "arguments": environment::get_arguments(),
            "directories": directories,
            "stdin_is_closed": matches!(stdin, Err(bindings::wasi::io::streams::StreamError::Closed)),
            "seconds": wall_clock::now().seconds,
            "random_differs": random.0 != random.1,
            "socket": create_tcp_socket(IpAddressFamily::Ipv4).err().map(|code| format!("{code:?}")),
        })))
    }

    fn print(&self, input: Print, _: NoOptions) -> Result<String> {
        let (out, err) = (stdout::get_stdout(), stderr::get_stderr());
        for _ in 0..input.times {
            let failed = |e| Problem::new("internal", format!("{e:?}"));
            out.blocking_write_and_flush(input.out.as_bytes()).map_err(failed)?;
            err.blocking_write_and_flush(input.err.as_bytes()).map_err(failed)?;
        }
        if input.exits {
            exit::exit(Err(()));
        }
        Ok("printed".to_owned())
    }

    fn remember(&self, input: Print, _: NoOptions) -> Result<String> {
        self.print(input, NoOptions {})?;
        Ok((ASKED.fetch_add(1, Ordering::Relaxed) + 1).to_string())
    }

    fn random(&self, input: Take, _: NoOptions) -> Result<String> {
        Ok(random::get_random_bytes(input.bytes).len().to_string())
    }
}

tidegate_sdk::export!(Posix);

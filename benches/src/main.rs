//! The two ends of a benchmark run: a fast upstream, and the load that passes through the measured
//! server.
mod answers;
mod arguments;
mod foreign;
mod http1;
mod layer;
mod load;
mod plugins;
mod requests;
mod upstream;

use std::process::ExitCode;

const USAGE: &str = "\
usage: tidegate-bench upstream [--port PORT]
       tidegate-bench policies
       tidegate-bench plugins [--guests DIR] [--plugins DIR]
       tidegate-bench load --port PORT [--connections N] [--seconds S] [--bytes N] [--model NAME]
                           [--translated true]

`upstream` answers POST /v1/messages on 127.0.0.1 and prints the port it listens on.
`load` sends requests to 127.0.0.1:PORT, checks every answer and prints what it saw as JSON.
`policies` measures the policy layer by itself and prints a table, `plugins` calls of plugins.
The model says what the answer is: `bench` a small message, `bench-64` a stream of 64 events,
`bench-64-5ms` the same with 5 ms between two events, `bench-tool-3` three turns that call the
gateway's tool `idle` and then a last one, streams of 7 events each. The path selects the API of the
answer. With `--translated` the load compares the lengths of answers only: the gateway makes their ids.";

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        // spawned tasks stay on this thread, so nothing is shared or locked
        tokio::task::LocalSet::new().block_on(&runtime, run())
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("tidegate-bench: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, rest)) = given.split_first() else { return Err(USAGE.to_owned()) };
    match command.as_str() {
        "upstream" => upstream::run(rest).await,
        "load" => load::run(rest).await,
        "policies" => layer::run(),
        "plugins" => plugins::run(rest).await,
        _ => Err(USAGE.to_owned()),
    }
}

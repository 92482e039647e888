//! Plugins by themselves: the cost of a call, without sockets.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use serde_json::json;
use tidegate::error::Problem;
use tidegate::internals::Document;
use tidegate::internals::{Caller, Context};
use tidegate::internals::{Plugin, PluginHost, ToolCall, ToolError};

use crate::arguments::Arguments;
use crate::layer::{BATCH, BATCHES};
use crate::requests;

/// The ways to make instances, one column each.
const INSTANCES: [&str; 2] = ["fresh", "reuse"];

/// The calls of one row, with a plugin loaded in each way.
struct Row<'a> {
    what: &'a str,
    file: PathBuf,
    call: Call<'a>,
}

enum Call<'a> {
    Tool { name: &'a str, input: &'a str, options: &'a str },
    OnRequest(Vec<u8>),
}

/// Prints a table. `--guests` is the folder of `idle` and `brief`, `--plugins` that of `datetime`.
pub async fn run(given: &[String]) -> Result<(), String> {
    let arguments = Arguments::parse(given, &["--guests", "--plugins"])?;
    let guests: PathBuf = arguments.get("--guests", PathBuf::from("target/guests"))?;
    let bundled: PathBuf = arguments.get("--plugins", PathBuf::from("plugins"))?;
    let rows = [
        Row {
            what: "a tool that does nothing",
            file: guests.join("idle.wasm"),
            call: Call::Tool { name: "idle", input: "{}", options: "{}" },
        },
        Row {
            what: "`gateway:datetime` with one time zone",
            file: bundled.join("datetime.wasm"),
            call: Call::Tool {
                name: "datetime",
                input: "{}",
                options: r#"{"timezone":"Asia/Tokyo"}"#,
            },
        },
        Row {
            what: "`on-request` that reads `model` and sets `max_tokens`, 1 KiB",
            file: guests.join("brief.wasm"),
            call: Call::OnRequest(requests::body("bench", 1024)),
        },
        Row {
            what: "the same, 1 MiB",
            file: guests.join("brief.wasm"),
            call: Call::OnRequest(requests::body("bench", 1024 * 1024)),
        },
    ];
    let host = PluginHost::new(None).map_err(|problem| problem.to_string())?;
    println!("| a call | a fresh instance | `instances: reuse` |\n|---|--:|--:|");
    for row in &rows {
        let mut cells = Vec::new();
        for instances in INSTANCES {
            let plugin = load(&host, &row.file, instances).await?;
            let took = best(&plugin, &row.call).await?;
            cells.push(format!("{:.1} µs", took.as_secs_f64() * 1e6));
        }
        println!("| {} | {} |", row.what, cells.join(" | "));
    }
    Ok(())
}

async fn load(host: &Arc<PluginHost>, file: &Path, instances: &str) -> Result<Plugin, String> {
    if !file.is_file() {
        let file = file.display();
        return Err(format!("there is no {file}: `cargo xtask plugins` makes it"));
    }
    let loaded = host.load(file, json!({ "instances": instances })).await;
    loaded.map_err(|all| all.iter().map(Problem::to_string).collect::<Vec<_>>().join("; "))
}

/// Returns the best of some batches, because other processes disturb the others.
async fn best(plugin: &Plugin, call: &Call<'_>) -> Result<Duration, String> {
    let context = Arc::new(Context {
        request_id: "req_bench".to_owned(),
        started: Instant::now(),
        caller: Arc::new(Caller::default()),
        headers: HeaderMap::new(),
        query: None,
        credential: None,
        session: String::new(),
        model: "bench".to_owned(),
        media: Arc::default(),
        story: Arc::default(),
        admission: None,
    });
    match call {
        Call::Tool { name, input, options } => {
            let call = ToolCall { name, input, options };
            timed(async || match plugin.call_tool(&context, call).await {
                Ok(_) => Ok(()),
                Err(ToolError::Problem { message, .. }) => Err(message),
                Err(ToolError::Broke(error)) => Err(error.message),
            })
            .await
        }
        Call::OnRequest(body) => {
            let request = Document::parse(body.clone().into()).map_err(|error| error.message)?;
            let with = Arc::default();
            timed(async || {
                let done = plugin.on_request(&context, &with, request.clone()).await;
                let (request, _) = done.map_err(|error| error.message)?;
                if request.is_edited() { Ok(()) } else { Err("nothing was edited".to_owned()) }
            })
            .await
        }
    }
}

async fn timed(act: impl AsyncFn() -> Result<(), String>) -> Result<Duration, String> {
    let mut best = Duration::MAX;
    for _ in 0..BATCHES {
        let (started, mut count) = (Instant::now(), 0);
        while started.elapsed() < BATCH || count == 0 {
            act().await?;
            count += 1;
        }
        best = best.min(started.elapsed() / count);
    }
    Ok(best)
}

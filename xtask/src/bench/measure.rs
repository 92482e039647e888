//! Runs a scenario with all its contenders, alternating.
use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::options::Options;
use super::process::{self, Process};
use super::report::{Row, median};
use super::scenario::Scenario;
use super::servers::{self, Kind, Place, Server};

/// The time in which each server opens its connections, before the first round.
const WARM_UP_SECONDS: f64 = 0.5;
/// The time limit of the load; it stops by itself before this.
const LOAD_GRACE: Duration = Duration::from_secs(40);

/// One run of the load against one server.
struct Sample {
    cpu_us: f64,
    /// The part of the server's core that other processes used.
    disturbance: f64,
    report: Value,
}

/// Runs a scenario: starts all contenders, warms each up, then measures round by round.
pub fn measure(
    place: &Place,
    options: &Options,
    scenario: &Scenario,
    (contenders, upstream): (&[Kind], u16),
) -> Result<Vec<Row>, String> {
    let mut running = Vec::new();
    for kind in contenders {
        let server = servers::start_server(place, kind, upstream)?;
        run_load(place, scenario, (kind, &server), WARM_UP_SECONDS)?;
        running.push((kind, server, Vec::new()));
    }
    for _ in 0..options.rounds {
        for (kind, server, samples) in &mut running {
            let sample = run_load(place, scenario, (*kind, server), options.seconds);
            samples.push(sample.map_err(|error| format!("{}: {error}", kind.name()))?);
        }
    }
    Ok(running.iter().map(|(kind, server, samples)| row(scenario, kind, server, samples)).collect())
}

fn run_load(
    place: &Place,
    scenario: &Scenario,
    (kind, server): (&Kind, &Server),
    seconds: f64,
) -> Result<Sample, String> {
    let out = place.dir.join("load.json");
    let tool = place.tool.to_str().ok_or("the target directory is not UTF-8")?;
    let numbers = [u64::from(server.port), scenario.connections as u64, scenario.bytes as u64]
        .map(|n| n.to_string());
    let [port, connections, bytes] = &numbers;
    let seconds_text = seconds.to_string();
    let mut command = vec![tool, "load", "--port", port, "--connections", connections];
    if matches!(kind, Kind::Translated { .. }) {
        command.extend(["--translated", "true"]);
    }
    command.extend(["--seconds", &seconds_text, "--bytes", bytes, "--model", scenario.model]);

    let (before, busy_before) = (server.process.cpu(), process::busy(servers::SERVER_CORE));
    let begin = Instant::now();
    let limit = Instant::now() + Duration::from_secs_f64(seconds) + LOAD_GRACE;
    let mut load = Process::start(servers::LOAD_CORE, &command, &out)?;
    let status = load.wait(limit).map_err(|error| format!("the load: {error}"))?;
    let cpu = server.process.cpu().since(before);
    let busy = process::busy(servers::SERVER_CORE).saturating_sub(busy_before);
    let disturbance = busy.saturating_sub(cpu).as_secs_f64() / begin.elapsed().as_secs_f64();

    let said = fs::read_to_string(&out).map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("the load failed: {said}"));
    }
    let report: Value = serde_json::from_str(&said).map_err(|error| error.to_string())?;
    let requests = report["requests"].as_f64().unwrap_or_default();
    if report["errors"] != 0 || requests == 0.0 {
        let first = report["first_error"].as_str().unwrap_or("no request was answered");
        return Err(format!("{} of {requests} answers are wrong: {first}", report["errors"]));
    }
    Ok(Sample { cpu_us: cpu.as_secs_f64() * 1e6 / requests, disturbance, report })
}

fn row(scenario: &Scenario, kind: &Kind, server: &Server, samples: &[Sample]) -> Row {
    let each = |field: &str| {
        let values = samples.iter().map(|sample| sample.report[field].as_f64().unwrap_or(f64::NAN));
        values.collect::<Vec<_>>()
    };
    let of = |field: &str| median(each(field));
    let rounds: Vec<f64> = samples.iter().map(|sample| sample.cpu_us).collect();
    let is_stream = scenario.model.contains('-');
    Row {
        scenario: scenario.title,
        sort: scenario.sort,
        server: kind.name().to_owned(),
        disturbance: median(samples.iter().map(|sample| sample.disturbance).collect()),
        is_paced: scenario.name == "paced",
        is_gateway: !matches!(kind, Kind::Nginx),
        cpu_us: median(rounds.clone()),
        cpu_rounds_us: rounds,
        per_second: of("requests_per_second"),
        p50_us: of("p50_us"),
        p99_us: of("p99_us"),
        first_events_us: if is_stream { each("first_event_p50_us") } else { Vec::new() },
        peak_mib: server.process.memory("VmHWM"),
        idle_mib: server.idle_mib,
        first_answer_us: server.first_answer.as_secs_f64() * 1e6,
    }
}

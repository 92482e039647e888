//! A closed loop of requests: each connection sends its next request when it has received its
//! answer.
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::answers::Answer;
use crate::arguments::Arguments;
use crate::http1::Connection;
use crate::requests;

/// The number of errors after which a connection gives up.
const MOST_ERRORS: u64 = 10;
/// The time limit after a run's last request. A run that takes longer hangs.
const GRACE: Duration = Duration::from_secs(20);

/// The request and the expected answer, the same for all connections of a run.
struct Plan {
    port: u16,
    end: Instant,
    request: Vec<u8>,
    /// The body of each answer.
    answer: Vec<u8>,
    /// The answer's bytes up to the end of the first event.
    first_event: usize,
    /// Whether the gateway makes ids of its own: then answers have the same length only.
    is_translated: bool,
}

/// The results of one connection.
#[derive(Default)]
struct Seen {
    latencies: Vec<Duration>,
    first_events: Vec<Duration>,
    /// The bytes of the answers' bodies.
    bytes: u64,
    errors: u64,
    first_error: Option<String>,
}

/// Runs the load and prints one line of JSON.
pub async fn run(given: &[String]) -> Result<(), String> {
    let known = ["--port", "--connections", "--seconds", "--bytes", "--model", "--translated"];
    let arguments = Arguments::parse(given, &known)?;
    let connections: usize = arguments.get("--connections", 16)?;
    let seconds: f64 = arguments.get("--seconds", 3.0)?;
    let bytes: usize = arguments.get("--bytes", 300)?;
    let model: String = arguments.get("--model", "bench".to_owned())?;
    let port: u16 = arguments.get("--port", 0)?;
    let run = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;

    let request = request(port, &requests::body(&model, bytes));
    let is_translated: bool = arguments.get("--translated", false)?;
    let expected = Answer::of(&model)?;
    let answer = match (expected.body(), &expected) {
        _ if is_translated => first_answer(port, &request, 0).await?,
        (Some(body), _) => body,
        (None, Answer::Turns(turns)) => first_answer(port, &request, turns.len() - 1).await?,
        (None, _) => return Err(format!("`{model}` has no answer")),
    };
    let first_event = match &expected {
        Answer::Message(_) => answer.len(),
        Answer::Events { .. } if is_translated => 1,
        Answer::Events { frames, .. } => frames[0].len(),
        Answer::Turns(turns) => turns[0][0].len(),
    };
    let start = Instant::now();
    let plan =
        Rc::new(Plan { port, end: start + run, request, answer, first_event, is_translated });
    let tasks: Vec<_> =
        (0..connections).map(|_| tokio::task::spawn_local(work(Rc::clone(&plan)))).collect();
    let mut all = Seen::default();
    let limit = tokio::time::Instant::from_std(plan.end + GRACE);
    for task in tasks {
        let joined = tokio::time::timeout_at(limit, task).await;
        let seen = joined.map_err(|_| format!("no answer {} s after the end", GRACE.as_secs()))?;
        all.add(seen.map_err(|error| error.to_string())?);
    }
    println!("{}", all.report(start.elapsed()));
    Ok(())
}

/// Returns the gateway's answer to a conversation with so many calls. It is the same each time.
async fn first_answer(port: u16, request: &[u8], calls: usize) -> Result<Vec<u8>, String> {
    let mut connection = Connection::open(port).await?;
    connection.send(request).await?;
    let head = connection.head().await?.ok_or("closed before the answer")?;
    let (mut body, mut answer) = (head.body, Vec::new());
    while !body.is_done() {
        answer.extend_from_slice(connection.content(&mut body).await?);
    }
    let text = String::from_utf8_lossy(&answer);
    let is_whole = text.contains("\"end_turn\"") && !text.contains("\"is_error\":true");
    if head.status != 200 || !is_whole || text.matches("\"mcp_tool_result\"").count() != calls {
        let shown: String = text.chars().take(600).collect();
        return Err(format!("status {} and no {calls} results of tools: {shown}", head.status));
    }
    Ok(answer)
}

fn request(port: u16, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\naccept: application/json\r\n\
         content-type: application/json\r\nuser-agent: tidegate-bench\r\n\
         anthropic-version: 2023-06-01\r\nx-api-key: bench\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

async fn work(plan: Rc<Plan>) -> Seen {
    let mut seen = Seen::default();
    let mut idle = None;
    while Instant::now() < plan.end && seen.errors < MOST_ERRORS {
        match exchange(&plan, idle.take(), &mut seen).await {
            Ok(connection) => idle = connection,
            Err(message) => {
                seen.errors += 1;
                seen.first_error.get_or_insert(message);
            }
        }
    }
    seen
}

/// Sends one request and reads its answer. Returns the connection if it can be used again.
async fn exchange(
    plan: &Plan,
    idle: Option<Connection>,
    seen: &mut Seen,
) -> Result<Option<Connection>, String> {
    let mut connection = match idle {
        Some(connection) => connection,
        None => Connection::open(plan.port).await?,
    };
    let start = Instant::now();
    connection.send(&plan.request).await?;
    let head = connection.head().await?.ok_or("closed before the answer")?;
    if head.status != 200 {
        return Err(format!("the answer's status is {}", head.status));
    }
    let mut first_event = None;
    let mut body = head.body;
    let mut at = 0;
    while !body.is_done() {
        let content = connection.content(&mut body).await?;
        let expected = plan.answer.get(at..at + content.len());
        let is_right = match plan.is_translated {
            true => expected.is_some(),
            false => expected == Some(content),
        };
        if !is_right {
            return Err(format!("the answer is not the upstream's from byte {at} on"));
        }
        at += content.len();
        if first_event.is_none() && at >= plan.first_event {
            first_event = Some(start.elapsed());
        }
    }
    if at != plan.answer.len() {
        return Err(format!("the answer ends after {at} of {} bytes", plan.answer.len()));
    }
    seen.latencies.push(start.elapsed());
    seen.first_events.extend(first_event);
    seen.bytes += at as u64;
    Ok((!head.is_last).then_some(connection))
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.first_events.extend(other.first_events);
        self.bytes += other.bytes;
        self.errors += other.errors;
        if self.first_error.is_none() {
            self.first_error = other.first_error;
        }
    }

    /// Returns the report, with times in microseconds.
    fn report(mut self, elapsed: Duration) -> serde_json::Value {
        self.latencies.sort_unstable();
        self.first_events.sort_unstable();
        let requests = self.latencies.len();
        json!({
            "requests": requests,
            "seconds": elapsed.as_secs_f64(),
            "requests_per_second": requests as f64 / elapsed.as_secs_f64(),
            "p50_us": percentile(&self.latencies, 50),
            "p99_us": percentile(&self.latencies, 99),
            "first_event_p50_us": percentile(&self.first_events, 50),
            "first_event_p99_us": percentile(&self.first_events, 99),
            "bytes": self.bytes,
            "errors": self.errors,
            "first_error": self.first_error,
        })
    }
}

/// Returns a percentile in microseconds; `sorted` is ascending.
fn percentile(sorted: &[Duration], percent: usize) -> Option<f64> {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).map(|latency| latency.as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_latency_that_was_seen() {
        let all: Vec<Duration> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!(percentile(&all, 50), Some(100.0));
        assert_eq!(percentile(&all, 99), Some(198.0));
        assert_eq!(percentile(&all[..1], 99), Some(1.0));
        assert_eq!(percentile(&[], 50), None);
    }
}

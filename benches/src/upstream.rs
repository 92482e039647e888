//! A Messages upstream of minimal cost: it reads the whole body and sends a prepared answer.
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};

use crate::answers::{Answer, CALL_ID};
use crate::arguments::Arguments;
use crate::foreign::Dialect;
use crate::http1::{Body, Connection};

/// The size in bytes of the searched edges of a body: the first one has to contain the model's
/// name, and the last one the id of the last call.
const EDGE_BYTES: usize = 512;
/// The time between two events of all streams together. It is shorter than that of any provider,
/// and long enough for a server to pass each event on by itself: the number of events in one read
/// must not be random.
const GAP: Duration = Duration::from_micros(16);

/// Serves until it is killed. The first line of output is the port.
pub async fn run(given: &[String]) -> Result<(), String> {
    let arguments = Arguments::parse(given, &["--port"])?;
    let port: u16 = arguments.get("--port", 0)?;
    let listener =
        TcpListener::bind(("127.0.0.1", port)).await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    println!("{}", address.port());
    let turn = Rc::new(Turn(Cell::new(Instant::now())));
    loop {
        let turn = Rc::clone(&turn);
        let (stream, _) = listener.accept().await.map_err(|error| error.to_string())?;
        tokio::task::spawn_local(async move {
            if let Err(message) = serve(stream, &turn).await {
                eprintln!("upstream: {message}");
            }
        });
    }
}

/// The encoded answers of one model: one, or one for each turn of a conversation.
struct Prepared {
    dialect: Dialect,
    model: String,
    turns: Vec<Turned>,
    pace: Duration,
}

/// An encoded answer.
struct Turned {
    /// The head and body of a message, or the head alone of a stream.
    first: Vec<u8>,
    /// The events, each in a chunk of its own.
    chunks: Vec<Vec<u8>>,
}

async fn serve(stream: TcpStream, turn: &Turn) -> Result<(), String> {
    let mut connection = Connection::new(stream)?;
    let mut prepared: Option<Prepared> = None;
    while let Some(head) = connection.head().await? {
        let (start, end) = read_body(&mut connection, head.body).await?;
        let dialect = Dialect::of(&head.path);
        let named = match Dialect::model(&head.path) {
            Some(model) => Ok(model),
            None => model(&start),
        };
        let model = match named {
            Ok(model) => model,
            Err(message) => return connection.send(&refusal(&message)).await,
        };
        if prepared.as_ref().is_none_or(|answer| answer.model != model || answer.dialect != dialect)
        {
            prepared = match dialect.answer(model) {
                Ok(answer) => Some(prepare(dialect, model, &answer)),
                Err(message) => return connection.send(&refusal(&message)).await,
            };
        }
        if let Some(answer) = &prepared {
            let calls = if answer.turns.len() > 1 { calls(&end) } else { 0 };
            let Some(now) = answer.turns.get(calls) else {
                return connection.send(&refusal("this conversation is over")).await;
            };
            send(&mut connection, now, answer.pace, turn).await?;
        }
    }
    Ok(())
}

/// Reads a body to its end and returns its first and last bytes.
async fn read_body(
    connection: &mut Connection,
    mut body: Body,
) -> Result<(Vec<u8>, Vec<u8>), String> {
    let mut start = Vec::with_capacity(EDGE_BYTES);
    let mut end = Vec::with_capacity(2 * EDGE_BYTES);
    while !body.is_done() {
        let content = connection.content(&mut body).await?;
        let wanted = content.len().min(EDGE_BYTES - start.len());
        start.extend_from_slice(&content[..wanted]);
        end.drain(..end.len().saturating_sub(EDGE_BYTES));
        end.extend_from_slice(&content[content.len().saturating_sub(EDGE_BYTES)..]);
    }
    Ok((start, end))
}

/// Returns the number of calls in a conversation: the number in the id of the last result.
fn calls(end: &[u8]) -> usize {
    let id = CALL_ID.as_bytes();
    let found = end.windows(id.len()).rposition(|window| window == id);
    let digits = found.map(|at| &end[at + id.len()..]).unwrap_or_default();
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}

fn model(start: &[u8]) -> Result<&str, String> {
    const FIELD: &[u8] = b"\"model\":\"";
    let found = start.windows(FIELD.len()).position(|window| window == FIELD);
    let rest = found.map(|at| &start[at + FIELD.len()..]);
    let name = rest.and_then(|rest| rest.split(|byte| *byte == b'"').next());
    let name = name.and_then(|name| std::str::from_utf8(name).ok());
    name.ok_or_else(|| format!("no `model` within the first {EDGE_BYTES} bytes"))
}

fn prepare(dialect: Dialect, model: &str, answer: &Answer) -> Prepared {
    let (turns, pace) = match answer {
        Answer::Message(body) => {
            let whole = Turned { first: whole("200 OK", body), chunks: Vec::new() };
            (vec![whole], Duration::ZERO)
        }
        Answer::Events { frames, pace } => (vec![stream(frames)], *pace),
        Answer::Turns(turns) => {
            (turns.iter().map(|frames| stream(frames)).collect(), Duration::ZERO)
        }
    };
    Prepared { dialect, model: model.to_owned(), turns, pace }
}

fn stream(frames: &[Vec<u8>]) -> Turned {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
        cache-control: no-cache\r\nrequest-id: req_011CSHoEeqs5C35K2UUqR7Fy\r\n\
        transfer-encoding: chunked\r\n\r\n";
    let mut chunks: Vec<Vec<u8>> = frames.iter().map(|frame| chunk(frame)).collect();
    if let Some(last) = chunks.last_mut() {
        last.extend_from_slice(b"0\r\n\r\n");
    }
    Turned { first: head.as_bytes().to_vec(), chunks }
}

fn chunk(frame: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", frame.len()).into_bytes();
    chunk.extend_from_slice(frame);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

async fn send(
    connection: &mut Connection,
    answer: &Turned,
    pace: Duration,
    turn: &Turn,
) -> Result<(), String> {
    connection.send(&answer.first).await?;
    let start = tokio::time::Instant::now();
    for (n, chunk) in (0..).zip(&answer.chunks) {
        if n > 0 && !pace.is_zero() {
            tokio::time::sleep_until(start + pace * n).await;
        }
        turn.wait().await;
        connection.send(chunk).await?;
    }
    Ok(())
}

/// The time at which the next event may be sent, on any connection.
struct Turn(Cell<Instant>);

impl Turn {
    /// Waits for its own time. A late event does not make the next one earlier, because that would
    /// be a burst.
    async fn wait(&self) {
        let mut now = Instant::now();
        let mine = self.0.get().max(now);
        self.0.set(mine + GAP);
        while now < mine {
            // timers are too coarse for this; the load on the same core runs first
            std::thread::yield_now();
            tokio::task::yield_now().await;
            now = Instant::now();
        }
    }
}

fn refusal(message: &str) -> Vec<u8> {
    let error = serde_json::json!({"type": "invalid_request_error", "message": message});
    let body = serde_json::json!({"type": "error", "error": error}).to_string();
    whole("400 Bad Request", body.as_bytes())
}

fn whole(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         request-id: req_011CSHoEeqs5C35K2UUqR7Fy\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_result_says_how_far_a_conversation_is() {
        let end =
            br#"{"tool_use_id":"toolu_bench_1"},{"tool_use_id":"toolu_bench_12","content":[]}"#;
        assert_eq!((calls(end), calls(b"{\"role\":\"user\"}")), (12, 0));
    }
}

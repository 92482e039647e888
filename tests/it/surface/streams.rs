//! Streams: every byte of every frame, each as soon as it comes, and an end that says what happened.
use crate::support::events::EventKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::client::Ask;
use crate::support::events::kinds;
use crate::support::gateway::{Gateway, to};
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM, streaming, within};

#[tokio::test]
async fn a_stream_passes_unchanged_with_event_stream_headers() {
    let up = Upstream::always(Behaviour::Answer(upstream::stream(&FRAMES))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let answer = Ask::message(STREAM).send(gateway.address).await;
    assert_eq!((answer.status, answer.text()), (200, FRAMES.concat()));
    assert!(answer.is_whole);
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    assert_eq!(answer.header("request-id"), Some("req_up"));
    assert_eq!(answer.header("x-tidegate-target"), Some("up/m"));
    assert_eq!(answer.header("x-tidegate-attempts"), Some("1"));
    assert_eq!(up.seen()[0].1, STREAM.as_bytes());
}

#[tokio::test]
async fn odd_frames_pass_byte_for_byte() {
    let odd = [
        ": a comment before anything\n\n",
        "event: message_start\r\ndata: {\"type\":\"message_start\", \"message\":{}, \"pad\":\"aaaaaaaaaaaa\"}\r\n\r\n",
        "event:ping\ndata:{\"type\": \"ping\"}\n\n",
        "event: an_event_of_tomorrow\ndata: {\"type\":\"an_event_of_tomorrow\"}\nid: 7\nretry: 1\n\n",
        "\n",
        "event: content_block_delta\ndata: not even json\n\n",
        "event: ping\ndata: {\ndata: }\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\",\"p\":\"\\u0000é\"}   \n\n",
        ": goodbye\n\n",
    ];
    let up = Upstream::always(Behaviour::Answer(upstream::stream(&odd))).await;
    // nothing is read of an upstream without a guard
    let config =
        format!("{{ type: anthropic, base_url: \"http://{}\", guard: false }}", up.address);
    let gateway = Gateway::with().provider("up", &config).start().await;
    let answer = Ask::message(STREAM).send(gateway.address).await;
    assert_eq!((answer.status, answer.text()), (200, odd.concat()));
}

#[tokio::test]
async fn odd_frames_of_a_stream_in_order_pass_the_guard_byte_for_byte() {
    let start = FRAMES[0].replace("data: {", "data:  {\"pad\":\"aaa\", ").replace('\n', "\r\n");
    let delta = FRAMES[2].replace(":\"hello\"", " : \"\\u0000é\"").replace("data: ", "data:");
    let odd = [
        ": a comment before anything\n\n",
        &start,
        "event:ping\ndata:{\"type\": \"ping\"}\n\n",
        "event: an_event_of_tomorrow\ndata: {\"type\":\"an_event_of_tomorrow\"}\nid: 7\nretry: 1\n\n",
        FRAMES[1],
        "\n",
        &delta,
        "event: ping\ndata: {\ndata: }\n\n",
        FRAMES[3],
        FRAMES[4],
        "event: message_stop\ndata: {\"type\":\"message_stop\",\"p\":\"\\u0000é\"}   \n\n",
        ": goodbye\n\n",
    ];
    let up = Upstream::always(Behaviour::Answer(upstream::stream(&odd))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let answer = Ask::message(STREAM).send(gateway.address).await;
    assert_eq!((answer.status, answer.text()), (200, odd.concat()));
}

#[tokio::test]
async fn an_event_of_twenty_megabytes_passes() {
    let data = "x".repeat(20 * 1024 * 1024);
    let long = FRAMES[2].replace("hello", &data);
    let frames = [FRAMES[0], FRAMES[1], &long, FRAMES[3], FRAMES[4], FRAMES[5]];
    let up = Upstream::always(Behaviour::Answer(upstream::stream(&frames))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let answer = Ask::message(STREAM).send(gateway.address).await;
    assert!(answer.body == frames.concat().as_bytes(), "{} bytes came", answer.body.len());
}

#[tokio::test]
async fn frames_that_chunks_cut_anywhere_arrive_whole() {
    let whole = FRAMES.concat();
    let pieces: Vec<&str> =
        whole.as_bytes().chunks(5).map(|c| std::str::from_utf8(c).unwrap()).collect();
    let up = Upstream::always(Behaviour::Answer(upstream::stream(&pieces))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    assert_eq!(Ask::message(STREAM).send(gateway.address).await.text(), whole);
}

#[tokio::test]
async fn an_event_without_its_line_gets_one() {
    let nameless: Vec<String> =
        FRAMES.iter().map(|f| f.split_once('\n').unwrap().1.to_owned()).collect();
    let nameless: Vec<&str> = nameless.iter().map(String::as_str).collect();
    let up = Upstream::always(Behaviour::Answer(upstream::stream(&nameless))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    assert_eq!(Ask::message(STREAM).send(gateway.address).await.text(), FRAMES.concat());
}

#[tokio::test]
async fn every_frame_leaves_as_soon_as_it_is_there() {
    let mut up = Upstream::start().await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let (mut answer, mut call) = streaming(&gateway, &mut up).await;
    for frame in &FRAMES[1..] {
        // written only now that the caller holds the one before
        call.chunk(frame).await;
        assert_eq!(answer.frame().await.unwrap(), frame);
    }
    call.finish("0\r\n\r\n").await;
    assert_eq!(answer.frame().await, None);
    assert!(answer.is_whole());
}

#[tokio::test]
async fn silence_gets_pings_between_frames() {
    let mut up = Upstream::start().await;
    let config = to(up.address) + "server: { workers: 1, ping_interval: 20ms }\n";
    let gateway = Gateway::start(&config).await;
    let (mut answer, mut call) = streaming(&gateway, &mut up).await;
    // half a frame: a ping must not come into the middle of it
    call.chunk(&FRAMES[1][..30]).await;
    for _ in 0..3 {
        assert_eq!(answer.frame().await.unwrap(), "event: ping\ndata: {\"type\": \"ping\"}\n\n");
    }
    call.chunk(&FRAMES[1][30..]).await;
    for frame in &FRAMES[2..] {
        call.chunk(frame).await;
    }
    call.finish("0\r\n\r\n").await;
    let rest = answer.frames().await;
    let events: Vec<_> = rest.iter().filter(|event| event.kind != EventKind::Ping).collect();
    assert_eq!(events.iter().map(|event| event.frame()).collect::<Vec<_>>(), FRAMES[1..].to_vec());
}

#[tokio::test]
async fn a_gone_caller_drops_the_upstream_of_its_stream() {
    let mut up = Upstream::start().await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let (answer, mut call) = streaming(&gateway, &mut up).await;
    drop(answer);
    call.closed().await;
    gateway.until_metric("tidegate_active_requests", 0.0).await;
}

#[tokio::test]
async fn a_caller_that_leaves_before_the_answer_drops_the_upstream_too() {
    for body in [MESSAGE, STREAM] {
        let mut up = Upstream::start().await;
        let gateway = Gateway::with().upstream(up.address).start().await;
        let stream =
            crate::support::client::send_bytes(gateway.address, &Ask::message(body).to_bytes())
                .await;
        let mut call = up.call().await;
        drop(stream);
        call.closed().await;
    }
}

#[tokio::test]
async fn a_stream_read_to_its_end_gives_its_connection_back() {
    let mut up = Upstream::start().await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    for _ in 0..3 {
        let (answer, connection) =
            tokio::join!(Ask::message(STREAM).send(gateway.address), async {
                let call = up.call().await;
                let connection = call.connection;
                call.finish(upstream::stream(&FRAMES)).await;
                connection
            });
        assert_eq!(kinds(&answer.events()).last(), Some(&EventKind::MessageStop));
        assert_eq!(connection, 0);
    }
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_meanwhile_fails_no_request() {
    let mut up = Upstream::start().await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    for n in 0..5 {
        let (answer, connection) =
            tokio::join!(Ask::message(STREAM).send(gateway.address), async {
                let mut call = up.call().await;
                // read, and closed without an answer, as by a server that had just given up on it
                while call.connection < n {
                    drop(call);
                    call = up.call().await;
                }
                let connection = call.connection;
                call.finish(upstream::stream(&FRAMES)).await;
                connection
            });
        assert_eq!((answer.status, connection), (200, n));
        let attempts = if n == 0 { "1" } else { "2" };
        assert_eq!(answer.header("x-tidegate-attempts"), Some(attempts));
    }
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_is_read_passes_and_ends_its_connection() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Gateway::with().upstream(upstream.local_addr().unwrap()).start().await;
    // more than the sockets between them hold
    let text = "x".repeat(16 << 20);
    let long = MESSAGE.replace("\"messages\":[", &format!("\"system\":\"{text}\",\"messages\":["));
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{ANSWER}",
        ANSWER.len()
    );
    for _ in 0..2 {
        let ask = Ask::message(long.clone()).send(gateway.address);
        let (passed, mut stream) = tokio::join!(ask, async {
            let (mut stream, _) = within("a connection", upstream.accept()).await.unwrap();
            stream.read_exact(&mut [0; 1000]).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream
        });
        assert_eq!((passed.status, passed.text().as_str()), (200, ANSWER));
        // what was on its way comes, but never all of it
        let mut rest = Vec::new();
        let end = within("the end of the connection", stream.read_to_end(&mut rest)).await;
        assert!(end.is_err() || rest.len() < text.len());
    }
}

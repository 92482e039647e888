//! A kept connection that the upstream closes: the gateway sends a request again only if no upstream can
//! have processed it, and counts every sending.
use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Upstream};
use crate::support::{ANSWER, MESSAGE};

/// Returns a gateway with one kept connection to the upstream.
async fn kept(up: &mut Upstream, model: &str) -> Gateway {
    let config = format!("{{ targets: [{{ provider: up, model: m }}], {model} }}");
    let gateway =
        Gateway::with().upstream(up.address).model("m", &config).config("server: { workers: 1 }\n");
    let gateway = gateway.start().await;
    let (answer, ()) = tokio::join!(Ask::message(MESSAGE).send(gateway.address), async {
        up.call().await.finish(upstream::json(200, ANSWER)).await;
    });
    assert_eq!(answer.header("x-tidegate-attempts"), Some("1"));
    gateway
}

#[tokio::test]
async fn a_request_that_the_upstream_worked_on_is_not_sent_again() {
    for begun in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-le"] {
        let mut up = Upstream::start().await;
        let gateway = kept(&mut up, "retry: { attempts: 0 }").await;
        let (answer, ()) = tokio::join!(Ask::message(MESSAGE).send(gateway.address), async {
            let mut call = up.call().await;
            assert_eq!(call.connection, 0);
            call.write(begun).await;
            if begun.is_empty() {
                // the time in which the gateway would believe that the connection was closed before
                tokio::time::sleep(std::time::Duration::from_millis(1000)).await;
            }
        });
        answer.refusal(502, "api_error");
        assert_eq!(answer.header("x-tidegate-attempts"), Some("1"));
        assert!(up.is_idle());
    }
}

#[tokio::test]
async fn a_request_that_meets_a_closed_connection_is_sent_again_and_counted() {
    let mut up = Upstream::start().await;
    let gateway = kept(&mut up, "retry: { attempts: 0 }").await;
    let (answer, ()) = tokio::join!(
        Ask::message(MESSAGE).header("x-tidegate-debug", "trace").send(gateway.address),
        async {
            // a reset at once looks like a connection that was closed while it was idle
            up.call().await.reset();
            let again = up.call().await;
            assert_eq!(again.connection, 1);
            again.finish(upstream::json(200, ANSWER)).await;
        }
    );
    assert_eq!((answer.status, answer.text()), (200, ANSWER.to_owned()));
    assert_eq!(answer.header("x-tidegate-attempts"), Some("2"));
    let trace = answer.header("x-tidegate-trace").unwrap();
    assert!(trace.contains("502"), "{trace}");
}

#[tokio::test]
async fn a_new_connection_that_breaks_is_a_failed_attempt() {
    let mut up = Upstream::start().await;
    let gateway = kept(&mut up, "retry: { attempts: 0 }").await;
    let (answer, ()) = tokio::join!(Ask::message(MESSAGE).send(gateway.address), async {
        up.call().await.reset();
        up.call().await.reset();
    });
    answer.refusal(502, "api_error");
    assert_eq!(answer.header("x-tidegate-attempts"), Some("2"));
    assert!(up.is_idle());
}

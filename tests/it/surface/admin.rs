//! The admin listener: probes for everybody, metrics for whoever has the token.
use std::net::{TcpListener, TcpStream};

use tidegate::config::Config;
use tidegate::server::running::Running;

use crate::support::client::Ask;
use crate::support::gateway::Gateway;

const CONFIG: &str = "providers: { up: { type: anthropic } }
models: { m: { provider: up } }
";

#[tokio::test]
async fn probes_need_no_token_and_metrics_do() {
    let config = format!("{CONFIG}admin: {{ listen: 127.0.0.1:0, token: secret }}\n");
    let gateway = Gateway::start(&config).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(Ask::get(path).send(gateway.admin).await.status, 200, "{path}");
    }
    let metrics = Ask::get("/metrics").admin();
    for wrong in ["", "Bearer", "Bearer wrong", "Basic secret", "Bearer secret2"] {
        let ask = metrics.clone().header("authorization", wrong);
        assert_eq!(ask.send(gateway.admin).await.status, 401, "{wrong}");
    }
    assert_eq!(metrics.clone().send(gateway.admin).await.status, 401);
    let answer = metrics.header("authorization", "Bearer secret").send(gateway.admin).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().contains("text"));
}

#[tokio::test]
async fn neither_listener_serves_the_others_routes() {
    let gateway = Gateway::start(CONFIG).await;
    assert_eq!(Ask::get("/metrics").send(gateway.address).await.status, 404);
    assert_eq!(Ask::get("/v1/models").admin().send(gateway.admin).await.status, 404);
}

#[tokio::test]
async fn a_gateway_that_cannot_take_clients_is_never_ready() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    // a port that is free again
    let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidegate.yaml");
    let listen = taken.local_addr().unwrap();
    let config = format!(
        "listen: {listen}\nadmin: {{ listen: \"{admin}\" }}\nledger: off\nproviders: {{ sim: {{ type: simulator }} }}\nmodels: {{ \"*\": {{ provider: sim }} }}\n"
    );
    std::fs::write(&file, config).unwrap();
    let config = Config::load(&file).unwrap();
    let found = Running::start(&file, &config).await.err().unwrap();
    assert_eq!(found[0].path, "listen", "{found:?}");
    // no probe was ever answered: the listener opens last
    assert!(TcpStream::connect(admin).is_err());
}

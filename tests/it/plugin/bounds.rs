//! Calls that take long, and requests that the same plugin looks at meanwhile.
use futures_util::future::join_all;
use serde_json::json;
use tidegate::gateway::reload::Reloaded;

use super::swapped::{gateway, told_once};
use crate::support::client::Ask;
use crate::support::upstream::{Upstream, answer};
use crate::support::{MESSAGE, within};

#[tokio::test]
async fn a_tool_that_takes_long_does_not_hold_up_the_requests_that_its_plugin_looks_at() {
    let gateway = gateway().await;
    let config = "providers: { sim: { type: simulator } }
models: { \"*\": { provider: sim } }
egress: { allow_private: [\"127.0.0.0/8\"] }
plugins: { config: { reach: { allow_hosts: [\"127.0.0.1:*\"], deadline: 4m, hook_deadline: 30s, max_concurrent_calls: 1 } } }
pipeline: [{ plugin: reach }]
";
    let reloaded = gateway.reload(config).await;
    assert!(matches!(reloaded, Reloaded::Swapped(_)), "{reloaded:?}");
    let mut site = Upstream::start().await;
    let slow = told_once(&gateway, "fetch", json!({"url": format!("http://{}/", site.address)}));
    let meanwhile = async {
        let held = site.call().await;
        let asked = join_all((0..10).map(|_| Ask::message(MESSAGE).send(gateway.address)));
        let statuses: Vec<_> = asked.await.into_iter().map(|answer| answer.status).collect();
        held.finish(answer(200, "", "ok")).await;
        statuses
    };
    let (told, statuses) = within("both", async { tokio::join!(slow, meanwhile) }).await;
    assert_eq!(statuses, [200; 10]);
    assert_eq!(told, (false, "200 ok".to_owned()));
}

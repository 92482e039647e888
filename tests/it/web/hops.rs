//! Redirects of pages: each hop is held against the rules before it is asked.
use serde_json::{Value, json};

use super::{Web, failure_of, granted, page_of, site};
use crate::support::upstream::{Auto, answer};

fn tool(options: &Value) -> Value {
    let mut tool = json!({"type": "gateway:web_fetch"});
    tool.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    tool
}

fn redirect(to: &str) -> Vec<u8> {
    answer(302, &format!("location: {to}\r\n"), "moved")
}

fn asked(site: &Auto) -> Vec<String> {
    site.seen().iter().map(|(head, _)| head.target().to_owned()).collect()
}

#[tokio::test]
async fn a_redirect_is_followed_whatever_its_body_is() {
    let site = site(|target| match target {
        "/start" => answer(301, "location: /end\r\ncontent-encoding: utf-8\r\n", "moved"),
        "/robots.txt" => answer(404, "", ""),
        _ => answer(200, "content-type: text/plain\r\n", "a page"),
    })
    .await;
    let web = Web::with("web-fetch", granted(site.address)).await;
    let input = json!({"url": format!("http://{}/start", site.address)});
    let page = page_of(&web.call(&tool(&json!({})), &input).await);
    assert_eq!(page["text"], "a page");
}

/// `/start` leads over `/private/between` to `/end`, and `/robots.txt` keeps readers from the one between.
async fn winding() -> Auto {
    site(|target| match target {
        "/start" => redirect("/private/between"),
        "/private/between" => redirect("end/../../end"),
        "/robots.txt" => answer(200, "", "User-agent: *\nDisallow: /private\n"),
        _ => answer(200, "content-type: text/plain\r\n", "a page"),
    })
    .await
}

#[tokio::test]
async fn a_page_is_found_over_several_hops() {
    let site = winding().await;
    let web = Web::with("web-fetch", granted(site.address)).await;
    let url = |path: &str| format!("http://{}{path}", site.address);
    let page = page_of(&web.call(&tool(&json!({})), &json!({"url": url("/start")})).await);
    assert_eq!((&page["url"], &page["text"]), (&json!(url("/end")), &json!("a page")));
    let once = ["/start", "/private/between", "/end"];
    // streamed and whole
    assert_eq!(asked(&site), [once, once].concat());
}

#[tokio::test]
async fn an_intermediate_hop_that_the_options_forbid_receives_no_request() {
    let site = winding().await;
    let web = Web::with("web-fetch", granted(site.address)).await;
    let input = json!({"url": format!("http://{}/start", site.address)});
    for options in [
        json!({"blocked_domains": ["127.0.0.1/private"]}),
        json!({"allowed_domains": ["127.0.0.1/start", "127.0.0.1/end"]}),
    ] {
        let told = failure_of(&web.call(&tool(&options), &input).await);
        assert!(told.contains("url_not_allowed") && told.contains("domains"), "{told}");
    }
    assert_eq!(asked(&site), ["/start"; 4]);
}

#[tokio::test]
async fn an_intermediate_hop_that_its_site_forbids_receives_no_request() {
    let site = winding().await;
    let port = site.address.port();
    let first = self::site(move |target| match target {
        "/robots.txt" => answer(404, "", ""),
        _ => redirect(&format!("http://127.0.0.1:{port}/private/between")),
    })
    .await;
    let hosts = [first.address.to_string(), site.address.to_string()];
    let config = json!({"allow_hosts": hosts, "respect_robots": true});
    let web = Web::with("web-fetch", config).await;
    let input = json!({"url": format!("http://{}/", first.address)});
    let told = failure_of(&web.call(&tool(&json!({})), &input).await);
    assert!(told.contains("url_not_allowed") && told.contains("robots.txt"), "{told}");
    assert_eq!(asked(&first), ["/robots.txt", "/", "/robots.txt", "/"]);
    assert_eq!(asked(&site), ["/robots.txt", "/robots.txt"]);
}

#[tokio::test]
async fn a_hop_without_a_grant_receives_no_request_and_the_error_names_the_setting() {
    let other = winding().await;
    let port = other.address.port();
    let first = site(move |_| redirect(&format!("http://127.0.0.1:{port}/end"))).await;
    let web = Web::with("web-fetch", granted(first.address)).await;
    let input = json!({"url": format!("http://{}/", first.address)});
    let told = failure_of(&web.call(&tool(&json!({})), &input).await);
    assert!(told.contains("redirected to `127.0.0.1`"), "{told}");
    assert!(told.contains("plugins.config.web-fetch.allow_hosts"), "{told}");
    assert_eq!(other.count(), 0);
}

#[tokio::test]
async fn a_location_in_raw_bytes_leads_where_browsers_go() {
    for (location, target) in
        [(&b"/caf\xe9"[..], "/caf%E9"), ("/café".as_bytes(), "/caf%C3%A9"), (b" /a b ", "/a%20b")]
    {
        let site = site(move |target| match target {
            "/start" => {
                let head = b"HTTP/1.1 302 Found\r\nlocation: ";
                [head, location, b"\r\ncontent-length: 0\r\n\r\n"].concat()
            }
            _ => answer(200, "content-type: text/plain\r\n", "a page"),
        })
        .await;
        let web = Web::with("web-fetch", granted(site.address)).await;
        let input = json!({"url": format!("http://{}/start", site.address)});
        let page = page_of(&web.call(&tool(&json!({})), &input).await);
        assert_eq!(page["url"], format!("http://{}{target}", site.address));
        assert_eq!(asked(&site)[..2], ["/start", target]);
    }
}

#[tokio::test]
async fn a_refresh_is_followed_like_a_redirect_and_checked_like_one() {
    let site = site(|target| match target {
        "/start" => answer(
            200,
            "content-type: text/html\r\n",
            "<meta http-equiv=refresh content=\"0; url=private/between\">",
        ),
        "/private/between" => answer(
            200,
            "content-type: text/html\r\nrefresh: 0;url=/end\r\n",
            "<p>You are being sent on.",
        ),
        _ => answer(200, "content-type: text/html\r\n", "<p>a page"),
    })
    .await;
    let web = Web::with("web-fetch", granted(site.address)).await;
    let input = json!({"url": format!("http://{}/start", site.address)});
    let page = page_of(&web.call(&tool(&json!({})), &input).await);
    let end = format!("http://{}/end", site.address);
    assert_eq!((&page["url"], &page["text"]), (&json!(end), &json!("a page")));
    let blocked = json!({"blocked_domains": ["127.0.0.1/private"]});
    let told = failure_of(&web.call(&tool(&blocked), &input).await);
    assert!(told.contains("url_not_allowed"), "{told}");
    let once = ["/start", "/private/between", "/end"];
    assert_eq!(asked(&site), [&once[..], &once[..], &["/start", "/start"]].concat());
}

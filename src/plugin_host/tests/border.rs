//! Components of the same interface version that were built against another text of it.
use super::load_bytes;
use crate::testing::made::{MANIFEST, Made};

/// `fetch` without the later field `redirects`.
const OLD_FETCH: &str = r#"(import "tidegate:plugin/host@0.1.0" (instance
  (type $own (record (field "code" string) (field "message" string) (field "retryable" bool)))
  (export "problem" (type $told (eq $own)))
  (type $headers (list (tuple string string)))
  (type $bytes (list u8))
  (type $asked (record (field "method" string) (field "url" string) (field "headers" $headers)
    (field "body" (option $bytes)) (field "max-bytes" (option u32)) (field "timeout-ms" (option u32))))
  (export "http-request" (type $request (eq $asked)))
  (type $got (record (field "status" u16) (field "url" string) (field "headers" $headers)
    (field "body" $bytes) (field "truncated" bool)))
  (export "http-response" (type $response (eq $got)))
  (export "fetch" (func (param "request" $request) (result (result $response (error $told)))))))"#;

/// A hook whose decision has one case less.
const OLD_ACTION: &str = r#"(import "tidegate:plugin/host@0.1.0" (instance $host
    (export "request" (type (sub resource)))))
  (alias export $host "request" (type $request))
  (type $denied (record (field "status" u16) (field "message" string)))
  (type $decided (variant (case "next") (case "route" string) (case "respond" string) (case "deny" $denied)))
  (import "denial" (type $denial (eq $denied)))
  (type $actions (variant (case "next") (case "route" string) (case "respond" string) (case "deny" $denial)))
  (import "action" (type $action (eq $actions)))
  (core module $hook
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "on-request") (param i32) (result i32) (i32.const 0)))
  (core instance $hooks (instantiate $hook))
  (func (export "on-request") (param "request" (borrow $request)) (result (result $action (error $problem)))
    (canon lift (core func $hooks "on-request") (memory (core memory $hooks "memory"))
      (realloc (core func $hooks "realloc"))))"#;

async fn refused(more: &str) -> String {
    let manifest = MANIFEST.to_owned();
    let made = Made { more: more.to_owned(), manifest, ..Made::default() };
    let (path, problems) = load_bytes(&made.wasm()).await;
    assert_eq!((problems.len(), &problems[0].path), (1, &path));
    problems[0].message.clone()
}

#[tokio::test]
async fn an_import_that_differs_is_rejected_with_a_hint_to_rebuild() {
    let message = refused(OLD_FETCH).await;
    let expect = "was built with the SDK of another build of version 0.1.0: `fetch` of \
        `tidegate:plugin/host@0.1.0` differs from this gateway's (";
    assert!(message.starts_with(expect), "{message}");
    assert!(message.contains("expected record of 7 fields, found 6 fields"), "{message}");
    assert!(message.contains("). Rebuild it with this gateway's SDK"), "{message}");
}

#[tokio::test]
async fn an_export_that_differs_is_rejected_with_a_hint_to_rebuild() {
    let message = refused(OLD_ACTION).await;
    let expect = "was built with the SDK of another build of version 0.1.0: its `on-request` \
        differs from this gateway's (";
    assert!(message.starts_with(expect), "{message}");
    assert!(message.contains("). Rebuild it with this gateway's SDK"), "{message}");
}

#[tokio::test]
async fn a_function_that_this_gateway_does_not_have_is_no_matter_of_building_anew() {
    let later = r#"(import "tidegate:plugin/host@0.1.9" (instance (export "later" (func))))"#;
    let message = refused(later).await;
    let expect = "wants `later` of `tidegate:plugin/host@0.1.9`, which this gateway does not have: it offers \
        version 0.1.0";
    assert!(message.starts_with(expect), "{message}");
}

//! Tests of bodies that stop making progress.
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use crate::error::{BoxError, Error, ErrorKind};
use crate::net::pace::Paced;
use crate::testing::within;

#[tokio::test]
async fn an_answer_that_comes_to_a_halt_is_given_up() {
    let frames = stream::iter([Ok::<_, BoxError>(Frame::data(Bytes::from("x")))]);
    let body = StreamBody::new(frames.chain(stream::pending()));
    let judge = |cause: Option<BoxError>, _| {
        assert!(cause.is_none());
        Error::new(ErrorKind::Timeout, "too slow")
    };
    let mut body = Paced::new(body, Duration::from_millis(20), judge);
    let fault = body.fault();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "x");
    let error = within("an end", body.frame()).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "too slow");
    assert_eq!(fault.take().unwrap().kind, ErrorKind::Timeout);
}

//! Images that plugins published: which file comes back in which place.
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::plugin_host::published::Published;
use crate::plugin_host::{File, FilesConfig};
use crate::policy::ToolOutput;
use crate::server_tools::images::Images;

fn image(data: &[u8]) -> Value {
    let source = json!({"type": "base64", "media_type": "image/png", "data": BASE64.encode(data)});
    json!({"type": "image", "source": source})
}

#[test]
fn only_the_file_that_an_image_is_comes_back_in_its_place() {
    let kept = Published::default();
    let keep = |content: &'static [u8]| {
        let file = File { media_type: "image/png".to_owned(), content: content.into() };
        kept.keep(file, &FilesConfig::default(), Instant::now()).unwrap()
    };
    let (sea, moon) = (keep(b"a sea"), keep(b"a moon"));
    let text = |text: &str| json!({"type": "text", "text": text});
    let both = text(&format!("https://g/files/{sea} and https://g/files/{moon}, like /files/x"));
    let content = json!([both, image(b"a sea"), image(b"a moon"), image(b"a moon, but small")]);
    let output = ToolOutput::new(content.to_string());
    let images = || Images::new(&kept, true);

    let shown: Value = serde_json::from_str(&images().for_caller(&output).blocks()).unwrap();
    let words = [format!("(image {sea})"), format!("(image {moon})"), "(image)".to_owned()];
    assert_eq!(shown, json!([both, text(&words[0]), text(&words[1]), text(&words[2])]));
    let sent: Vec<Value> =
        serde_json::from_str(&images().for_upstream(content.to_string())).unwrap();
    assert_eq!(json!(sent), content);
    let back = images().put_back(&shown.to_string()).unwrap();
    let back: Vec<Value> = serde_json::from_str(&back).unwrap();
    assert_eq!(back[..3], sent[..3]);
    assert_eq!(back[3], text("(image)"), "which nobody has");

    // an upstream without images gets placeholders, now and later
    let blind = || Images::new(&kept, false);
    assert_eq!(blind().for_upstream(content.to_string()), shown.to_string());
    assert_eq!(blind().put_back(&shown.to_string()), None);
}

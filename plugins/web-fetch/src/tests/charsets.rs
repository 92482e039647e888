//! The charset of a page, by the rules that browsers follow.
use tidegate_sdk::http;

use super::{page, text};

const KOI: &[u8] = b"\xcd\xcf\xd2\xc5";

fn koi(head: &str) -> Vec<u8> {
    [head.as_bytes(), b"<p>", KOI].concat()
}

#[test]
fn the_mark_counts_before_the_header_and_the_header_before_the_page() {
    for (content_type, body, expect) in [
        (
            "text/html; charset=koi8-r",
            [b"\xef\xbb\xbf<meta charset=koi8-r><p>".as_slice(), "море".as_bytes()].concat(),
            "море",
        ),
        (
            "text/html; charset=utf-8",
            [b"<meta charset=koi8-r><p>".as_slice(), "море".as_bytes()].concat(),
            "море",
        ),
        ("text/html; charset=koi8-r", koi("<meta charset=utf-8>"), "море"),
        ("text/html; charset=nonsense", koi("<meta charset=koi8-r>"), "море"),
        ("text/html; charset=", koi("<meta charset=koi8-r>"), "море"),
        ("text/html; charset='koi8-r'", koi(""), "море"),
        ("text/html; version=1; charset=\"koi8-r\"; charset=utf-8", koi(""), "море"),
        ("text/html;charset=utf-16le", b"<\0p\0>\0a\0".to_vec(), "a"),
        ("text/html", b"\xfe\xff\0<\0p\0>\0a".to_vec(), "a"),
    ] {
        assert_eq!(text(page(content_type, body)), expect, "{content_type}");
    }
}

#[test]
fn a_declaration_counts_anywhere_in_the_head_and_nowhere_else() {
    let far = format!("<head><script>{}</script>", "x".repeat(200_000));
    for (head, is_koi) in [
        ("<meta charset=koi8-r>".to_owned(), true),
        ("<META CHARSET = 'KOI8-R'>".to_owned(), true),
        ("<meta content='text/html; charset=koi8-r' http-equiv=Content-Type>".to_owned(), true),
        ("<meta http-equiv=content-type content='text/html; charset = \"koi8-r\"'>".to_owned(), true),
        ("<meta name=description content='charset=koi8-r'>".to_owned(), false),
        ("<meta http-equiv=content-type content='text/html; charset=koi8-r'><meta charset=utf-8>".to_owned(), true),
        ("<!-- <meta charset=utf-8> --><meta charset=koi8-r>".to_owned(), true),
        ("<!-- <meta charset=koi8-r> -->".to_owned(), false),
        ("<!--><meta charset=koi8-r>".to_owned(), true),
        ("<title><meta charset=utf-8></title><meta charset=koi8-r>".to_owned(), true),
        ("<script>'<meta charset=utf-8>'</script><meta charset=koi8-r>".to_owned(), true),
        ("<meta data-x='>' charset=koi8-r>".to_owned(), true),
        ("<meta charset=nonsense><meta charset=koi8-r>".to_owned(), true),
        ("<link title=\"<meta charset=utf-8>\"><meta charset=koi8-r>".to_owned(), true),
        (format!("{far}<meta charset=koi8-r></head>"), true),
        (format!("{far}</head><body><p></p><meta charset=koi8-r>"), false),
        ("<?xml version='1.0' encoding='koi8-r'?>".to_owned(), true),
        ("<?xml version=\"1.0\" encoding = \"koi8-r\" ?><html>".to_owned(), true),
        ("<?xml encoding='utf-8'?><meta charset=koi8-r>".to_owned(), true),
    ] {
        let text = text(page("text/html", koi(&head)));
        assert_eq!(text == "море", is_koi, "{}: {text}", &head[head.len().saturating_sub(90)..]);
    }
}

#[test]
fn a_page_that_names_utf_16_within_itself_is_utf_8() {
    for label in ["utf-16", "utf-16be", "unicode", "UTF-16LE"] {
        let body = format!("<meta charset={label}><p>море");
        assert_eq!(text(page("text/html", body)), "море", "{label}");
    }
    let body = b"<meta charset=x-user-defined><p>Gr\xf6\xdfe \x80".to_vec();
    assert_eq!(text(page("text/html", body)), "Größe €");
    let wide: Vec<u8> =
        "<?xml version='1.0'?><p>море".encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert_eq!(text(page("text/html", wide)), "море");
}

#[test]
fn one_bad_byte_does_not_change_the_charset() {
    let long = "Größe und Höhe des Wassers über dem Pegel. ".repeat(30);
    for (content_type, start) in [
        ("text/html", ""),
        ("text/html; charset=utf-8", ""),
        ("text/html", "<meta charset=utf-8>"),
        ("text/plain", ""),
        ("application/json", ""),
    ] {
        let body = [start.as_bytes(), long.as_bytes(), b"\xff", "für".as_bytes()].concat();
        let told = text(page(content_type, body));
        assert!(told.starts_with("Größe und Höhe"), "{content_type}: {told}");
        assert!(told.ends_with("\u{fffd}für"), "{content_type}: {told}");
    }
    assert_eq!(text(page("text/plain", b"Gr\xf6\xdfe".to_vec())), "Größe");
}

#[test]
fn a_character_that_the_limit_cuts_is_left_out() {
    for (content_type, body) in [
        ("text/plain", b"Gr\xc3\xb6\xc3".to_vec()),
        ("text/plain; charset=utf-8", b"Gr\xc3\xb6\xf0\x9f\x8c".to_vec()),
        ("text/html", b"<p>Gr\xc3\xb6\xe6\xb5".to_vec()),
        ("text/plain; charset=shift_jis", b"Gr\x81".to_vec()),
        ("text/plain; charset=utf-16le", b"G\0r\0\xf6\0\x0a".to_vec()),
        ("text/html; charset=utf-8", b"<p>Gr\xc3\xb6&eacut".to_vec()),
        ("text/html; charset=utf-8", b"<p>Gr\xc3\xb6<a hre".to_vec()),
    ] {
        let answer = http::Response { truncated: true, ..page(content_type, body) };
        let message = super::fails(Ok(answer)).message;
        assert!(message.contains("\"Gr"), "{content_type}: {message}");
        for wrong in ['\u{fffd}', '&', 'Ã', '<'] {
            assert!(!message.contains(wrong), "{content_type}: {message}");
        }
    }
}

#[test]
fn a_part_ends_with_a_whole_character_and_its_accents() {
    let body = "e\u{301}".repeat(40);
    let host = super::always(Ok(page("text/plain; charset=utf-8", body.clone())));
    let input = serde_json::json!({"url": super::URL});
    let told = super::call(&host, input, serde_json::json!({"max_chars": 21})).expect("a part");
    assert_eq!(told["text"], "e\u{301}".repeat(10));
    assert_eq!(told["next_cursor"], 20);
}

//! The results for pages, texts and files.
use std::io::Write as _;

use tidegate_sdk::http;

use super::{fails, page, read, text};

const ARTICLE: &str = r##"<!doctype html><html lang="en"><head><meta charset="utf-8">
<title>Why tides turn | The Harbour Gazette</title><script>track("reader")</script>
<style>.x{color:red}</style></head><body>
<header><a href="/">The Harbour Gazette</a></header>
<nav><ul><li><a href="/news">News</a></li><li><a href="/sport">Sport</a></li></ul></nav>
<main><article><h1>Why tides turn</h1>
<p>Twice a day the sea leaves the harbour and twice a day it comes back, and the fishermen of the
place have never needed to know why. They have a <a href="../tables/2026?port=harbour">table</a>, and
the table has always been right, which is more than can be said of most things in print.</p>
<p>The reason is the <em>moon</em>, helped or hindered by the <strong>sun</strong>. Where both pull in a
line the tide is high, a spring tide; where they stand at a right angle it is low, a neap tide. Between
the two lie about seven days, and in those days the range of the water changes by half.</p>
<h2>A week at the pier</h2>
<table><thead><tr><th>Day</th><th>High water</th><th>Height</th></tr></thead><tbody>
<tr><td>Monday</td><td>06:12</td><td>5.1 m</td></tr><tr><td>Tuesday</td><td>06:58</td><td>5.6 m</td></tr>
</tbody></table>
<p>Whoever wants to work it out for another port adds the difference that the almanac gives, and takes
care to add it with the right sign, as the keeper of the light has found out more than once.</p>
<pre><code class="language-python">def height(hours):
    if hours &lt; 0:
        return None
    return 3 + 2 * cos(hours)
</code></pre>
<ul><li>Spring tides follow the full moon.</li><li>Neap tides follow the quarters.</li></ul>
<p><img src="/img/pier.jpg" alt="The pier at low water"><img src="data:image/png;base64,AAAA" alt=""></p>
</article></main>
<aside><p>Subscribe to our letter</p></aside><footer>Imprint and privacy</footer></body></html>"##;

#[test]
fn an_article_becomes_markdown_with_title_links_and_tables() {
    let told = read(page("text/html; charset=utf-8", ARTICLE));
    assert!(told["title"].as_str().unwrap_or_default().starts_with("Why tides turn"), "{told}");
    assert_eq!(told["url"], super::URL);
    assert_eq!(told["content_type"], "text/html");
    assert_eq!(told["truncated"], false);
    assert_eq!(told["next_cursor"], serde_json::Value::Null);
    assert_eq!(told["retrieved_at"], "2026-01-15T12:00:00Z");
    let text = told["text"].as_str().expect("text");
    for expect in [
        "[table](https://example.com/tables/2026?port=harbour)",
        "*moon*",
        "**sun**",
        "## A week at the pier",
        "    if hours < 0:\n        return None",
        "- Spring tides follow the full moon.",
        "![The pier at low water](https://example.com/img/pier.jpg)",
    ] {
        assert!(text.contains(expect), "{expect:?} is missing in\n{text}");
    }
    let row = text.lines().find(|line| line.contains("Tuesday")).expect("a row");
    let cells: Vec<_> = row.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(cells, ["Tuesday", "06:58", "5.6 m"]);
    for gone in ["Subscribe", "Imprint", "Sport", "track(", "color:red", "base64"] {
        assert!(!text.contains(gone), "{gone:?} is in\n{text}");
    }
}

#[test]
fn a_page_of_links_is_kept_whole() {
    let links: String = (0..60)
        .map(|n| {
            format!("<div><a href=\"/item/{n}\">Entry number {n}</a> <span>{n} points</span></div>")
        })
        .collect();
    let html = format!("<title>Front page</title><body><div id=list>{links}</div>");
    let told = read(page("text/html", html));
    assert_eq!(told["title"], "Front page");
    let text = told["text"].as_str().expect("text");
    for n in [0, 31, 59] {
        assert!(
            text.contains(&format!("[Entry number {n}](https://example.com/item/{n})")),
            "{text}"
        );
    }
}

#[test]
fn a_base_of_the_page_moves_its_links() {
    let html = "<base href=\"/docs/v2/\"><body><p><a href=\"intro\">Intro</a> \
        <a href=\"javascript:void(0)\">Trap</a></p>";
    let text = text(page("text/html", html));
    assert!(text.contains("[Intro](https://example.com/docs/v2/intro)"), "{text}");
    assert!(!text.contains("javascript:"), "{text}");
}

#[test]
fn a_page_that_is_nested_too_deep_is_still_read() {
    for depth in [300, 900, 3_000, 800_000] {
        let open = "<div>".repeat(depth);
        let html = format!(
            "<title>Deep</title><body><p>The top</p>{open}<script>a<b</script><!-- <i> --><b>The</b> bottom<p>Below</p>"
        );
        let told = read(page("text/html", html));
        assert_eq!(told["text"], "The top\n\n**The** bottom\n\nBelow", "{depth}");
        assert_eq!(told["title"], "Deep");
    }
}

#[test]
fn a_long_page_is_not_taken_for_a_deep_one() {
    let items = "<li>item<p>text<td>cell<img src=x><br>".repeat(3000);
    let text = text(page("text/html", format!("<h2>List</h2><ul>{items}")));
    assert!(text.contains("## List") && text.contains("item"), "{}", &text[..200]);
}

#[test]
fn a_page_of_broken_html_is_read_as_browsers_do() {
    let text = text(page(
        "text/html",
        "<p>One<p>Two <b>bold</p><td>cell<li>item &amp; &eacute; &#x1F30A;",
    ));
    for expect in ["One", "Two **bold**", "cell", "item & é 🌊"] {
        assert!(text.contains(expect), "{expect:?} is missing in {text}");
    }
}

#[test]
fn texts_are_given_as_they_are() {
    for (content_type, body) in [
        ("text/plain", "just < text > & more\n"),
        ("application/json; charset=utf-8", "{\"a\": [1, 2]}"),
        ("application/ld+json", "{}"),
        ("text/csv", "a,b\n1,2"),
        ("application/rss+xml", "<rss><channel/></rss>"),
        ("text/markdown", "# Title"),
    ] {
        let told = read(page(content_type, body));
        assert_eq!(told["text"], body.trim_end(), "{content_type}");
        assert_eq!(told["title"], serde_json::Value::Null);
    }
}

#[test]
fn a_page_with_no_useful_media_type_is_identified_by_its_content() {
    for (content_type, body, expect) in [
        ("", "<!DOCTYPE html><p>Hello</p>", "text/html"),
        ("", "\n <HTML><p>Hello</p>", "text/html"),
        ("application/octet-stream", "Hello", "text/plain"),
    ] {
        let told = read(page(content_type, body));
        assert_eq!(
            (told["content_type"].as_str(), told["text"].as_str()),
            (Some(expect), Some("Hello"))
        );
    }
}

#[test]
fn pictures_and_other_files_are_refused() {
    for content_type in ["image/png", "video/mp4", "application/zip", "font/woff2", "audio/mpeg"] {
        let problem = fails(Ok(page(content_type, "…")));
        assert_eq!(problem.code, "unsupported_content_type");
        assert!(problem.message.contains(content_type), "{problem}");
    }
    let unknown = fails(Ok(http::Response {
        url: super::URL.to_owned(),
        ..http::Response::new(200, vec![0, 159, 146, 150])
    }));
    assert_eq!(unknown.code, "unsupported_content_type");
}

#[test]
fn characters_are_read_by_mark_header_page_and_look() {
    let table: [(&str, &[u8], &str); 10] = [
        ("text/plain; charset=utf-8", "Größe".as_bytes(), "Größe"),
        ("text/plain; charset=iso-8859-1", b"Gr\xf6\xdfe", "Größe"),
        ("text/plain; charset=\"Shift_JIS\"", b"\x8aC", "海"),
        ("text/plain; charset=latin1", b"\xef\xbb\xbfGr\xc3\xb6\xc3\x9fe", "Größe"),
        ("text/plain", b"\xff\xfeG\0r\0", "Gr"),
        ("text/html", b"<meta charset='koi8-r'><p>\xcd\xcf\xd2\xc5</p>", "море"),
        ("text/html", b"<meta http-equiv=content-type content=\"text/html; charset=windows-1251\"><p>\xec\xee\xf0\xe5", "море"),
        ("application/xml", b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xf6</a>", "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>ö</a>"),
        ("text/html", "<p>Größe</p>".as_bytes(), "Größe"),
        ("text/html", b"<p>Gr\xf6\xdfe</p>", "Größe"),
    ];
    for (content_type, body, expect) in table {
        assert_eq!(text(page(content_type, body)), expect, "{content_type} {body:?}");
    }
}

/// Makes a file with one page per text, drawn line by line in Helvetica.
fn pdf(pages: &[&[&str]], title: &str) -> Vec<u8> {
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        String::new(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
            .to_owned(),
        format!("<< /Title ({title}) >>"),
    ];
    let mut kids = Vec::new();
    for lines in pages {
        let mut drawn = "BT /F1 12 Tf 72 720 Td ".to_owned();
        for line in *lines {
            drawn.push_str(&format!("({line}) Tj 0 -14 Td "));
        }
        drawn.push_str("ET");
        objects.push(format!("<< /Length {} >>\nstream\n{drawn}\nendstream", drawn.len()));
        let content = objects.len();
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {content} 0 R \
             /Resources << /Font << /F1 3 0 R >> >> >>"
        ));
        kids.push(format!("{} 0 R", objects.len()));
    }
    objects[1] = format!("<< /Type /Pages /Kids [{}] /Count {} >>", kids.join(" "), kids.len());
    let mut file = b"%PDF-1.4\n".to_vec();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (n, object) in objects.iter().enumerate() {
        table.push_str(&format!("{:010} 00000 n \n", file.len()));
        file.extend_from_slice(format!("{} 0 obj\n{object}\nendobj\n", n + 1).as_bytes());
    }
    let start = file.len();
    table.push_str(&format!(
        "trailer << /Size {} /Root 1 0 R /Info 4 0 R >>\nstartxref\n{start}\n%%EOF",
        objects.len() + 1
    ));
    file.extend_from_slice(table.as_bytes());
    file
}

#[test]
fn the_text_of_a_pdf_file_is_read_in_lines_and_pages() {
    let file = pdf(
        &[&["High water at the pier", "Monday 06:12"], &["A second page (\\366\\337)".trim()]],
        "Tide table",
    );
    let told = read(page("application/pdf", file));
    assert_eq!(told["title"], "Tide table");
    assert_eq!(told["text"], "High water at the pier\nMonday 06:12\n\nA second page (öß)");
}

#[test]
fn a_pdf_file_without_text_is_refused() {
    for (body, expect) in [
        (pdf(&[&[]], "Scan"), "only pictures"),
        (b"%PDF-1.7 and no more".to_vec(), "cannot be read"),
    ] {
        let problem = fails(Ok(page("application/pdf", body)));
        assert_eq!(problem.code, "unsupported_content_type");
        assert!(problem.message.contains(expect), "{problem}");
    }
}

#[test]
fn a_pdf_file_with_streams_that_no_memory_holds_is_too_large() {
    let zeros = vec![b' '; 64 << 20];
    let packed = deflated(&zeros);
    for packed in [packed.clone(), deflated(&packed)] {
        let mut file = b"%PDF-1.4\n4 0 obj\n<< /Filter /FlateDecode >>\nstream\n".to_vec();
        file.extend_from_slice(&packed);
        file.extend_from_slice(b"\nendstream\nendobj\n");
        let problem = fails(Ok(page("application/pdf", file)));
        assert_eq!(problem.code, "content_too_large", "{problem}");
    }
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("room");
    encoder.finish().expect("room")
}

#[test]
fn the_main_part_of_a_page_is_read_and_not_the_parts_beside_it() {
    let words = "The harbour has two tides a day, and they come late in the year. ".repeat(12);
    let beside = "<div class=sidebar><a href=/a>Most read</a> <a href=/b>Least read</a></div>";
    for page_of in [
        format!("<header>Site</header><main><p>{words}</main>{beside}<footer>Imprint</footer>"),
        format!("<div>Site</div><div role=main><p>{words}</div><div>Imprint</div>"),
        format!("<div>Site</div><article><p>{words}</article><div>Imprint</div>"),
        format!("<nav>Site</nav><div id=x><p>{words}</div>{beside}<footer>Imprint</footer>"),
    ] {
        let text = text(page("text/html", page_of.as_str()));
        assert_eq!(text, words.trim(), "{page_of}");
    }
    // two articles are a page of both
    let other = "Another one about boats, which is shorter. ".repeat(9);
    let both = format!("<article><p>{words}</article><article><p>{other}</article>");
    assert_eq!(text(page("text/html", both)), format!("{}\n\n{}", words.trim(), other.trim()));
}

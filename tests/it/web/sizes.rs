//! Pages of 5 MiB in every shape: read within the plugin's memory and time. Larger ones are results
//! too, and never count as failures of the plugin.
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Web, failure_of, granted, page_of, result_of, site};
use crate::support::upstream::answer;

/// The most bytes of a page that the plugin reads.
const LIMIT: usize = 5 << 20;
/// The memory of one call in these tests.
const MEMORY: usize = 96 << 20;

/// A page of the largest size: a start, and a piece again and again.
struct Shape {
    name: &'static str,
    start: &'static str,
    piece: &'static str,
    /// A part of the text.
    expect: &'static str,
}

const fn shape(
    name: &'static str,
    start: &'static str,
    piece: &'static str,
    expect: &'static str,
) -> Shape {
    Shape { name, start, piece, expect }
}

const SHAPES: [Shape; 36] = [
    shape("log", "<pre>", "2026-01-15 a &amp; b -&gt; c\n", "a & b -> c"),
    shape("references", "<p>", "&amp;", "&&&&"),
    shape("half-references", "<p>", "&am", "&am&am"),
    shape("numbers", "<p>", "&#x41;", "AAAA"),
    shape("signs", "<p>&", "&", "&&&&"),
    shape(
        "code",
        "<pre class=rust>",
        "<span class=\"k\">fn</span> <span class=\"nf\">f</span>();\n",
        "fn f();",
    ),
    shape("index", "<ul>", "<li><a href=\"/e/1\">Entry</a>, 12", "[Entry](http"),
    shape("words", "<p>", "a word, ", "a word, a word"),
    shape("one-word", "<p>", "wordword", "wordword"),
    shape("paragraphs", "", "<p>a", "a\n\na"),
    shape("empty-elements", "a", "<p><b><i></i></b></p>", "a"),
    shape("links", "", "<a href=b>c</a> ", "[c](http"),
    shape(
        "base",
        "<base href=\"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/\">",
        "<a href=b>c</a>",
        "[c](http",
    ),
    shape("cells", "<table><tr><th>h<tr>", "<td>a", "| h |"),
    shape("rows", "<table><tr><th>h", "<tr><td>a", "| h |"),
    shape("spans", "<table><tr><th>h", "<tr><td colspan=1000 rowspan=65534>a", "| h |"),
    shape("tables", "<p>a</p>", "<table><tr><td>", "a"),
    shape("deep", "a", "<div>", "a"),
    shape("deep-words", "a", "<div>b", "b"),
    shape("quotes", "a", "<blockquote>b", "> b"),
    shape("lists", "a", "<ul><li>b", "- b"),
    shape("formats", "", "<b><i><u><p>a", "***a***"),
    shape("fonts", "", "<font color=red><p>a", "a"),
    shape("misnested", "", "<b>a<p>b</b>c</p>", "**a**"),
    shape("anchors", "", "<a href=b><div>c", "[c](http"),
    shape("attributes", "<p>a</p><p ", "a=1 b c ", "a"),
    shape("class", "<p>a</p><p class=\"", "ad sidebar ", "a"),
    shape("comment", "<p>a</p><!-- ", "-- ", "a"),
    shape("comments", "<p>a</p>", "<!---->", "a"),
    shape("bogus", "<p>a</p>", "<?x></ >", "a"),
    shape("script", "<p>a</p><script>", "<!-- </scr ", "a"),
    shape("title", "<p>a</p><title>", "</tit&", "a"),
    shape("pictures", "<p>a", "<img src=a srcset='b 1x,c 2x'>", "![]("),
    shape("sizes", "<p>a</p><img srcset=\"", "a 1x,", "a"),
    shape("headings", "", "<h1>a", "# a"),
    shape("hidden", "<p>a</p>", "<p hidden>b", "a"),
];

fn tool() -> Value {
    json!({"type": "gateway:web_fetch", "max_chars": 20_000})
}

/// Returns a page of a shape, and of a size.
fn body(shape: &Shape, size: usize) -> String {
    let mut body = shape.start.to_owned();
    let times = (size - body.len()) / shape.piece.len();
    body.push_str(&shape.piece.repeat(times));
    body
}

/// A PDF file of one page with as many lines.
fn pdf(lines: usize) -> Vec<u8> {
    let drawn = format!("BT /F1 12 Tf 72 720 Td {} ET", "(high water) Tj 0 -14 Td ".repeat(lines));
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [5 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{drawn}\nendstream", drawn.len()),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R \
         /Resources << /Font << /F1 3 0 R >> >> >>"
            .to_owned(),
    ];
    let mut file = "%PDF-1.4\n".to_owned();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (n, object) in objects.iter().enumerate() {
        let _ = writeln!(table, "{:010} 00000 n ", file.len());
        let _ = write!(file, "{} 0 obj\n{object}\nendobj\n", n + 1);
    }
    let start = file.len();
    let _ = write!(file, "{table}trailer << /Size 6 /Root 1 0 R >>\nstartxref\n{start}\n%%EOF");
    file.into_bytes()
}

/// Lets the model fetch an address. Returns the result that it received.
async fn fetch(web: &Web, url: &str, cursor: Option<usize>) -> Value {
    let mut input = json!({"url": url});
    if let Some(cursor) = cursor {
        input["cursor"] = cursor.into();
    }
    let before = web.model.bodies().len();
    let text = format!("[sim: call web_fetch {input}] [sim: then] [sim: say that is all]");
    web.ask(&tool(), &text, false).await;
    result_of(&web.model.requests()[before + 1])
}

async fn reader(site: std::net::SocketAddr) -> Web {
    let mut config = granted(site);
    config["memory"] = MEMORY.into();
    Web::with("web-fetch", config).await
}

#[tokio::test]
async fn a_page_of_the_largest_size_is_read_in_any_shape() {
    let site = site(|target| {
        let shape = SHAPES.iter().find(|shape| shape.name == &target[1..]).unwrap();
        answer(200, "content-type: text/html; charset=utf-8\r\n", body(shape, LIMIT))
    })
    .await;
    let web = reader(site.address).await;
    for shape in &SHAPES {
        let url = format!("http://{}/{}", site.address, shape.name);
        let page = page_of(&fetch(&web, &url, None).await);
        let text = page["text"].as_str().unwrap();
        let start: String = text.chars().take(200).collect();
        assert!(text.contains(shape.expect), "{}: {start}", shape.name);
    }
}

#[tokio::test]
async fn the_end_of_a_page_of_the_largest_size_is_read_as_well() {
    let site = site(|_| {
        let mut page = String::from("<table><tr><th>Number<th>Name");
        let mut n = 0;
        while page.len() < LIMIT - 100 {
            let _ = write!(page, "<tr><td>{n}<td>Name of {n} &amp; more");
            n += 1;
        }
        answer(200, "content-type: text/html\r\n", page)
    })
    .await;
    let web = reader(site.address).await;
    let url = format!("http://{}/", site.address);
    let page = page_of(&fetch(&web, &url, Some(4_000_000)).await);
    assert!(page["text"].as_str().unwrap().contains(" & more |\n|"), "{page}");
}

#[tokio::test]
async fn text_and_other_charsets_of_the_largest_size_are_read() {
    let site = site(|target| match target {
        "/text" => answer(200, "content-type: text/plain\r\n", "a line\n".repeat(LIMIT / 7)),
        "/json" => {
            answer(200, "content-type: application/json\r\n", "[0,\"a\"],".repeat(LIMIT / 8))
        }
        "/xml" => answer(200, "content-type: text/xml\r\n", "<a>b</a>".repeat(LIMIT / 8)),
        "/pdf" => answer(200, "content-type: application/pdf\r\n", pdf(LIMIT / 26)),
        // each byte becomes three
        "/euro" => {
            answer(200, "content-type: text/html; charset=windows-1252\r\n", vec![0x80; LIMIT])
        }
        "/bad" => answer(200, "content-type: text/html; charset=utf-8\r\n", vec![0xff; LIMIT]),
        "/wide" => {
            answer(200, "content-type: text/html; charset=utf-16le\r\n", b"wm".repeat(LIMIT / 2))
        }
        _ => answer(200, "content-type: text/html\r\n", b"<p>\xe9\xe8".repeat(LIMIT / 5)),
    })
    .await;
    let web = reader(site.address).await;
    for (path, expect) in [
        ("text", "a line\na line"),
        ("json", "[0,\"a\"],[0"),
        ("xml", "<a>b</a>"),
        ("pdf", "high water\nhigh water"),
        ("euro", "€€€"),
        ("bad", "\u{fffd}\u{fffd}"),
        ("wide", "海海"),
        ("latin", "éè\n\néè"),
    ] {
        let url = format!("http://{}/{path}", site.address);
        let page = page_of(&fetch(&web, &url, None).await);
        assert!(page["text"].as_str().unwrap().contains(expect), "{path}");
    }
}

#[tokio::test]
async fn pages_that_are_too_large_are_results_and_no_failures_of_the_plugin() {
    let site = site(|target| match target {
        "/small" => answer(200, "content-type: text/html\r\n", "<p>a page"),
        "/pdf" => answer(200, "content-type: application/pdf\r\n", "%PDF-1.7\n".repeat(LIMIT / 8)),
        "/text" => answer(200, "content-type: text/plain\r\n", "a line\n".repeat(LIMIT / 6)),
        _ => answer(200, "content-type: text/html\r\n", body(&SHAPES[0], LIMIT + (1 << 20))),
    })
    .await;
    let web = reader(site.address).await;
    for n in 0..7 {
        let (path, expect) = [("log", "a & b -> c"), ("text", "a line"), ("pdf", "PDF")][n % 3];
        let url = format!("http://{}/{path}", site.address);
        let told = failure_of(&fetch(&web, &url, None).await);
        assert!(told.starts_with("content_too_large: "), "{told}");
        assert!(told.contains("larger than 5 MiB") && told.contains(expect), "{told}");
    }
    let url = format!("http://{}/small", site.address);
    assert_eq!(page_of(&fetch(&web, &url, None).await)["text"], "a page");
}

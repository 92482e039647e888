//! Pages of random tags: each one is read to its end, and in parts as in one piece.
use serde_json::{Value, json};
use tidegate_sdk::Result;

use super::{URL, always, call, page};

/// The pieces of the pages. Most of them are open, and few of them are closed.
const PIECES: [&str; 96] = [
    "<p>",
    "</p>",
    "<div>",
    "</div>",
    "<div hidden>",
    "<div id=\"S:0\" hidden>",
    "<section>",
    "<main>",
    "</main>",
    "<article>",
    "</article>",
    "<nav>",
    "</nav>",
    "<footer>",
    "<ul>",
    "</ul>",
    "<ol start=3>",
    "</ol>",
    "<li>",
    "<li value=9>",
    "</li>",
    "<dl>",
    "<dt>",
    "<dd>",
    "</dl>",
    "<table>",
    "</table>",
    "<thead>",
    "<tbody>",
    "</tbody>",
    "<tr>",
    "</tr>",
    "<td>",
    "<td colspan=3 rowspan=2>",
    "<td rowspan=0>",
    "</td>",
    "<th>",
    "<caption>",
    "</caption>",
    "<b>",
    "</b>",
    "<i>",
    "</i>",
    "<code>",
    "</code>",
    "<sup>",
    "</sup>",
    "<a href=/x>",
    "<a>",
    "</a>",
    "<a href=\"javascript:0\">",
    "<h1>",
    "</h1>",
    "<h3>",
    "<pre>",
    "<pre lang=c>",
    "</pre>",
    "<blockquote>",
    "</blockquote>",
    "<br>",
    "<hr>",
    "<img src=/p.jpg alt=P>",
    "<img src=\"data:,\" srcset=\"a 1x, b 2x\">",
    "<noscript>",
    "</noscript>",
    "<svg>",
    "</svg>",
    "<title>",
    "</title>",
    "<script>",
    "</script>",
    "<select>",
    "</select>",
    "<option>",
    "<button>",
    "</button>",
    "<span style='display:none'>",
    "</span>",
    "<span>",
    "<math alttext=x>",
    "</math>",
    "<!-- ",
    "-->",
    "<![CDATA[",
    "]]>",
    "<?x",
    "&amp;",
    "&#0;",
    "&",
    "word ",
    " more words, ",
    "|",
    "`",
    "ü",
    "<input type=checkbox>",
    "<form>",
];

/// A sequence of numbers that looks random and is always the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % most
    }
}

fn soup(numbers: &mut Numbers) -> String {
    let length = 1 + numbers.below(80);
    (0..length).map(|_| PIECES[numbers.below(PIECES.len())]).collect()
}

/// Returns the result of a call, whether the page has words or not.
fn part(body: &str, content_type: &str, cursor: usize, most: usize) -> Option<Value> {
    let host = always(Ok(page(content_type, body)));
    let told: Result<Value> =
        call(&host, json!({"url": URL, "cursor": cursor}), json!({"max_chars": most}));
    match told {
        Ok(told) => Some(told),
        Err(problem) => {
            assert_eq!(problem.code, "unsupported_content_type", "{body}: {problem}");
            None
        }
    }
}

#[test]
fn any_tags_in_any_order_are_read_in_parts_as_in_one_piece() {
    let mut numbers = Numbers(20_260_115);
    for n in 0..3000 {
        let body = soup(&mut numbers);
        let content_type = ["text/html", "application/xhtml+xml"][n % 2];
        let Some(whole) = part(&body, content_type, 0, 100_000) else { continue };
        let whole = whole["text"].as_str().expect("text");
        let (mut parts, mut cursor) = (String::new(), Some(0));
        while let Some(at) = cursor {
            let told = part(&body, content_type, at, 40).expect("a part");
            let text = told["text"].as_str().expect("text");
            let before: String = whole.chars().skip(at).collect();
            assert!(before.starts_with(text), "{body}\nat {at}: {text:?}\n{whole}");
            parts.push_str(text);
            cursor = told["next_cursor"].as_u64().map(|at| usize::try_from(at).expect("a cursor"));
        }
        let bare = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(bare(&parts), bare(whole), "{body}");
    }
}

#[test]
fn no_word_of_a_page_is_lost_by_its_tags() {
    const OPEN: [&str; 30] = [
        "<p>",
        "</p>",
        "<div>",
        "</div>",
        "<section>",
        "<ul>",
        "</ul>",
        "<li>",
        "<dl>",
        "<dt>",
        "<dd>",
        "<table>",
        "</table>",
        "<tr>",
        "<td>",
        "<td colspan=2>",
        "</td>",
        "<th>",
        "<b>",
        "</b>",
        "<i>",
        "</i>",
        "<a href=/x>",
        "</a>",
        "<h2>",
        "</h2>",
        "<pre>",
        "</pre>",
        "<blockquote>",
        "<br>",
    ];
    let mut numbers = Numbers(7);
    for _ in 0..2000 {
        let length = 2 + numbers.below(40);
        let mut body = String::from("<body>");
        for n in 0..length {
            body.push_str(OPEN[numbers.below(OPEN.len())]);
            body.push_str(&format!("w{n}. "));
        }
        let told = part(&body, "text/html", 0, 100_000).expect("a page");
        let text = told["text"].as_str().expect("text");
        for n in 0..length {
            assert!(text.contains(&format!("w{n}.")), "w{n} is missing\n{body}\n{text}");
        }
    }
}

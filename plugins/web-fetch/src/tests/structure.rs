//! The structure of pages: tables, code, lists, pictures, links.
use super::{page, read, text};

fn html(body: &str) -> String {
    text(page("text/html; charset=utf-8", body))
}

/// Returns the rows of the only table, cell by cell, without the line under the heads.
fn rows(body: &str) -> Vec<Vec<String>> {
    let text = html(body);
    let lines = text.lines().filter(|line| line.starts_with('|') && !line.contains("---"));
    let cells = |line: &str| {
        let line = line.trim_start_matches('|').trim_end_matches('|').replace("\\|", "\u{1}");
        line.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect()
    };
    lines.map(cells).collect()
}

#[test]
fn a_cell_over_columns_or_rows_is_repeated_under_each_head() {
    let table = "<table><thead><tr><th rowspan=2>Port</th><th colspan=2>High</th><th>Low</th></tr>\
        <tr><th>Time</th><th>Height</th><th>Time</th></tr></thead>\
        <tbody><tr><td rowspan=2>North</td><td>06:12</td><td>5.1</td><td>12:20</td></tr>\
        <tr><td colspan=2>none</td><td>13:07</td></tr>\
        <tr><td>South</td><td>07:41</td><td>5.6</td><td>13:52</td></tr></tbody></table>";
    assert_eq!(
        rows(table),
        [
            ["Port", "High", "High", "Low"],
            ["Port", "Time", "Height", "Time"],
            ["North", "06:12", "5.1", "12:20"],
            ["North", "none", "none", "13:07"],
            ["South", "07:41", "5.6", "13:52"],
        ]
    );
}

#[test]
fn a_span_of_all_rows_ends_with_its_section() {
    let table = "<table><tr><th>A<th>B<tbody><tr><td rowspan=0>x<td>1<tr><td>2<tbody><tr><td>y<td>3\
        </table>";
    assert_eq!(rows(table), [["A", "B"], ["x", "1"], ["x", "2"], ["y", "3"]]);
}

#[test]
fn a_huge_span_takes_no_more_than_its_budget() {
    let cells = "<td colspan=1000 rowspan=65534>a".repeat(50);
    let table = format!("<table><tr><th>H{}</table><p>after", format!("<tr>{cells}").repeat(2000));
    let text = html(&table);
    assert!(text.len() <= 100_000, "{}", text.len());
}

#[test]
fn signs_breaks_and_blocks_in_cells_stay_in_their_cells() {
    let table = "<table><tr><th>Form<th>Text</tr><tr><td>a|b<td>one<br>two<p>three</p></tr>\
        <tr><td><code>x|y</code><td><ul><li>p<li>q</ul></tr>\
        <tr><td><pre>if a:\n  b</pre><td><table><tr><td>in<td>ner</table></tr></table>";
    assert_eq!(
        rows(table),
        [
            ["Form", "Text"],
            ["a|b", "one<br>two<br>three"],
            ["`x|y`", "- p<br>- q"],
            ["`if a:`<br>`  b`", "<table><tr><td>in</td><td>ner</td></tr></table>"],
        ]
    );
}

#[test]
fn a_table_without_heads_has_an_empty_head_and_all_rows() {
    assert_eq!(
        rows("<table><tr><td>1<td>2<tr><td>3<td>4</table>"),
        [["", ""], ["1", "2"], ["3", "4"]]
    );
}

#[test]
fn a_table_that_arranges_a_page_is_no_table() {
    let text = html(
        "<table><tr><td><h2>News</h2><p>Water is high.</td><td><table><tr><th>Day<th>Time<tr><td>Mon\
         <td>06:12</table></td></tr></table>",
    );
    assert_eq!(text, "## News\n\nWater is high.\n\n| Day | Time |\n| --- | --- |\n| Mon | 06:12 |");
}

#[test]
fn a_caption_and_text_between_rows_stand_before_the_table() {
    let text = html(
        "<table><caption>Tides</caption><tr><th>Day<th>Time</tr>stray<tr><td>Mon<td>06:12</table>",
    );
    assert_eq!(text, "stray\n\nTides\n\n| Day | Time |\n| --- | --- |\n| Mon | 06:12 |");
}

#[test]
fn code_is_fenced_with_its_language_however_the_page_names_it() {
    for (body, fence) in [
        ("<pre>a  b\n  c</pre>", "```\na  b\n  c\n```"),
        ("<pre>\na\n\n b</pre>", "```\na\n\n b\n```"),
        ("<pre lang=rust>fn</pre>", "```rust\nfn\n```"),
        ("<pre><code class=\"hljs language-Rust\">fn</code></pre>", "```rust\nfn\n```"),
        ("<pre class=\"lang-c++\">int</pre>", "```c++\nint\n```"),
        ("<pre class=\"brush: js; toolbar: false\">x</pre>", "```js\nx\n```"),
        ("<pre data-lang=toml>x</pre>", "```toml\nx\n```"),
        (
            "<div class=\"highlight-python notranslate\"><div class=highlight><pre>x</pre></div></div>",
            "```python\nx\n```",
        ),
        ("<div class=\"highlight highlight-source-shell\"><pre>x</pre></div>", "```shell\nx\n```"),
        (
            "<div class=\"sourceCode\"><pre class=\"sourceCode haskell\"><code>x</code></pre></div>",
            "```haskell\nx\n```",
        ),
        ("<pre class=\"rust rust-example-rendered\">x</pre>", "```rust\nx\n```"),
        ("<pre class=note>x</pre>", "```\nx\n```"),
        ("<pre>a<br>b</pre>", "```\na\nb\n```"),
        ("<pre><div class=line>a</div><div class=line>b</div></pre>", "```\na\nb\n```"),
        (
            "<pre><span class=k>if</span> <span>a</span> &amp;&amp; b &lt; c</pre>",
            "```\nif a && b < c\n```",
        ),
        ("<pre>```\nin\n```</pre>", "````\n```\nin\n```\n````"),
        ("<xmp><b>raw</b></xmp>", "```\n<b>raw</b>\n```"),
        (
            "<table><tr><td class=gutter><pre>1\n2</pre></td><td class=code><pre>a\nb</pre></td></tr></table>",
            "```\na\nb\n```",
        ),
    ] {
        assert_eq!(html(body), fence, "{body}");
    }
}

#[test]
fn code_in_a_line_stands_between_enough_backticks() {
    for (body, expect) in [
        ("<p>Use <code>a | b</code>.", "Use `a | b`."),
        ("<p>Use <code>a`b</code> now", "Use ``a`b`` now"),
        ("<p><code>`</code>", "`` ` ``"),
        ("<p>Press <kbd>Ctrl</kbd>+<kbd>C</kbd>", "Press `Ctrl`+`C`"),
        (
            "<p><b><code>x</code></b> and <a href=/y><code>y</code></a>",
            "**`x`** and [`y`](https://example.com/y)",
        ),
    ] {
        assert_eq!(html(body), expect, "{body}");
    }
}

#[test]
fn lists_keep_their_levels_and_numbers() {
    for (body, expect) in [
        ("<ul><li>a<ul><li>b<ol><li>c</ol></ul><li>d</ul>", "- a\n  - b\n    1. c\n- d"),
        ("<ol start=3><li>a<li>b<li value=9>c<li>d</ol>", "3. a\n4. b\n9. c\n10. d"),
        ("<ol start=-1><li>a<li>b</ol>", "-1. a\n0. b"),
        ("<ul><li><p>a</p><p>b</p></li><li>c</li></ul>", "- a\n\n  b\n- c"),
        ("<ul><li>a<pre>x\ny</pre></li></ul>", "- a\n\n  ```\n  x\n  y\n  ```"),
        (
            "<dl><dt>Neap<dd>Little range.<dt>Spring<dd>Much.<dd>Twice a month.</dl>",
            "Neap\n: Little range.\n\nSpring\n: Much.\n: Twice a month.",
        ),
        (
            "<ul><li><input type=checkbox checked> done<li><input type=checkbox> open</ul>",
            "- [x] done\n- [ ] open",
        ),
        ("<blockquote><p>a<p>b<ul><li>c</ul></blockquote><p>d", "> a\n>\n> b\n>\n> - c\n\nd"),
        ("<ul><li>a</li><ul><li>b</li></ul><li>c</li></ul>", "- a\n  - b\n- c"),
    ] {
        assert_eq!(html(body), expect, "{body}");
    }
}

#[test]
fn headings_links_and_notes_keep_their_places() {
    for (body, expect) in [
        ("<h2><a href=/x>Title</a></h2>", "## [Title](https://example.com/x)"),
        ("<a href=/x><h3>Title</h3><p>More</p></a>", "### [Title](https://example.com/x)\n\nMore"),
        (
            "<a href=/x><img src=/p.jpg alt=P><h3>Title</h3></a>",
            "[![P](https://example.com/p.jpg)](https://example.com/x)\n\n### [Title](https://example.com/x)",
        ),
        ("<h2>Two<br>lines</h2>", "## Two lines"),
        ("<h2>Part <a class=headerlink href=#part>¶</a></h2>", "## Part"),
        (
            "<p>So it is.<sup><a href=#fn1>1</a></sup><ol><li id=fn1>A note.</ol>",
            "So it is.[1](https://example.com/articles/tide#fn1)\n\n1. A note.",
        ),
        ("<p>10<sup>3</sup> m and H<sub>2</sub>O", "10<sup>3</sup> m and H<sub>2</sub>O"),
        (
            "<p><a href=\"/a_(b)\">x</a> <a href=\"/a)b\">y</a>",
            "[x](https://example.com/a_(b)) [y](https://example.com/a%29b)",
        ),
        ("<p>one<br>two<br><br>three", "one  \ntwo  \nthree"),
        ("<p># no head<p>- no item<p>> no quote", "\\# no head\n\n\\- no item\n\n\\> no quote"),
        ("a<hr>b", "a\n\n---\n\nb"),
        (
            "<p><del>old</del> <ins>new</ins> <i>soft</i> <em>and</em> <strong>loud</strong>",
            "~~old~~ new *soft and* **loud**",
        ),
    ] {
        assert_eq!(html(body), expect, "{body}");
    }
}

#[test]
fn misnested_elements_are_read_as_browsers_do() {
    for (body, expect) in [
        ("<b>1<p>2</b>3</p>", "**1**\n\n**2**3"),
        ("<p>1<b>2<i>3</b>4</i>5", "1**2*3****4*5"),
        ("<p>a<p>b</div>c</p>d", "a\n\nbc\n\nd"),
        (
            "<a href=/1>one<a href=/2>two</a>",
            "[one](https://example.com/1)[two](https://example.com/2)",
        ),
        ("<div><b>x</div>y", "**x**\n\n**y**"),
        (
            "<table><tr><td><b>x</td><td>y</td></tr><tr><td>1</td><td>2</td></tr></table>z",
            "|  |  |\n| --- | --- |\n| **x** | y |\n| 1 | 2 |\n\nz",
        ),
        ("<p>a<table><tr><td>b<td>c</table>d", "a\n\n|  |  |\n| --- | --- |\n| b | c |\n\nd"),
        ("<h1>a<h2>b</h1>c", "# a\n\n## b\n\nc"),
        ("<svg><title>no</title><path/></svg>a<svg><div>b</div>", "a\n\nb"),
        ("a<select><option>no</select><button>no</button>b", "a b"),
        ("<!-- > --><p>a<!-->b<!--->c<!-- d --!>e", "abce"),
        ("<script>'</p>'<!-- <script> </script> --></script>a", "a"),
        (
            "<p>Do&shy;nau &amp &lt;x&gt; &#128; &#x1F30A; &notit; &copy2",
            "Donau & <x> € 🌊 ¬it; ©2",
        ),
    ] {
        assert_eq!(html(body), expect, "{body}");
    }
}

#[test]
fn pictures_that_load_late_have_their_own_addresses() {
    let picture = |name: &str| format!("![P](https://example.com/{name})");
    for (body, name) in [
        ("<img alt=P src=/a.jpg>", "a.jpg"),
        ("<img alt=P src=\"data:image/gif;base64,R0\" data-src=/a.jpg>", "a.jpg"),
        ("<img alt=P src=/blank.gif data-original=/a.jpg>", "a.jpg"),
        ("<img alt=P data-lazy-src=/a.jpg src=/1x1.png>", "a.jpg"),
        ("<img alt=P srcset=\"/s.jpg 320w, /a.jpg 1280w\">", "a.jpg"),
        ("<img alt=P src=/a.jpg srcset=\"/b.jpg 2x\">", "a.jpg"),
        ("<img alt=P data-srcset=\"/s.jpg 1x, /a.jpg 2x\" src=\"data:,\">", "a.jpg"),
        (
            "<picture><source srcset=\"/a.webp 800w, /s.webp 400w\"><img alt=P src=\"data:,\"></picture>",
            "a.webp",
        ),
        ("<img class=lazy src=\"data:,\"><noscript><img alt=P src=/a.jpg></noscript>", "a.jpg"),
        ("<noscript><img alt=P src=/a.jpg></noscript>", "a.jpg"),
        ("<img src=/i/placeholder-wide.svg><noscript><img alt=P src=/a.jpg></noscript>", "a.jpg"),
        ("<amp-img alt=P src=/a.jpg></amp-img>", "a.jpg"),
        ("<img alt=P src=/new-pixel.jpg>", "new-pixel.jpg"),
        ("<img alt=P data-src=/a.jpg><noscript><img alt=P src=/a.jpg></noscript>", "a.jpg"),
    ] {
        assert_eq!(
            html(&format!("<p>A pier</p>{body}")),
            format!("A pier\n\n{}", picture(name)),
            "{body}"
        );
    }
    let pixel = "<p>A pier<noscript><img height=1 width=1 src=/track></noscript>\
        <img src=/t.gif width=1 height=1><img src=/x.png style='display: none'>";
    assert_eq!(html(pixel), "A pier");
}

#[test]
fn xhtml_elements_may_end_with_their_start_tags() {
    let body = "<?xml version=\"1.0\"?><html xmlns=\"http://www.w3.org/1999/xhtml\"><head><title>T</title>\
        <script src=\"a.js\"/><style/></head><body><a id=\"top\"/><p>One <i/>two</p><div/><textarea/>\
        <p><![CDATA[a < b]]></p><h:p xmlns:h=\"x\">three</h:p></body></html>";
    for content_type in ["application/xhtml+xml", "application/xml", "text/xml"] {
        let told = read(page(content_type, body));
        assert_eq!(
            (&told["title"], &told["text"]),
            (&"T".into(), &"One two\n\na < b\n\nthree".into())
        );
    }
    // a browser reads the same text as HTML differently: a script without an end takes the rest
    let text = text(page("text/html", "<p>One<div/>two<a id=x/>three"));
    assert_eq!(text, "One\n\ntwothree");
}

#[test]
fn the_first_base_counts_and_only_one_of_the_web() {
    for (head, expect) in [
        ("<base href=/docs/><base href=/other/>", "https://example.com/docs/a"),
        ("<base target=_top><base href=\"https://x.example/y/z\">", "https://x.example/y/a"),
        ("<base href=\"//cdn.example/v1/\">", "https://cdn.example/v1/a"),
        ("<base href=\"javascript:0\">", "https://example.com/articles/a"),
        ("<!-- <base href=/no/> -->", "https://example.com/articles/a"),
    ] {
        let text = html(&format!("<head>{head}</head><p><a href=a>A</a><img src=a>"));
        assert_eq!(text, format!("[A]({expect})![]({expect})"), "{head}");
    }
}

#[test]
fn deep_pages_keep_their_words_and_their_structure() {
    for depth in [300, 600, 3_000, 800_000] {
        let open = "<div>".repeat(depth);
        let close = "</div>".repeat(depth);
        let text = html(&format!("<p>top</p>{open}<p>a <b>b</b></p>{close}<h2>Below</h2>"));
        assert_eq!(text, "top\n\na **b**\n\n## Below", "{depth}");
    }
}

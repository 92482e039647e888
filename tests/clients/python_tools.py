"""What users of the Python SDK do with the gateway's own tools: each of them, streamed and not.

The pages, services and second gateway that these need are there if `run.py` has started the gateway; else they are skipped.
"""

import asyncio
import contextlib
import io
import json
import os
import re
import urllib.request
from datetime import datetime, timezone

import anthropic
from anthropic import types
from anthropic.types import beta as beta_types

from python_kit import (
    CALL_DATETIME,
    CALL_WEATHER,
    DATETIME,
    KEY,
    Log,
    MAJOR,
    MODEL,
    URL,
    WEATHER,
    ask,
    check,
    follow,
    has,
    kinds,
    new_client,
    raises,
    results,
    same,
    streamed_by,
    text_of,
)

OUTSIDE = os.environ.get("TIDEGATE_OUTSIDE")
OTHER = {"base_url": os.environ.get("TIDEGATE_OTHER_URL")}
EDITED = {"api_key": os.environ.get("TIDEGATE_EDITED_KEY")}

FETCH = {"type": "gateway:web_fetch"}
SEARCH = {"type": "gateway:web_search"}
NATIVE_FETCH = {"type": "web_fetch_20250910", "name": "web_fetch"}
NATIVE_SEARCH = {"type": "web_search_20250305", "name": "web_search"}
ADVISOR = {"type": "gateway:advisor"}
IMAGES = {"type": "gateway:image_generation"}
DONE = " [sim: then] [sim: say that is all]"


# pages with Python code, and the text that it prints below it
PAGES = ["start/sdks.md", "server-tools/answers.md"]


def call(tool, **given):
    """The directive at which the simulator calls this tool."""
    return f"[sim: call {tool} {json.dumps(given)}]"


def fetch(path, **more):
    return call("web_fetch", url=path if "://" in path else OUTSIDE + path, **more)


def both_ways(messages, first, is_typed=True):
    """The answer as it comes whole, and as the SDK puts it together from a stream; both are of the SDK's own types."""
    whole, (_, streamed) = messages.create(**first), streamed_by(messages, first)
    for message in (whole, streamed) if is_typed else ():
        # reading is lenient: this says whether each field is there, and of the type that the SDK has for it
        type(whole).model_validate(message.to_dict(mode="json"))
    same(shape(streamed), shape(whole))
    same(counted(streamed), counted(whole))
    return whole, streamed


def shape(message):
    """The blocks without what is new in each answer: ids, signatures, the time at which a page was read, where a picture is."""
    blocks = [block.to_dict(mode="json", warnings=False) for block in message.content]
    for block in blocks:
        kind = block["type"]
        for name in ("id", "tool_use_id", "signature"):
            block.pop(name, None)
        if kind in ("web_fetch_tool_result", "mcp_tool_result", "text"):
            block.clear()
        block["type"] = kind
    return blocks


def counted(message):
    usage = message.usage
    return usage.input_tokens, usage.output_tokens, usage.server_tool_use and usage.server_tool_use.to_dict()


def goes_on(messages, message, first):
    """The conversation does, with the answer in its history."""
    same(text_of(messages.create(**follow(message, first, "and now?"))), "You said: and now?")
    _, streamed = streamed_by(messages, follow(message, first, "and now?"))
    same(text_of(streamed), "You said: and now?")


def of(message, kind):
    return [block for block in message.content if block.type == kind]


def one(message, kind):
    (only,) = of(message, kind)
    return only


def code_of(block):
    """What the error of a search or a fetch is called."""
    same(block.content.type, f"{block.type}_error")
    return block.content.error_code


def is_answered(message):
    same((message.stop_reason, message.content[-1].type), ("end_turn", "text"))
    same(message.content[-1].text, "that is all")


@check("fetch: a page of HTML, in the API's own blocks, and again in the history")
def _():
    client = new_client()
    first = ask(fetch("/article") + DONE, tools=[FETCH])
    for messages, known in ((client.messages, types), (client.beta.messages, beta_types)):
        prefix = "Beta" if known is beta_types else ""
        for message in both_ways(messages, first):
            same(kinds(message), ["text", "server_tool_use", "web_fetch_tool_result", "text"])
            used, result = message.content[1:3]
            assert isinstance(used, getattr(known, f"{prefix}ServerToolUseBlock")), type(used)
            assert isinstance(result, getattr(known, f"{prefix}WebFetchToolResultBlock")), type(result)
            same((used.name, used.input, result.tool_use_id), ("web_fetch", {"url": f"{OUTSIDE}/article"}, used.id))
            page = result.content
            same((page.type, page.url, page.content.type), ("web_fetch_result", f"{OUTSIDE}/article", "document"))
            has(page.content.title, "Reading a tide table")
            text = page.content.source.data
            has(text, "## What the columns mean")
            has(text, f"[almanac of the harbour office]({OUTSIDE}/almanac/2026)")
            assert any(line.startswith("|") and "06:58" in line for line in text.splitlines()), text
            assert "window.dataLayer" not in text and "Most read" not in text, text
            age = datetime.now(timezone.utc) - datetime.fromisoformat(page.retrieved_at.replace("Z", "+00:00"))
            assert abs(age.total_seconds()) < 60, f"{page.retrieved_at} is not now"
            usage = message.usage.server_tool_use
            same((usage.web_fetch_requests, usage.web_search_requests), (1, 0))
            is_answered(message)
            goes_on(messages, message, first)


@check("fetch: another charset, PDF, JSON, and where a redirect leads")
def _():
    for path, at, part in (
        ("/german", "/german", "sechs Stunden – „nicht kürzer“, sagt der Wärter, und 5 €"),
        ("/table.pdf", "/table.pdf", "High water at the pier\nMon 19 06:12 5.1"),
        ("/data.json", "/data.json", '"heights": [5.1, 5.4]'),
        ("/old", "/article", "## What the columns mean"),
    ):
        for message in both_ways(new_client().messages, ask(fetch(path) + DONE, tools=[FETCH])):
            page = one(message, "web_fetch_tool_result").content
            same(page.url, OUTSIDE + at)
            has(page.content.source.data, part)


@check("fetch: a long page comes in parts, one that never ends is an error")
def _():
    messages = new_client().messages
    tool, parts, cursor = {**FETCH, "max_chars": 30_000}, [], {}
    for n in range(9):
        first = ask(fetch("/book.txt", **cursor) + DONE, tools=[tool])
        message = both_ways(messages, first)[n % 2]
        result = one(message, "web_fetch_tool_result")
        parts.append(result.content.content.source.data)
        # what the API's shape has no place for stands beside it, and the model reads it
        told = result.content.to_dict()["tidegate"]
        same(told["truncated"], "next_cursor" in told and told["next_cursor"] is not None)
        if not told["truncated"]:
            break
        cursor = {"cursor": told["next_cursor"]}
    assert len(parts) == 2 and "Paragraph 999 " in parts[-1], f"{len(parts)} parts"
    # the API has had this code since the newer of these versions
    endless = ask(fetch("/endless.txt") + DONE, tools=[{**FETCH, "max_chars": 1000}])
    for message in both_ways(messages, endless, MAJOR >= 2):
        # the model reads the part that was read; the caller's shape of an error has no place for it
        same(code_of(one(message, "web_fetch_tool_result")), "content_too_large")


@check("fetch: failures are results with the API's codes, and the conversation goes on")
def _():
    messages = new_client().messages
    for tool in (FETCH, NATIVE_FETCH):
        for given, code in (
            (fetch("/no/such/page"), "url_not_accessible"),
            (fetch("http://127.0.0.1:1/"), "url_not_allowed"),
            (fetch("http://127.0.0.2/"), "url_not_allowed"),
            (fetch("http://169.254.169.254/latest/meta-data"), "url_not_allowed"),
            (fetch("http://no-such-host.invalid/"), "url_not_accessible"),
            (fetch("/busy"), "too_many_requests"),
            (fetch("/pixel.png"), "unsupported_content_type"),
            (fetch("/" + "x" * 250), "url_too_long"),
            (fetch("ftp://127.0.0.1/x"), "invalid_tool_input"),
            (call("web_fetch", address="x"), "invalid_tool_input"),
        ):
            first = ask(given + DONE, tools=[tool])
            for message in both_ways(messages, first):
                same((given, code_of(one(message, "web_fetch_tool_result"))), (given, code))
                is_answered(message)
            goes_on(messages, message, first)


@check("fetch: what unpacks to a thousandfold is refused")
def _():
    # the API has had this code since the newer of these versions
    is_typed = MAJOR >= 2
    for message in both_ways(new_client().messages, ask(fetch("/bomb") + DONE, tools=[FETCH]), is_typed):
        block = one(message, "web_fetch_tool_result")
        same(code_of(block), "content_too_large")
        is_answered(message)


@check("fetch: a page that takes too long")
def _():
    first = ask(fetch("/slow") + DONE, tools=[FETCH])
    for message in both_ways(new_client(**OTHER).messages, first):
        same(code_of(one(message, "web_fetch_tool_result")), "url_not_accessible")
        is_answered(message)


@check("fetch: domains of the declaration hold against what the model asks for")
def _():
    for bound in ({"allowed_domains": ["example.com"]}, {"blocked_domains": ["127.0.0.1"]}):
        for tool in (FETCH, NATIVE_FETCH):
            first = ask(fetch("/article") + DONE, tools=[{**tool, **bound}])
            for message in both_ways(new_client().messages, first):
                same(code_of(one(message, "web_fetch_tool_result")), "url_not_allowed")
    both = ask("x", tools=[{**NATIVE_FETCH, "allowed_domains": ["a.example"], "blocked_domains": ["b.example"]}])
    error = raises(anthropic.BadRequestError, lambda: new_client().messages.create(**both))
    has(error.body["error"]["message"], "allowed_domains")


@check("fetch: `max_uses` bounds the conversation, that of the API's own type a request")
def _():
    messages = new_client().messages
    for tool in (FETCH, NATIVE_FETCH):
        first = ask(f"{fetch('/data.json')} [sim: then] {fetch('/german')}{DONE}", tools=[{**tool, "max_uses": 1}])
        for message in both_ways(messages, first):
            used, refused = of(message, "web_fetch_tool_result")
            same((used.content.type, code_of(refused)), ("web_fetch_result", "max_uses_exceeded"))
            is_answered(message)
            again = messages.create(**follow(message, first, fetch("/german") + DONE))
            result = one(again, "web_fetch_tool_result")
            if tool is FETCH:
                same(code_of(result), "max_uses_exceeded")
            else:
                same(result.content.type, "web_fetch_result")
            is_answered(again)


@check("fetch, as the API declares it, in every version")
def _():
    messages = new_client().messages
    for date in ("20250910", "20260209", "20260309", "20260318"):
        tool = {"type": f"web_fetch_{date}", "name": "web_fetch", "citations": {"enabled": True}, "max_content_tokens": 100}
        first = ask(fetch("/book.txt") + DONE, tools=[tool])
        for message in both_ways(messages, first):
            same(kinds(message), ["text", "server_tool_use", "web_fetch_tool_result", "text"])
            document = one(message, "web_fetch_tool_result").content.content
            same((len(document.source.data) <= 400, document.citations.enabled), (True, True))
            same(message.usage.server_tool_use.web_fetch_requests, 1)
            goes_on(messages, message, first)


def shows_search(message, known=types, prefix=""):
    """The blocks of a search of which both services make the same."""
    used, result = one(message, "server_tool_use"), one(message, "web_search_tool_result")
    assert isinstance(used, getattr(known, f"{prefix}ServerToolUseBlock")), type(used)
    assert isinstance(result, getattr(known, f"{prefix}WebSearchToolResultBlock")), type(result)
    same((used.name, used.input, result.tool_use_id), ("web_search", {"query": "tides & moon"}, used.id))
    hits = result.content
    for hit in hits:
        assert isinstance(hit, getattr(known, f"{prefix}WebSearchResultBlock")), type(hit)
        assert hit.encrypted_content, "nothing that leads back to what was found"
    told = [(hit.title, hit.url, hit.page_age) for hit in hits]
    same(told[0], ("Tides, part 0", "https://sea.example/page/0", "2026-01-02T00:00:00"))
    same(told[1], ("Tides, part 1", "https://news.moon.example/page/1", None))
    usage = message.usage.server_tool_use
    same((usage.web_search_requests, usage.web_fetch_requests), (1, 0))
    return hits


@check("search: results in the API's own blocks, and again in the history")
def _():
    for options in ({}, OTHER):
        client = new_client(**options)
        for tool in (SEARCH, NATIVE_SEARCH):
            # without a further directive the answer is what the model was told
            first = ask(call("web_search", query="tides & moon"), tools=[tool])
            for messages, known, prefix in ((client.messages, types, ""), (client.beta.messages, beta_types, "Beta")):
                for message in both_ways(messages, first):
                    same(kinds(message), ["text", "server_tool_use", "web_search_tool_result", "text"])
                    same(len(shows_search(message, known, prefix)), 3)
                    has(text_of(message), "Part 0 & what the moon does")
                    goes_on(messages, message, first)


@check("search, as the API declares it, in every version and with all its options")
def _():
    place = {"type": "approximate", "city": "Kiel", "region": "Holstein", "country": "DE", "timezone": "Europe/Berlin"}
    bounds = {"allowed_domains": ["sea.example", "moon.example"], "max_uses": 3, "user_location": place}
    for options in ({}, OTHER):
        messages = new_client(**options).messages
        for date in ("20250305", "20260209", "20260318"):
            tool = {"type": f"web_search_{date}", "name": "web_search", **bounds}
            for message in both_ways(messages, ask(call("web_search", query="tides & moon") + DONE, tools=[tool])):
                shows_search(message)
                is_answered(message)


@check("search: the declaration bounds what is shown")
def _():
    for tool, count in (
        ({**SEARCH, "max_results": 2}, 2),
        ({**SEARCH, "allowed_domains": ["sea.example"]}, 2),
        ({**NATIVE_SEARCH, "blocked_domains": ["sea.example"]}, 1),
    ):
        first = ask(call("web_search", query="tides & moon") + DONE, tools=[tool])
        for options in ({}, OTHER):
            for message in both_ways(new_client(**options).messages, first):
                same(len(one(message, "web_search_tool_result").content), count)


@check("search: failures are results with the API's codes, and the conversation goes on")
def _():
    for options in ({}, OTHER):
        messages = new_client(**options).messages
        for query, code in (
            ("busy", "too_many_requests"),
            ("broken", "unavailable"),
            ("", "invalid_tool_input"),
            ("x" * 401, "query_too_long"),
        ):
            for tool in (SEARCH, NATIVE_SEARCH):
                first = ask(call("web_search", query=query) + DONE, tools=[tool])
                for message in both_ways(messages, first):
                    same(code_of(one(message, "web_search_tool_result")), code)
                    is_answered(message)
                goes_on(messages, message, first)


@check("search: `max_uses` bounds the conversation, that of the API's own type a request")
def _():
    messages, tides = new_client().messages, call("web_search", query="tides")
    for tool in (SEARCH, NATIVE_SEARCH):
        first = ask(f"{tides} [sim: parallel 2]{DONE}", tools=[{**tool, "max_uses": 1}])
        for message in both_ways(messages, first):
            used, refused = of(message, "web_search_tool_result")
            same((len(used.content), code_of(refused)), (3, "max_uses_exceeded"))
            same([block.id for block in of(message, "server_tool_use")], [used.tool_use_id, refused.tool_use_id])
            is_answered(message)
            again = messages.create(**follow(message, first, tides + DONE))
            result = one(again, "web_search_tool_result")
            if tool is SEARCH:
                same(code_of(result), "max_uses_exceeded")
            else:
                same(len(result.content), 3)


@check("search, fetch and the time in one turn keep their order")
def _():
    client = new_client()
    first = ask(call("web_search", query="x") + fetch("/data.json") + CALL_DATETIME + DONE, tools=[SEARCH, FETCH, DATETIME])
    for message in both_ways(client.beta.messages, first):
        shown = kinds(message)
        same(sorted(shown[1:4]), sorted(["server_tool_use", "server_tool_use", "mcp_tool_use"]))
        same(shown[4:], ["web_search_tool_result", "web_fetch_tool_result", "mcp_tool_result", "text"])
        usage = message.usage.server_tool_use
        same((usage.web_search_requests, usage.web_fetch_requests, usage.to_dict()["datetime_requests"]), (1, 1, 1))
        goes_on(client.beta.messages, message, first)


@check("search and fetch in a history, however the user has kept it")
def _():
    messages = new_client().beta.messages
    asked = call("web_search", query="tides & moon") + fetch("/book.txt") + CALL_DATETIME + call("web_search", query="busy")
    first = ask(asked + DONE, tools=[SEARCH, FETCH, DATETIME])
    for message in both_ways(messages, first):
        counts = []
        for kept in (
            message.content,
            message.to_dict()["content"],
            message.model_dump(mode="json", exclude_none=True)["content"],
            # with a `null` for every member that is not there
            message.model_dump(mode="json")["content"],
        ):
            history = [*first["messages"], {"role": "assistant", "content": kept}, {"role": "user", "content": "and now?"}]
            next_one = {**first, "messages": history}
            same(text_of(messages.create(**next_one)), "You said: and now?")
            del next_one["max_tokens"]
            counts.append(messages.count_tokens(**next_one).input_tokens)
        # what the upstream gets is the same, whatever was left out
        same(counts[1:], [counts[0]] * 3)


@check("search and fetch by force, counted, and with thinking")
def _():
    messages = new_client().messages
    for tool, name in ((SEARCH, "gateway:web_search"), (NATIVE_SEARCH, "web_search"), (NATIVE_FETCH, "web_fetch")):
        first = ask("hello", tools=[tool])
        for choice in ({"type": "tool", "name": name}, {"type": "any", "disable_parallel_tool_use": True}):
            for message in both_ways(messages, {**first, "tool_choice": choice}):
                same((message.stop_reason, len(of(message, "server_tool_use"))), ("end_turn", 1))
        plain = {"model": MODEL, "messages": first["messages"]}
        counts = [messages.count_tokens(**plain, **more).input_tokens for more in ({}, {"tools": [tool]})]
        assert counts[0] < counts[1], counts
    thinking = {"type": "enabled", "budget_tokens": 1024}
    first = ask(call("web_search", query="tides & moon") + DONE, tools=[NATIVE_SEARCH], thinking=thinking, max_tokens=2000)
    for message in both_ways(messages, first):
        same(kinds(message)[:2], ["thinking", "text"])
        assert message.content[0].signature
        shows_search(message)
        goes_on(messages, message, first)


@check("search out of turns: pause_turn, and the conversation goes on")
def _():
    messages = new_client().messages
    first = ask(call("web_search", query="tides") + " [sim: turns 12]", tools=[{**NATIVE_SEARCH, "max_uses": 11}])
    for message in both_ways(messages, first):
        same((message.stop_reason, message.usage.server_tool_use.web_search_requests), ("pause_turn", 10))
        history = [*first["messages"], {"role": "assistant", "content": message.content}]
        for answer in both_ways(messages, {**first, "messages": history}):
            used, refused = of(answer, "web_search_tool_result")
            same((answer.stop_reason, len(used.content), code_of(refused)), ("end_turn", 3, "max_uses_exceeded"))


@check("search of the asynchronous client")
def _():
    first = ask(call("web_search", query="tides & moon") + DONE, tools=[NATIVE_SEARCH])

    async def run():
        async with anthropic.AsyncAnthropic(base_url=new_client().base_url, api_key=KEY) as client:
            async with client.messages.stream(**first) as opened:
                return await client.messages.create(**first), await opened.get_final_message()

    for message in asyncio.run(run()):
        shows_search(message)


@check("server tools and a client tool in one turn, then the client's result")
def _():
    for tools in ([SEARCH, FETCH, WEATHER], [NATIVE_SEARCH, NATIVE_FETCH, WEATHER]):
        messages = new_client().messages
        first = ask(call("web_search", query="tides & moon") + fetch("/data.json") + CALL_WEATHER, tools=tools)
        for message in both_ways(messages, first):
            same((message.stop_reason, one(message, "tool_use").input), ("tool_use", {"city": "Kiel"}))
            same(len(one(message, "web_search_tool_result").content), 3)
            has(one(message, "web_fetch_tool_result").content.content.source.data, "heights")
            second = follow(message, first, results(message, "rain, 7 degrees"))
            for answer in both_ways(messages, second):
                same((answer.stop_reason, kinds(answer)), ("end_turn", ["text"]))
                for part in ("rain, 7 degrees", "Part 1, without a date", "heights"):
                    has(text_of(answer), part)
                goes_on(messages, answer, second)


@check("server tool in a turn before and one behind a client tool")
def _():
    messages = new_client().messages
    asked = f"{fetch('/data.json')} [sim: then] {CALL_WEATHER} [sim: then] {call('web_search', query='tides')}{DONE}"
    first = ask(asked, tools=[FETCH, WEATHER, SEARCH])
    for message in both_ways(messages, first):
        same((message.stop_reason, message.content[-1].type), ("tool_use", "tool_use"))
        second = follow(message, first, results(message, "rain"))
        for answer in both_ways(messages, second):
            same(len(one(answer, "web_search_tool_result").content), 3)
            is_answered(answer)


@check("tool runner with search, fetch and a client tool")
def _():
    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """The weather in a city.

        Args:
            city: Where
        """
        return f"rain in {city}"

    for search, page in ((SEARCH, FETCH), (NATIVE_SEARCH, NATIVE_FETCH)):
        text = f"{call('web_search', query='tides')} {fetch('/data.json')} {CALL_WEATHER}"
        for streamed in (False, True):
            log = Log()
            call_of = ask(text, tools=[get_weather, search, page])
            runner = new_client(log).beta.messages.tool_runner(stream=streamed, **call_of)
            if streamed:
                for turn in runner:
                    for _ in turn:
                        pass
                message = turn.get_final_message()
            else:
                message = runner.until_done()
            same(message.stop_reason, "end_turn")
            for part in ("rain in Kiel", "Part 1, without a date", "heights"):
                has(text_of(message), part)


def mcp_result(message):
    """The result of a tool for which the API has no block of its own."""
    used, result = one(message, "mcp_tool_use"), one(message, "mcp_tool_result")
    assert isinstance(used, beta_types.BetaMCPToolUseBlock), type(used)
    assert isinstance(result, beta_types.BetaMCPToolResultBlock), type(result)
    same((used.server_name, result.tool_use_id), ("gateway", used.id))
    return result.is_error, result.content[0].text


@check("advisor: another model is asked, once unless more is declared")
def _():
    messages = new_client().beta.messages
    first = ask(call("advisor", prompt="is it wise?") + DONE, tools=[ADVISOR])
    for message in both_ways(messages, first):
        same(mcp_result(message), (False, "You said: is it wise?"))
        same(message.usage.server_tool_use.to_dict()["advisor_requests"], 1)
        is_answered(message)
        goes_on(messages, message, first)
    twice = call("advisor", prompt="is it wise?") + " [sim: parallel 2]" + DONE
    for tool, refused in ((ADVISOR, 1), ({**ADVISOR, "max_uses": 2}, 0)):
        for message in both_ways(messages, ask(twice, tools=[tool])):
            same(sum(bool(block.is_error) for block in of(message, "mcp_tool_result")), refused)


@check("advisor: reads the conversation if it is declared so")
def _():
    messages = new_client().beta.messages
    tool = {**ADVISOR, "forward_transcript": True, "instructions": "You are kind.", "max_tokens": 500}
    # the other model reads the directive as well: it is for the first one only
    question = call("advisor", prompt="which colour?").replace("[sim:", "[sim@sim-1:")
    first = ask(f"the boat is blue {question}", tools=[tool])
    for message in both_ways(messages, first):
        is_error, text = mcp_result(message)
        same(is_error, False)
        has(text, "the boat is blue")


@check("advisor: what it may not ask, and a model that fails, are results")
def _():
    messages = new_client().beta.messages
    for given, tool, part in (
        ("why?", {**ADVISOR, "model": MODEL}, "not_granted"),
        ("[sim: error 529]", ADVISOR, "overloaded_error"),
    ):
        first = ask(call("advisor", prompt=given) + DONE, tools=[tool])
        for message in both_ways(messages, first):
            is_error, text = mcp_result(message)
            same(is_error, True)
            has(text, part)
            is_answered(message)
            goes_on(messages, message, first)


@check("images: the picture is where the result says")
def _():
    messages = new_client().beta.messages
    for shown in (False, True):
        first = ask(call("image_generation", prompt="a calm sea") + DONE, tools=[{**IMAGES, "show_model": shown}])
        for message in both_ways(messages, first):
            is_error, text = mcp_result(message)
            same(is_error, False)
            told = json.loads(text)
            same((told["media_type"], told["revised_prompt"]), ("image/png", "a calm sea, in oil"))
            with urllib.request.urlopen(told["url"], timeout=10) as answer:
                same((answer.headers["content-type"], answer.read()[:8]), ("image/png", b"\x89PNG\r\n\x1a\n"))
            same(message.usage.server_tool_use.to_dict()["image_generation_requests"], 1)
            goes_on(messages, message, first)


@check("images: a refusal is a result in the endpoint's words")
def _():
    messages = new_client().beta.messages
    first = ask(call("image_generation", prompt="something forbidden") + DONE, tools=[IMAGES])
    for message in both_ways(messages, first):
        is_error, text = mcp_result(message)
        same(is_error, True)
        has(text, "that cannot be painted")
        is_answered(message)
    wrong = ask("x", tools=[{**IMAGES, "output_format": "bmp"}])
    error = raises(anthropic.BadRequestError, lambda: new_client().beta.messages.create(**wrong))
    has(error.body["error"]["message"], '`tools[0].output_format` must be one of `"png"`, `"jpeg"`, `"webp"`')


@check("datetime: the time zones that the declaration pins")
def _():
    messages = new_client().beta.messages
    for tool, zones in (
        (DATETIME, ["Asia/Tokyo"]),
        ({**DATETIME, "timezone": "Europe/Berlin"}, ["Europe/Berlin"]),
        ({**DATETIME, "timezones": ["UTC", "Asia/Kolkata"]}, ["UTC", "Asia/Kolkata"]),
    ):
        for message in both_ways(messages, ask(CALL_DATETIME + DONE, tools=[tool])):
            _, text = mcp_result(message)
            same([zone["timezone"] for zone in json.loads(text)["timezones"]], zones)


def strictly(value):
    return {"extra_headers": {"x-tidegate-strictness": value}} if value else {}


@check("strictness: what a target does not understand is dropped and named")
def _():
    messages = new_client().messages
    first = {**ask("hello", model="narrow"), "extra_body": {"top_k": 5}}
    for value, named in ((None, "top_k"), ("warn", "top_k"), ("off", None)):
        for streamed in (False, True):
            answer = messages.with_raw_response.create(**first, **strictly(value), stream=streamed)
            same((value, answer.headers.get("x-tidegate-dropped")), (value, named))
            same(answer.headers["x-tidegate-target"], "sim/sim-1")
            if not streamed:
                same(text_of(answer.parse()), "You said: hello")
    # in the body as well
    asked = {"top_k": 5, "gateway": {"strictness": "off"}}
    answer = messages.with_raw_response.create(**ask("hello", model="narrow"), extra_body=asked)
    same(answer.headers.get("x-tidegate-dropped"), None)


@check("strictness: under `error` it is a 400 that names it")
def _():
    first = {**ask("hello", model="narrow"), "extra_body": {"top_k": 5}, **strictly("error")}
    for streamed in (False, True):
        error = raises(anthropic.BadRequestError, lambda: new_client().messages.create(**first, stream=streamed))
        same(error.body["error"]["type"], "invalid_request_error")
        has(error.body["error"]["message"], "top_k")
        has(error.body["error"]["message"], "sim/sim-1")
    # nothing that it lacks: nothing to refuse
    same(text_of(new_client().messages.create(**ask("hello", model="narrow"), **strictly("error"))), "You said: hello")


@check("strictness: a tool that the target lacks is run by the gateway, and not dropped")
def _():
    first = ask(call("web_search", query="tides & moon") + DONE, model="narrow", tools=[NATIVE_SEARCH])
    for value in (None, "error"):
        for message in both_ways(new_client().messages, {**first, **strictly(value)}):
            shows_search(message)


@check("rewrite: the upstream has what the stage made of the request")
def _():
    client = new_client(**EDITED)
    first = {**ask("[sim: words 400]"), "extra_body": {"max_output_tokens": 900}}
    for message in both_ways(client.messages, first):
        same((message.stop_reason, message.usage.output_tokens), ("max_tokens", 50))
    for message in both_ways(client.messages, ask("a quiet harbour gate")):
        same((message.stop_reason, message.stop_sequence, text_of(message)), ("stop_sequence", "harbour", "You said: a quiet "))
    # nobody else's
    same(text_of(new_client().messages.create(**ask("a quiet harbour gate"))), "You said: a quiet harbour gate")


@check("the code on the pages prints what the pages show")
def _():
    for name in PAGES:
        with open(os.path.join(os.environ["TIDEGATE_DOCS"], name), encoding="utf-8") as file:
            found = re.findall(r"^```python\n(.*?)^```\n```text\n(.*?)^```$", file.read(), re.DOTALL | re.MULTILINE)
        assert found, f"{name} has no code"
        space = {}
        for code, shown in found:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(code.replace("http://127.0.0.1:4000", URL).replace('"any"', json.dumps(KEY)), space)
            same(printed.getvalue(), shown)

"""Scenarios of Chat Completions: deviations of streams (upstreams.md 1.8), reasoning (1.5) and connections."""

from .chat_answers import BOTH, CALLED, TOOL
from .chat_parts import *
from .scenario import NO_USAGE, Scenario, breaks, means, refused, table
from .wire import EVENTS, Reply, compact

SAYS = means(HELLO, usage=SPENT)
BIG = "x" * 10_000_000
HTML = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
THOUGHT = means(("thinking", "Let me see."), HELLO, usage=SPENT)
DETAILS = [{"type": "reasoning.text", "text": "Let me see.", "signature": "c2ln", "format": "x", "id": "r1", "index": 0}]
BUSY = {"message": "the provider is busy", "type": "server_error", "code": 503}


def variant(name, says, *events, meaning=SAYS, odd="", flavor="", **more):
    """Exactly these events after one another."""
    return Scenario(name, "1.8", says, meaning, stream=raw(*events, **more), odd=odd, flavor=flavor)


def plain(*before, role=ROLE, text=TEXT, tail=(ended("stop"), USED, DONE)):
    return [*before, role, *text, *tail]


def roles(name, says, role, odd=""):
    return variant(name, says, *(x for x in [role, *TEXT, ended("stop"), USED, DONE] if x), odd=odd)


def thought(name, says, fields, details=None, flavor="", meaning=THOUGHT):
    """Reasoning in these fields, whole and in two pieces."""
    extra = {"reasoning_details": details} if details else {}
    halves = [chunk({field: text for field in fields} | (extra if text == "Let me" else {})) for text in ("Let me", " see.")]
    return Scenario(
        name, "1.8", says, meaning, answer(message(**{field: "Let me see." for field in fields}, **extra)),
        stream(*halves, *TEXT, ended("stop")), flavor=flavor, odd="OpenAI has no field for reasoning",
    )


def calls(name, says, *chunks, meaning=TOOL, odd="", finish="tool_calls", row="1.8"):
    return Scenario(name, row, says, meaning, stream=stream(*chunks, ended(finish)), odd=odd)


def failing(name, says, *events, words=("the provider is busy",), error=("overloaded_error", "api_error")):
    """An error in the stream, before all content and after some."""
    first = Scenario(f"{name}-first", "1.8", f"{says}, before the first content", refused((502, 503, 529), error, *words),
                     stream=raw(ROLE, *events), odd="an error with status 200")
    later = Scenario(f"{name}-later", "1.8", f"{says}, after content", breaks(error, *words, blocks=[("text", "Hel")]),
                     stream=raw(ROLE, said("Hel"), *events), odd="an error with status 200")
    return first, later


def written(name, says, meaning, odd="", row="1.8", **more):
    """A plain stream, written in another way."""
    return Scenario(name, row, says, meaning, stream=raw(*plain(), **more), odd=odd)


STREAMS = table(
    variant("azure-first-chunk", "a first chunk without choices", *plain({
        "id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": [
            {"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}}}]}),
        flavor="azure", odd="an object without a name"),
    roles("role-empty-content", "the role comes with an empty text", chunk({"role": "assistant", "content": ""})),
    roles("role-none", "no role at all", None),
    roles("role-empty", "a role \"\"", chunk({"role": "", "content": ""}), odd="OpenAI knows this role not"),
    roles("role-other", "a role that is not the assistant", chunk({"role": "model"}), odd="OpenAI knows this role not"),
    variant("role-always", "the role in every chunk", ROLE, chunk({"role": "assistant", "content": "Hello"}),
            chunk({"role": "assistant", "content": " there."}), chunk({"role": "assistant"}, "stop"), USED, DONE),
    variant("comments", "comments between the events", ": OPENROUTER PROCESSING", ROLE, ":", TEXT[0], ": ping", TEXT[1],
            ended("stop"), USED, DONE),
    variant("event-lines", "events with names, ids and retry lines", *plain(
        text=["id: 7\nretry: 100\ndata: " + compact(said("")), ("message", TEXT[0]), ("annotations", {"annotations": []}), TEXT[1]]), odd="OpenAI has no such event"),
    written("no-space", "data: without a space", SAYS, space=""),
    written("crlf", "lines end with CR LF", SAYS, newline="\r\n"),
    written("lone-cr", "lines end with CR", SAYS, newline="\r"),
    written("bom", "a byte order mark", SAYS, before=b"\xef\xbb\xbf"),
    variant("data-lines", "an event of several data lines", ROLE, *(
        "data: " + text.replace('"choices"', '\ndata: "choices"', 1) for text in map(compact, TEXT)),
            ended("stop"), USED, DONE),
    written("bytes", "a write for each byte", SAYS, cutting="bytes", row="8.2"),
    written("bytes-crlf", "a write for each byte, lines end with CR LF", SAYS, cutting="bytes", newline="\r\n", row="8.2"),
    written("one-write", "everything in one write", SAYS, cutting="one", row="7 line 48b"),
    written("sevens", "writes of seven bytes", SAYS, cutting=7, row="7 line 55"),
    Scenario("unicode", "8.2", "characters of several bytes, cut in the middle",
             means(("text", "für 5 € 🦀\u2028„so“"), usage=SPENT), answer(message("für 5 € 🦀\u2028„so“")),
             raw(ROLE, said("für 5"), said(" € 🦀"), said("\u2028„so“"), ended("stop"), USED, DONE, cutting="bytes")),
    Scenario("big", "8.2", "one chunk of 10 MB", means(("text", BIG), usage=SPENT), answer(message(BIG)),
             stream(said(BIG), ended("stop"))),
    Scenario("many", "8.2", "5000 chunks", means(("text", "word " * 5000), usage=SPENT),
             stream=stream(*[said("word ")] * 5000, ended("stop"), cutting=4096)),
    # errors inside a 200
    *failing("error-event", "an error alone", {"error": BUSY}),
    *failing("error-choices", "an error beside choices", {**chunk({"content": ""}, "error"), "error": BUSY}),
    *failing("error-string", "an error as a string", {"error": "the provider is busy"}),
    *failing("error-named", "event: error", ("error", {"error": BUSY})),
    *failing("error-named-plain", "event: error with a bare text", ("error", "the provider is busy")),
    *failing("error-groq", "x_groq.error", {**chunk({}), "x_groq": {"error": "the provider is busy"}}),
    *failing("error-then-end", "an error and a normal end after it", {"error": BUSY}, ended("stop"), USED, DONE),
    *failing("error-no-json", "an event that is no JSON", 'data: {"id": "chatcmpl-9", "choi', words=(), error=("api_error",)),
    # usage and the end
    variant("usage-with-finish", "usage beside the finish reason", ROLE, *TEXT, {**ended("stop"), "usage": USAGE}, DONE),
    variant("usage-always", "usage in every chunk, growing", ROLE, *(
        {**one, "usage": {"prompt_tokens": 20, "completion_tokens": n, "total_tokens": 20 + n}}
        for n, one in enumerate([*TEXT, ended("stop")], 1)), USED, DONE),
    variant("usage-groq", "usage in x_groq", ROLE, *TEXT, {**ended("stop"), "x_groq": {"id": "req_1", "usage": USAGE}}, DONE,
            odd="OpenAI has no x_groq"),
    variant("usage-after-done", "no [DONE], usage last", ROLE, *TEXT, ended("stop"), USED),
    variant("no-done", "no usage and no [DONE]", ROLE, *TEXT, ended("stop"), meaning=means(HELLO, usage=NO_USAGE)),
    variant("finish-twice", "the finish reason twice", ROLE, *TEXT, ended("stop"), ended("length"), USED, DONE,
            odd="the SDK takes the last one"),
    variant("content-after-finish", "content after the finish reason", ROLE, *TEXT, ended("stop"), said(" More."), USED, DONE,
            odd="the SDK takes the late text"),
    variant("nulls", "every key is there, with null", *(
        {**one, "usage": None, "choices": [{**one["choices"][0], "delta": {
            "role": None, "content": None, "refusal": None, "tool_calls": None, "function_call": None, "reasoning": None,
            "reasoning_content": None, **one["choices"][0]["delta"]}}]} for one in (ROLE, *TEXT, ended("stop"))),
        {**USED, "choices": None}, DONE, odd="choices are required"),
    variant("extras", "fields of other servers", ROLE, *(
        {**one, "system_fingerprint": "fp", "service_tier": "default", "obfuscation": "aB3", "provider": "P", "timings": {},
         "nvext": {}} for one in TEXT), {**ended("stop", choice={"native_finish_reason": "STOP", "logprobs": None})},
        {**USED, "timings": {"prompt_n": 20}}, DONE),
    # reasoning
    thought("reasoning", "reasoning under reasoning (vLLM, Groq)", ["reasoning"]),
    thought("reasoning-content", "reasoning under reasoning_content", ["reasoning_content"]),
    thought("reasoning-both", "the same reasoning under both names counts once", ["reasoning", "reasoning_content"]),
    thought("reasoning-details", "reasoning and reasoning_details (OpenRouter)", ["reasoning"], DETAILS, "openrouter"),
    thought("reasoning-deepseek", "reasoning of DeepSeek", ["reasoning_content"], flavor="deepseek"),
    Scenario("reasoning-tool", "1.8", "reasoning, then a call", means(("thinking", "Let me see."), WEATHER, stop="tool_use", usage=SPENT),
             answer(message(None, [tool("call_1", "get_weather", PARIS)], reasoning_content="Let me see."), "tool_calls"),
             stream(chunk({"content": None, "reasoning_content": "Let me"}), chunk({"reasoning_content": " see.", "content": None}),
                    chunk({"content": "", "reasoning_content": None}), *CALLED), odd="OpenAI has no field for reasoning"),
    Scenario("interleaved", "1.8", "reasoning, text, reasoning, a call: a block for each",
             means(("thinking", "One."), HELLO, ("thinking", "Two."), WEATHER, stop="tool_use", usage=SPENT),
             stream=stream(chunk({"reasoning": "One."}), *TEXT, chunk({"reasoning": "Two."}), *CALLED),
             odd="OpenAI has no field for reasoning"),
    # calls
    calls("index-missing", "calls without an index", call(..., "call_1", "get_weather"), piece(..., PARIS, id="call_1"),
          call(..., "call_2", "get_time"), piece(..., UTC, id="call_2"), meaning=BOTH, odd="an index is required"),
    calls("index-and-id-missing", "later pieces have neither index nor id", call(..., "call_1", "get_weather"), piece(..., PARIS),
          call(..., "call_2", "get_time"), piece(..., UTC), meaning=BOTH, odd="an index is required"),
    calls("index-null", "index null", call(None, "call_1", "get_weather"), piece(None, PARIS, id="call_1"),
          call(None, "call_2", "get_time"), piece(None, UTC, id="call_2"), meaning=BOTH, odd="an index is required"),
    calls("index-from-one", "the index starts at 1", call(1, "call_1", "get_weather"), piece(1, PARIS)),
    calls("index-jumps", "the index jumps", call(3, "call_1", "get_weather"), piece(3, PARIS), call(9, "call_2", "get_time"),
          piece(9, UTC), meaning=BOTH),
    calls("index-all-zero", "two calls with index 0 and different ids", call(0, "call_1", "get_weather", PARIS),
          call(0, "call_2", "get_time", UTC), meaning=BOTH, odd="the SDK merges them"),
    calls("id-empty", "ids \"\"", call(0, "", "get_weather"), piece(0, PARIS), call(1, "", "get_time"), piece(1, UTC), meaning=BOTH),
    calls("id-always", "the id and the name in every piece", call(0, "call_1", "get_weather", '{"city":'),
          call(0, "call_1", "get_weather", '"Paris"}'), odd="the SDK appends the name"),
    calls("id-later", "the id comes after the name", call(0, ..., "get_weather"), piece(0, '{"city":', id="call_1"),
          piece(0, '"Paris"}')),
    calls("name-null", "the name is \"\" or null later", call(0, "call_1", "get_weather"), call(0, "call_1", "", '{"city":'),
          call(0, None, None, '"Paris"}')),
    calls("name-late", "the name comes after the first arguments", call(0, "call_1", ..., '{"city":'),
          call(0, ..., "get_weather", '"Paris"}')),
    calls("name-split", "the name in two pieces", call(0, "call_1", "get_", ...), call(0, ..., "weather", ...), piece(0, PARIS)),
    calls("whole-call", "the whole call in one chunk", call(0, "call_1", "get_weather", PARIS)),
    calls("two-in-a-chunk", "two calls in one chunk", chunk({"tool_calls": [
        {"index": n, **tool(f"call_{n}", name, text)} for n, name, text in ((0, "get_weather", PARIS), (1, "get_time", UTC))]}),
          meaning=BOTH),
    calls("two-in-a-chunk-no-index", "two calls in one chunk, without an index", chunk({"tool_calls": [
        tool("call_1", "get_weather", PARIS), tool("call_2", "get_time", UTC)]}), meaning=BOTH, odd="an index is required"),
    calls("no-arguments", "a call that never gets arguments", call(0, "call_1", "ring", ...),
          meaning=means(NOW, stop="tool_use", usage=SPENT)),
    calls("interleaved-calls", "the pieces of two calls alternate", call(0, "call_1", "get_weather"), call(1, "call_2", "get_time"),
          piece(0, '{"city":'), piece(1, '{"zone":'), piece(0, '"Paris"}'), piece(1, '"UTC"}'), meaning=BOTH),
    calls("empty-content-inside", "empty content between the pieces of a call", CALLED[0], said(""), CALLED[1], said(""),
          CALLED[2], row="7 line 37"),
    calls("number-spelling", "numbers keep their spelling", call(0, "call_1", "get_weather"), piece(0, '{"n":1.50,"big":12345678901234567890}'),
          meaning=means(("tool_use", "get_weather", {"n": 1.5, "big": 12345678901234567890}), stop="tool_use", usage=SPENT)),
    calls("text-between-calls", "text between two calls", *CALLED[:-1], said("And"), call(1, "call_2", "get_time"), piece(1, UTC),
          meaning=means(WEATHER, ("text", "And"), TIME, stop="tool_use", usage=SPENT)),
    # connections
    Scenario("cut-first", "1.7", "the connection closes before any content", refused(502, "api_error"),
             stream=raw(ROLE, ending="cut"), odd="a cut connection"),
    Scenario("cut-clean-first", "1.7", "the stream ends before any content", refused(502, "api_error"),
             stream=raw(ROLE), odd="no finish reason"),
    Scenario("cut-clean", "1.7", "the stream ends without a finish reason", breaks("api_error", blocks=[HELLO]),
             stream=raw(ROLE, *TEXT), odd="no finish reason"),
    Scenario("cut", "1.7", "the connection closes after content", breaks("api_error", blocks=[HELLO]),
             stream=raw(ROLE, *TEXT, ending="cut"), odd="a cut connection"),
    Scenario("cut-in-event", "1.7", "the connection closes in the middle of an event", breaks("api_error", blocks=[("text", "Hello")]),
             stream=Reply((*raw(ROLE, TEXT[0]).pieces, b'data: {"id": "chatc'), kind=EVENTS, ending="cut"), odd="a cut connection"),
    Scenario("cut-tool", "1.7", "the connection closes in the middle of a call", breaks("api_error", blocks=[("tool_use", "get_weather", ...)]),
             stream=raw(ROLE, *CALLED[:2], ending="cut"), odd="a cut connection"),
    Scenario("reset", "1.7", "a reset after content", breaks("api_error", blocks=[HELLO]),
             stream=raw(ROLE, *TEXT, 0.2, ending="reset"), odd="a reset connection"),
    Scenario("reset-first", "1.7", "a reset before any byte", refused(502, "api_error"), whole(b"", ending="reset"),
             raw(ending="reset"), odd="a reset connection"),
    Scenario("cut-whole", "1.7", "a whole answer is cut", refused(502, "api_error"),
             whole(compact(completion())[:80], ending="cut"), odd="a cut connection"),
    Scenario("stall", "1.7", "silence after content", breaks(("timeout_error", "api_error"), blocks=[HELLO]),
             stream=raw(ROLE, *TEXT, ending="stall"), odd="silence"),
    Scenario("stall-first", "1.7", "silence before any content", refused((502, 504), ("timeout_error", "api_error")),
             stream=raw(ending="stall"), odd="silence"),
    Scenario("html", "1.10", "a page of a proxy with status 200", refused(502, "api_error"),
             whole(HTML, kind="text/html"), whole(HTML, kind="text/html"), odd="no JSON"),
    Scenario("empty-body", "1.10", "an empty body with status 200", refused(502, "api_error"),
             whole(b""), whole(b"", kind=EVENTS), odd="no JSON"),
    Scenario("wrong-shape", "4.9", "JSON of another kind with status 200", refused(502, "api_error"),
             whole({"Output": {"__type": "com.amazon.coral.service#UnknownOperationException"}, "Version": "1.0"}),
             whole({"Output": {"__type": "com.amazon.coral.service#UnknownOperationException"}, "Version": "1.0"}), odd="no answer"),
    Scenario("kind-parameters", "1.8", "content types with parameters, in capitals", SAYS, whole(completion(), kind="Application/JSON; Charset=UTF-8"),
             raw(*plain(), kind="Text/Event-Stream; charset=utf-8")),
    Scenario("json-for-stream", "1.8", "JSON although a stream was requested", SAYS, stream=answer(), odd="no events"),
    Scenario("json-for-stream-tool", "1.8", "JSON with a call although a stream was requested", TOOL,
             stream=answer(message(None, [tool("call_1", "get_weather", PARIS)]), "tool_calls"), odd="no events"),
    Scenario("json-error-for-stream", "1.8", "a JSON error with status 200 although a stream was requested",
             refused((502, 503, 529), ("overloaded_error", "api_error"), "the provider is busy"), stream=whole({"error": BUSY}), odd="no events"),
    Scenario("stream-for-json", "1.8", "a stream although JSON was requested", SAYS, whole=raw(*plain()), odd="no JSON"),
    Scenario("stream-for-json-tool", "1.8", "a stream with a call although JSON was requested", TOOL,
             whole=stream(*CALLED), odd="no JSON"),
)

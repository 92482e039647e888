"""The fake of the Responses API: scenarios of upstreams.md 2.4 to 2.6, and the paths."""

import re

from .chat import bearer, azure_key, refusal
from .chat_errors import ERRORS
from .dialogues import sample
from .responses_judge import judge, judge_count
from .responses_parts import *
from .scenario import Scenario, breaks, means, refused, table
from .server import counted, play
from .wire import whole

PATH = re.compile(r"/(openai|openrouter|groq|vllm|ollama|generic)/v1/responses(/input_tokens)?|/(azure)/openai/v1/responses")
COUNT = 4242
SAYS = means(HELLO, usage=SPENT)
TOOL = means(WEATHER, stop="tool_use", usage=SPENT)
TEXT = message(text_part("Hello there."))
NOTE = {"type": "url_citation", "url": "https://sea.example/", "title": "Sea", "start_index": 0, "end_index": 5}
REFUSAL = "I cannot help with that."


def both(name, row, says, expect, *output, status="completed", odd="", **more):
    return Scenario(name, row, says, expect, answer(*output, status=status, **more), stream(*output, status=status, **more), odd=odd)


def failed_code(code, kind, status):
    """`response.failed` with this code: before content, and after."""
    error = {"code": code, "message": f"words of {code}"}
    last = {"type": "response.failed", "response": response(status="failed", error=error, usage=None)}
    first = Scenario(f"failed-{code.replace('_', '-')}", "2.5", f"response.failed with {code}", refused(status, kind, f"words of {code}"),
                     answer(status="failed", error=error, usage=None), raw(*begun(), last), odd="an error")
    later = Scenario(f"failed-{code.replace('_', '-')}-later", "2.5", f"response.failed with {code} after content",
                     breaks(kind, f"words of {code}", blocks=[("text", "Hello there.")]),
                     stream=raw(*events_of(TEXT)[:-1], last), odd="an error")
    return first, later


def without(keys, events):
    """The same events without these keys (other servers leave them out)."""
    return [{k: v for k, v in event.items() if k not in keys} for event in events]


def bare(events, named=True):
    """Events without sequence numbers."""
    return sse([(event["type"], event) if named else event for event in events])


OVERLAP = [
    *begun(),
    {"type": "response.output_item.added", "output_index": 0, "item": call(arguments="", status="in_progress")},
    {"type": "response.output_item.added", "output_index": 1, "item": call("call_2", "get_time", "", "fc_2", "in_progress")},
    {"type": "response.function_call_arguments.delta", "output_index": 0, "item_id": "fc_1", "delta": '{"city":'},
    {"type": "response.function_call_arguments.delta", "output_index": 1, "item_id": "fc_2", "delta": '{"zone":'},
    {"type": "response.function_call_arguments.delta", "output_index": 0, "item_id": "fc_1", "delta": '"Paris"}'},
    {"type": "response.function_call_arguments.delta", "output_index": 1, "item_id": "fc_2", "delta": '"UTC"}'},
    {"type": "response.function_call_arguments.done", "output_index": 1, "item_id": "fc_2", "arguments": UTC, "name": "get_time"},
    {"type": "response.output_item.done", "output_index": 1, "item": call("call_2", "get_time", UTC, "fc_2")},
    {"type": "response.function_call_arguments.done", "output_index": 0, "item_id": "fc_1", "arguments": PARIS, "name": "get_weather"},
    {"type": "response.output_item.done", "output_index": 0, "item": call()},
    {"type": "response.completed", "response": response(call(), call("call_2", "get_time", UTC, "fc_2"))},
]
# ids that differ between added and done (vercel/ai #18548)
CHANGING = [
    {**event, **({"item_id": f"other_{n}"} if "item_id" in event else {}),
     **({"item": {**event["item"], "id": f"fc_{n}"}} if "item" in event else {})}
    for n, event in enumerate(events_of(call()))
]
NO_DELTAS = [event for event in events_of(call()) if not event["type"].endswith("arguments.delta")]
EARLY_ERROR = {"type": "error", "code": "server_error", "message": "the provider fell over", "param": None}

OWN = table(
    both("text", "2.4", "a plain text", SAYS, TEXT),
    both("tool", "2.4", "one call of a tool", TOOL, call()),
    both("reasoning-text-tool", "2.4", "reasoning, text and a call",
         means(("thinking", "Let me see."), HELLO, WEATHER, stop="tool_use", usage=SPENT), reasoning("Let me see."), TEXT, call()),
    both("reasoning-parts", "2.4", "a summary of two parts", means(("thinking", "One.\n\nTwo."), HELLO, usage=SPENT), reasoning("One.", "Two."), TEXT),
    both("reasoning-empty", "2.3", "reasoning without a summary is a block all the same", means(("thinking", ""), WEATHER, stop="tool_use", usage=SPENT),
         reasoning(), call()),
    both("reasoning-raw", "2.4", "raw reasoning of an open model", means(("thinking", "Let me see."), HELLO, usage=SPENT),
         reasoning(sealed=None, content="Let me see."), TEXT),
    both("parallel-tools", "2.4", "two calls", means(WEATHER, TIME, stop="tool_use", usage=SPENT), call(), call("call_2", "get_time", UTC, "fc_2")),
    both("two-parts", "2.4", "a message of two parts", means(("text", "Hello"), ("text", " there."), usage=SPENT),
         message(text_part("Hello"), text_part(" there."))),
    both("refusal", "2.4", "a refusal", means(("text", REFUSAL), stop="refusal", usage=SPENT), message(refusal_part(REFUSAL))),
    both("phase", "2.1", "a commentary and a final answer", means(("text", "Looking."), HELLO, usage=SPENT),
         message(text_part("Looking."), id="msg_1", phase="commentary"), message(text_part("Hello there."), id="msg_2", phase="final_answer")),
    both("annotation", "2.5", "a text with an annotation keeps its text", SAYS, message(text_part("Hello there.", [NOTE]))),
    both("nothing", "2.5", "an answer without content has no blocks", means(usage=SPENT)),
    both("no-arguments", "7 line 28", "a call without arguments", means(("tool_use", "ring", {}), stop="tool_use", usage=SPENT), call(name="ring", arguments="{}")),
    both("empty-arguments", "7 line 28", "arguments \"\"", means(("tool_use", "ring", {}), stop="tool_use", usage=SPENT), call(name="ring", arguments="")),
    both("incomplete", "2.5", "cut by max_output_tokens", means(("text", "Hello there."), stop="max_tokens", usage=SPENT), TEXT, status="incomplete",
         incomplete_details={"reason": "max_output_tokens"}),
    both("incomplete-filter", "2.5", "cut by the content filter", means(HELLO, stop="refusal", usage=SPENT), TEXT, status="incomplete",
         incomplete_details={"reason": "content_filter"}),
    both("incomplete-unknown", "2.5", "cut for an unknown reason", means(HELLO, usage=SPENT), TEXT, status="incomplete",
         incomplete_details={"reason": "steered"}),
    Scenario("incomplete-tool", "2.5", "half a call, cut by max_output_tokens", means(HELLO, stop="max_tokens", usage=SPENT),
             answer(TEXT, call(arguments='{"city":"Pa', status="incomplete"), status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
             odd="no JSON"),
    both("no-usage", "2.5", "usage null", means(HELLO, usage="estimated"), TEXT, usage=None),
    *(one for code, kind, status in [
        ("rate_limit_exceeded", "rate_limit_error", 429), ("server_error", "api_error", (500, 502)),
        ("vector_store_timeout", "api_error", (500, 502)), ("invalid_prompt", "invalid_request_error", 400),
        ("invalid_image", "invalid_request_error", 400), ("image_too_large", "invalid_request_error", 400),
        ("data_residency_mismatch", "invalid_request_error", 400), ("unheard_of", "api_error", (500, 502))]
      for one in failed_code(code, kind, status)),
    Scenario("failed-bio-policy", "2.5", "a policy's refusal", means(stop="refusal"),
             answer(status="failed", error={"code": "bio_policy", "message": "not this"}, usage=None),
             raw(*begun(), {"type": "response.failed", "response": response(status="failed", usage=None, error={"code": "bio_policy", "message": "not this"})}),
             odd="an error"),
    Scenario("cancelled", "2.5", "a cancelled answer", refused(502, "api_error"), answer(status="cancelled"), odd="an answer that is not complete"),
    Scenario("in-progress", "2.5", "an answer still in progress", refused(502, "api_error"), answer(status="in_progress"), odd="an answer that is not complete"),
    Scenario("error-event", "2.4", "an error event before content", refused((500, 502), "api_error", "the provider fell over"), stream=raw(*begun(), EARLY_ERROR), odd="an error"),
    Scenario("error-event-nested", "2.4", "an error event that nests its error", refused((429, 502), ("rate_limit_error", "api_error"), "slow down"),
             stream=raw(*begun(), {"type": "error", "error": {"type": "rate_limit_error", "code": "rate_limit_exceeded", "message": "slow down"}}), odd="an error"),
    Scenario("error-event-later", "2.4", "an error event after content", breaks("api_error", "the provider fell over", blocks=[("text", "Hello there.")]),
             stream=raw(*events_of(TEXT)[:-1], EARLY_ERROR), odd="an error"),
    Scenario("overlap", "2.4", "two calls whose pieces alternate", means(WEATHER, TIME, stop="tool_use", usage=SPENT), stream=raw(*OVERLAP)),
    Scenario("changing-ids", "7 line 56", "ids of items that change", TOOL, stream=raw(*CHANGING)),
    Scenario("no-deltas", "2.4", "arguments only at the end", TOOL, stream=raw(*NO_DELTAS)),
    Scenario("no-sequence", "2.6", "no sequence numbers (llama.cpp, aimock)", TOOL, stream=bare(events_of(call())), odd="OpenAI numbers its events"),
    Scenario("no-index", "2.6", "no output_index and content_index (llama.cpp)", means(HELLO, WEATHER, stop="tool_use", usage=SPENT),
             stream=bare(without({"output_index", "content_index"}, events_of(TEXT, call()))), odd="OpenAI numbers its items"),
    Scenario("no-index-no-id", "2.6", "neither indexes nor item ids: the open item counts", means(HELLO, WEATHER, stop="tool_use", usage=SPENT),
             stream=bare(without({"output_index", "content_index", "item_id"}, events_of(TEXT, call()))), odd="OpenAI numbers its items"),
    Scenario("no-names", "2.4", "events without event: lines", SAYS, stream=bare(events_of(TEXT), named=False), odd="OpenAI numbers its events"),
    Scenario("done-line", "2.4", "a [DONE] at the end", SAYS, stream=raw(*events_of(TEXT), "data: [DONE]")),
    Scenario("unknown-events", "2.4", "unknown events and keep-alives are ignored", SAYS, stream=raw(
        begun()[0], ": ping", {"type": "keepalive"}, {"type": "response.queued", "response": response(status="queued", usage=None)},
        *events_of(TEXT)[1:-1], {"type": "response.compaction.compacting", "item_id": "c"}, events_of(TEXT)[-1]), odd="OpenAI has no such events"),
    Scenario("crlf", "1.8", "lines end with CR LF", SAYS, stream=stream(TEXT, transport={"newline": "\r\n"})),
    Scenario("bytes", "8.2", "a write for each byte", TOOL, stream=stream(call(), transport={"cutting": "bytes"})),
    Scenario("one-write", "7 line 48b", "everything in one write", SAYS, stream=stream(TEXT, transport={"cutting": "one"})),
    Scenario("big", "8.2", "one delta of 10 MB", means(("text", "x" * 10_000_000), usage=SPENT), stream=raw(
        *begun(), {"type": "response.output_item.added", "output_index": 0, "item": {**TEXT, "content": [], "status": "in_progress"}},
        {"type": "response.content_part.added", "output_index": 0, "content_index": 0, "item_id": "msg_1", "part": text_part("")},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "item_id": "msg_1", "delta": "x" * 10_000_000, "logprobs": []},
        {"type": "response.completed", "response": response(message(text_part("x" * 10_000_000)))})),
    Scenario("cut", "2.5", "the connection closes after content", breaks("api_error", blocks=[("text", "Hello there.")]),
             stream=raw(*events_of(TEXT)[:-1], ending="cut"), odd="a cut connection"),
    Scenario("cut-clean", "2.5", "the stream ends without response.completed", breaks("api_error", blocks=[("text", "Hello there.")]),
             stream=raw(*events_of(TEXT)[:-1]), odd="a cut stream"),
    Scenario("cut-first", "2.5", "the stream ends before content", refused(502, "api_error"), stream=raw(*begun()), odd="a cut stream"),
    Scenario("stall", "2.5", "silence after content", breaks(("timeout_error", "api_error"), blocks=[("text", "Hello there.")]),
             stream=raw(*events_of(TEXT)[:-1], ending="stall"), odd="silence"),
    Scenario("json-for-stream", "1.8", "JSON although a stream was requested", TOOL, stream=answer(call()), odd="no events"),
    Scenario("stream-for-json", "1.8", "a stream although JSON was requested", TOOL, whole=stream(call()), odd="no JSON"),
    Scenario("html", "1.10", "a page of a proxy with status 200", refused(502, "api_error"), whole("<html>502</html>", kind="text/html"),
             whole("<html>502</html>", kind="text/html"), odd="no JSON"),
    Scenario("wrong-shape", "4.9", "JSON of another kind with status 200", refused(502, "api_error"),
             whole({"Output": {"__type": "com.amazon.coral.service#UnknownOperationException"}, "Version": "1.0"}),
             whole({"Output": {"__type": "com.amazon.coral.service#UnknownOperationException"}, "Version": "1.0"}), odd="no answer"),
    sample("responses"),
    both("first-tool", "1.2 names", "a call of the first tool", TOOL, call(name="@first@")),
)
SHARED = [name for name in ERRORS if name.startswith(("status-", "long-", "quota", "limit", "error-html", "error-text", "error-empty"))]
SCENARIOS = {**{name: ERRORS[name] for name in SHARED if name != "limits" and name != "long-vllm"}, **OWN}


class Responses:
    name = "responses"

    def __init__(self, schemas, _):
        self.schemas = schemas

    def takes(self, request):
        return PATH.fullmatch(request.path)

    def is_json(self, _):
        return True

    refusal = staticmethod(refusal)

    def answer(self, request):
        found = PATH.fullmatch(request.path)
        request.flavor = found[1] or found[3]
        azure_key(request) if request.flavor == "azure" else bearer(request)
        if found[2]:
            request.form = "count"
            judge_count(request.body, self.schemas)
            return whole({"object": "response.input_tokens", "input_tokens": counted(request, request.body["model"], COUNT)})
        request.form = "stream" if request.body.get("stream") else "whole"
        judge(request.body, self.schemas)
        return play(request, SCENARIOS, request.body["model"])

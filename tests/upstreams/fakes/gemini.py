"""The fake of Gemini, on AI Studio's paths and on Vertex's: scenarios of upstreams.md 3.3 to 3.8."""

import json
import re

from .dialogues import sample
from .gemini_judge import SIGNATURES, invalid, judge, judge_count
from .limits import Refused
from .scenario import Scenario, breaks, means, refused, table
from .server import counted, play
from .wire import Reply, compact, sse, whole

KEY = "AIza-fake-upstream"
# what /token gives for a service account's assertion
TOKEN = "ya29.fake-upstream-token"
COUNT = 4242
STUDIO = re.compile(r"/studio/v1(?:beta)?/models/([^/:]+):(generateContent|streamGenerateContent|countTokens)")
VERTEX = re.compile(r"/vertexai/v1(?:beta1|beta)?/projects/([^/]+)/locations/([^/]+)/publishers/google/models/([^/:]+):(\w+)")
SIGNATURE = SIGNATURES["studio"]
HELLO = ("text", "Hello there.")
WEATHER = ("tool_use", "get_weather", {"city": "Paris"})
TIME = ("tool_use", "get_time", {"zone": "UTC"})
USAGE = {"promptTokenCount": 55, "cachedContentTokenCount": 20, "candidatesTokenCount": 12, "thoughtsTokenCount": 90, "totalTokenCount": 157}
SPENT = {"input_tokens": 35, "cache_read_input_tokens": 20, "output_tokens": 102, "thinking_tokens": 90}
CALL = {"functionCall": {"name": "get_weather", "args": {"city": "Paris"}}}
SIGNED = {**CALL, "thoughtSignature": SIGNATURE}
CLOCK = {"functionCall": {"name": "get_time", "args": {"zone": "UTC"}}}
THOUGHT = {"text": "Let me see.", "thought": True}
TEXT = [{"text": "Hello"}, {"text": " there."}]
GROUNDING = {"webSearchQueries": ["tides"], "groundingChunks": [{"web": {"uri": "https://sea.example/", "title": "Sea", "domain": "sea.example"}}],
             "groundingSupports": [{"segment": {"startIndex": 0, "endIndex": 5, "text": "Hello"}, "groundingChunkIndices": [0]}]}


def content(*parts):
    return {"role": "model", "parts": list(parts)}


def body(*parts, finish="STOP", usage=USAGE, candidate=None, **more):
    one = {"index": 0, **({"content": content(*parts)} if parts else {}), **({"finishReason": finish} if finish else {}), **(candidate or {})}
    found = {"candidates": [one], "usageMetadata": usage, "modelVersion": "gemini-3.5-flash", "responseId": "a1b2", **more}
    return {key: value for key, value in found.items() if value is not None}


def answer(*args, **more):
    return whole(body(*args, **more))


def part(*parts, **more):
    """A chunk before the last one; its usage grows."""
    return body(*parts, finish=None, usage={"promptTokenCount": 55, "thoughtsTokenCount": 30, "totalTokenCount": 85}, **more)


def stream(*groups, finish="STOP", **more):
    """A chunk for each part, the last one with the finish reason."""
    chunks = [part(one) for one in groups[:-1]]
    return sse([*chunks, body(*groups[-1:], finish=finish)], **more)


def both(name, row, says, expect, *parts, odd="", **more):
    return Scenario(name, row, says, expect, answer(*parts, **more), stream(*parts, **more), odd=odd)


def finished(value, expect, streamed=None, odd="", parts=TEXT, message="words of the finish", name=None, row="3.3"):
    """This finish reason after a text."""
    candidate = {"finishMessage": message} if message else {}
    last = body(finish=value, candidate=candidate)
    return Scenario(name or f"finish-{value.lower().replace('_', '-')}", row, f"finish reason {value}", expect, answer(*parts, finish=value, candidate=candidate),
                    sse([*(part(one) for one in parts), last]), streamed=streamed, odd=odd)


def failure(name, code, status, kind, expected, says=None, details=None, message=None, wrapped=False, row="3.8"):
    error = {"error": {"code": code, "message": message or f"words of {status}", "status": status, **({"details": details} if details else {})}}
    reply = whole([error] if wrapped else error, code)
    return Scenario(name, row, says or f"{code} {status}", expected or refused(code, kind, f"words of {status}"), reply, reply, odd="an error")


RETRY = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "39s"}]
BUSY = {"error": {"code": 429, "message": "the provider is busy", "status": "RESOURCE_EXHAUSTED"}}
LIMITED = refused(429, "rate_limit_error", "the provider is busy")
HTTP = [(400, "INVALID_ARGUMENT", "invalid_request_error"), (400, "FAILED_PRECONDITION", "invalid_request_error"),
        (400, "OUT_OF_RANGE", "invalid_request_error"), (401, "UNAUTHENTICATED", "authentication_error"), (403, "PERMISSION_DENIED", "permission_error"),
        (404, "NOT_FOUND", "not_found_error"), (429, "RESOURCE_EXHAUSTED", "rate_limit_error"), (499, "CANCELLED", "api_error"), (409, "ABORTED", "api_error"),
        (500, "INTERNAL", "api_error"), (500, "UNKNOWN", "api_error"), (503, "UNAVAILABLE", "overloaded_error"), (504, "DEADLINE_EXCEEDED", "timeout_error")]
FILTERS = ["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "MODEL_ARMOR", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT",
           "IMAGE_RECITATION", "ESCALATION", "PUP_LIMITED_DISABLED"]
BROKEN = ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE"]
BLOCKS = ["SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY", "MODEL_ARMOR", "JAILBREAK"]


def blocked(reason):
    feedback = {"promptFeedback": {"blockReason": reason, "safetyRatings": []}, "usageMetadata": {"promptTokenCount": 55, "totalTokenCount": 55}}
    return Scenario(f"blocked-{reason.lower().replace('_', '-')}", "3.3", f"a prompt blocked for {reason}",
                    means(stop="refusal", usage={"input_tokens": 55, "output_tokens": 0}), whole(feedback), sse([feedback]))


SCENARIOS = table(
    both("text", "3.3", "a plain text", means(HELLO, usage=SPENT), *TEXT),
    both("tool", "3.3", "one call, signed", means(WEATHER, stop="tool_use", usage=SPENT), SIGNED),
    both("thought-text", "3.3", "a thought, then a text", means(("thinking", "Let me see."), HELLO, usage=SPENT), THOUGHT, *TEXT),
    both("thought-tool", "3.3", "a thought, then a signed call", means(("thinking", "Let me see."), WEATHER, stop="tool_use", usage=SPENT), THOUGHT, SIGNED),
    both("interleaved", "3.5", "thought, text, thought, call", means(("thinking", "Let me see."), HELLO, ("thinking", "Let me see."), WEATHER, stop="tool_use", usage=SPENT),
         THOUGHT, *TEXT, THOUGHT, SIGNED),
    both("parallel-tools", "3.4", "two calls, the first one signed", means(WEATHER, TIME, stop="tool_use", usage=SPENT), SIGNED, CLOCK),
    both("call-id", "3.1", "a call with an id", means(WEATHER, stop="tool_use", usage=SPENT), {"functionCall": {**CALL["functionCall"], "id": "fc_1"}, "thoughtSignature": SIGNATURE}),
    both("same-call-twice", "1.6", "the same call twice", means(WEATHER, WEATHER, stop="tool_use", usage=SPENT), SIGNED, CALL),
    both("no-args", "3.5", "a call without args", means(("tool_use", "ring", {}), stop="tool_use", usage=SPENT), {"functionCall": {"name": "ring"}, "thoughtSignature": SIGNATURE}),
    both("signed-text", "3.4", "a signature on the last text", means(HELLO, usage=SPENT), {"text": "Hello"}, {"text": " there.", "thoughtSignature": SIGNATURE}),
    both("signed-empty-text", "3.4", "a signature on an empty text at the end", means(HELLO, usage=SPENT), *TEXT, {"text": "", "thoughtSignature": SIGNATURE}),
    Scenario("finish-apart", "3.5", "the finish reason in a chunk of its own, after the call", means(WEATHER, stop="tool_use", usage=SPENT),
             stream=sse([part(SIGNED), body({"text": ""})])),
    Scenario("finish-apart-bare", "3.5", "a last chunk without content", means(WEATHER, stop="tool_use", usage=SPENT), stream=sse([part(SIGNED), body()])),
    Scenario("parallel-chunks", "3.5", "two calls in two chunks", means(WEATHER, TIME, stop="tool_use", usage=SPENT), stream=sse([part(SIGNED), part(CLOCK), body()])),
    Scenario("no-parts", "3.3", "content without parts", means(HELLO, usage=SPENT), stream=sse([
        {**part(), "candidates": [{"index": 0, "content": {"role": "model"}}]}, part(TEXT[0]), part(TEXT[1]), body()])),
    Scenario("nothing", "3.3", "an answer without content has no blocks", means(usage=SPENT), answer(), sse([body()])),
    Scenario("usage-only-chunk", "3.3", "a chunk of usage alone", means(HELLO, usage=SPENT), stream=sse([
        {"usageMetadata": {"promptTokenCount": 55}}, *(part(one) for one in TEXT), body(usage=None), {"usageMetadata": USAGE, "responseId": "a1b2"}])),
    Scenario("usage-short", "3.3", "usage without the fields that are 0", means(HELLO, usage={"input_tokens": 55, "output_tokens": 12}),
             answer(*TEXT, usage={"promptTokenCount": 55, "candidatesTokenCount": 12, "totalTokenCount": 67}),
             sse([part(TEXT[0]), body(TEXT[1], usage={"promptTokenCount": 55, "candidatesTokenCount": 12, "totalTokenCount": 67})])),
    Scenario("usage-tools", "3.3", "tokens of tool prompts are input", means(HELLO, usage={"input_tokens": 42, "cache_read_input_tokens": 20, "output_tokens": 102}),
             answer(*TEXT, usage={**USAGE, "toolUsePromptTokenCount": 7, "totalTokenCount": 164}),
             sse([part(TEXT[0]), body(TEXT[1], usage={**USAGE, "toolUsePromptTokenCount": 7, "totalTokenCount": 164})])),
    Scenario("usage-none", "3.3", "no usage", means(HELLO, usage="estimated"), answer(*TEXT, usage=None), sse([body(*TEXT, usage=None)])),
    Scenario("two-candidates", "1.6", "of two candidates the first counts", means(HELLO, usage=SPENT), whole({**body(*TEXT), "candidates": [
        *body(*TEXT)["candidates"], {**body({"text": "Other."})["candidates"][0], "index": 1}]})),
    Scenario("grounding", "3.7", "grounding before the last chunk", means(HELLO, usage=SPENT), answer(*TEXT, candidate={"groundingMetadata": GROUNDING}),
             sse([part(TEXT[0]), part(TEXT[1], candidate={"groundingMetadata": GROUNDING}), body()])),
    # 3.3: finish reasons
    finished("MAX_TOKENS", means(HELLO, stop="max_tokens", usage=SPENT)),
    finished("MAX_TOKENS", means(stop="max_tokens", usage=SPENT), parts=[], name="max-tokens-empty"),
    *(finished(value, means(HELLO, stop="refusal", usage=SPENT)) for value in FILTERS),
    *(finished(value, means(stop="refusal", usage=SPENT), parts=[], name=f"empty-{value.lower()}") for value in FILTERS[:1]),
    *(finished(value, refused(502, "api_error", "words of the finish"), breaks("api_error", "words of the finish", blocks=[HELLO]), odd="an error") for value in BROKEN),
    *(finished(value, refused(502, "api_error", "words of the finish"), parts=[], name=f"empty-{value.lower().replace('_', '-')}", odd="an error") for value in BROKEN),
    finished("MISSING_THOUGHT_SIGNATURE", refused((400, 502), ("invalid_request_error", "api_error")), parts=[], odd="an error"),
    finished("OTHER", means(HELLO, usage=SPENT)),
    finished("OTHER", refused(502, "api_error"), parts=[], name="empty-other", odd="an error"),
    finished("TIRED", means(HELLO, usage=SPENT), name="finish-unknown", odd="an unknown value"),
    finished("CONTINUATION", means(HELLO, stop=("max_tokens", "end_turn"), usage=SPENT)),
    *(blocked(reason) for reason in BLOCKS),
    # 3.5: streams
    Scenario("crlf", "3.5", "lines end with CR LF", means(HELLO, usage=SPENT), stream=stream(*TEXT, newline="\r\n")),
    Scenario("bytes", "8.2", "a write for each byte", means(WEATHER, stop="tool_use", usage=SPENT), stream=stream(SIGNED, cutting="bytes")),
    Scenario("one-write", "7 line 48b", "everything in one write", means(HELLO, usage=SPENT), stream=stream(*TEXT, cutting="one")),
    Scenario("large-signature", "7 line 61", "an event of 200 KB, in small writes", means(HELLO, usage=SPENT),
             stream=sse([part({"text": "Hello"}), body({"text": " there.", "thoughtSignature": "QUJD" * 50_000})], cutting=1000)),
    Scenario("unicode", "8.2", "characters of several bytes, cut in the middle", means(("text", "für 5 € 🦀\u2028„so“"), usage=SPENT),
             answer({"text": "für 5 € 🦀\u2028„so“"}), stream({"text": "für 5 €"}, {"text": " 🦀\u2028„so“"}, cutting="bytes")),
    Scenario("big", "8.2", "one chunk of 10 MB", means(("text", "x" * 10_000_000), usage=SPENT), answer({"text": "x" * 10_000_000}), stream({"text": "x" * 10_000_000})),
    Scenario("array", "3.5", "a JSON array although SSE was requested", means(HELLO, usage=SPENT), stream=whole([part(TEXT[0]), body(TEXT[1])]), odd="no events"),
    Scenario("json-for-stream", "1.8", "one JSON object although SSE was requested", means(HELLO, usage=SPENT), stream=answer(*TEXT)),
    Scenario("stream-for-json", "1.8", "SSE although JSON was requested", means(HELLO, usage=SPENT), whole=stream(*TEXT), odd="no JSON"),
    Scenario("error-first", "3.5", "an error in a 200, before content", LIMITED, stream=sse([BUSY]), odd="an error"),
    Scenario("error-whole", "3.5", "an error in a 200, whole", LIMITED, whole=whole(BUSY), odd="an error"),
    Scenario("error-later", "3.5", "an error in a 200, after content", breaks("rate_limit_error", "the provider is busy", blocks=[("text", "Hello")]),
             stream=sse([part(TEXT[0]), BUSY]), odd="an error"),
    Scenario("error-bare", "3.5", "an error without data:, after content", breaks("rate_limit_error", "the provider is busy", blocks=[("text", "Hello")]),
             stream=sse([part(TEXT[0]), compact(BUSY)]), odd="an error"),
    Scenario("error-bare-pretty", "3.5", "an error of several lines without data:", breaks("rate_limit_error", "the provider is busy", blocks=[("text", "Hello")]),
             stream=sse([part(TEXT[0]), json.dumps(BUSY, indent=2)]), odd="an error"),
    Scenario("cut", "3.3", "the stream ends without a finish reason", breaks("api_error", blocks=[HELLO]), stream=sse([part(one) for one in TEXT]), odd="a cut stream"),
    Scenario("cut-hard", "3.3", "the connection closes after content", breaks("api_error", blocks=[HELLO]), stream=sse([part(one) for one in TEXT], ending="cut"), odd="a cut connection"),
    Scenario("cut-first", "3.3", "the stream ends before content", refused(502, "api_error"), stream=sse([{"usageMetadata": {"promptTokenCount": 55}}]), odd="a cut stream"),
    Scenario("stall", "3.3", "silence after content", breaks(("timeout_error", "api_error"), blocks=[HELLO]), stream=sse([part(one) for one in TEXT], ending="stall"), odd="silence"),
    Scenario("html", "1.10", "a page of a proxy with status 200", refused(502, "api_error"), whole("<html>502</html>", kind="text/html"), whole("<html>502</html>", kind="text/html"), odd="no JSON"),
    Scenario("empty-object", "3.3", "an empty object", refused(502, "api_error"), whole({}), odd="an answer without a meaning"),
    # 3.8: errors
    *(failure(f"status-{status.lower().replace('_', '-')}", code, status, kind, None) for code, status, kind in HTTP),
    failure("key-invalid", 400, "INVALID_ARGUMENT", "", refused((400, 401), "authentication_error", "API key not valid"), "a wrong key is a 400",
            [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}], "API key not valid. Please pass a valid API key."),
    failure("retry-info", 429, "RESOURCE_EXHAUSTED", "", refused(429, "rate_limit_error", "Quota exceeded", retry_after="39"), "RetryInfo becomes retry-after", RETRY, "Quota exceeded"),
    failure("wrapped", 429, "RESOURCE_EXHAUSTED", "", refused(429, "rate_limit_error", "Quota exceeded", retry_after="39"), "an error inside an array", RETRY, "Quota exceeded", True),
    failure("long", 400, "INVALID_ARGUMENT", "", refused(400, "invalid_request_error", "prompt is too long: 1196265 tokens > 1048575 maximum"), "a prompt that is too long", None,
            "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575)."),
    failure("long-without-count", 400, "INVALID_ARGUMENT", "", refused(400, "invalid_request_error", "prompt is too long", "exceeds the maximum number of tokens allowed"),
            "a prompt that is too long, without its count", None, "The input token count exceeds the maximum number of tokens allowed (1048575)."),
    Scenario("error-html", "1.10", "a page of a load balancer", refused(503, "overloaded_error"), *[whole("<html>503</html>", 503, kind="text/html")] * 2, odd="an error"),
    sample("gemini"),
    both("first-tool", "1.2 names", "a call of the first tool", means(WEATHER, stop="tool_use", usage=SPENT),
         {"functionCall": {"name": "@first@", "args": {"city": "Paris"}}, "thoughtSignature": SIGNATURE}),
)


class Gemini:
    name = "gemini"

    def __init__(self, schemas, _):
        self.schemas = schemas

    def takes(self, request):
        return STUDIO.fullmatch(request.path) or VERTEX.fullmatch(request.path)

    def is_json(self, _):
        return True

    @staticmethod
    def refusal(error):
        kind = error.type if error.type.isupper() else "INVALID_ARGUMENT"
        return whole({"error": {"code": error.status, "message": str(error), "status": kind}}, error.status)

    def answer(self, request):
        studio = STUDIO.fullmatch(request.path)
        found = studio or VERTEX.fullmatch(request.path)
        request.flavor = "studio" if studio else "vertex"
        model, verb = found[1 if studio else 3], found[2 if studio else 4]
        self.authorized(request)
        if verb == "countTokens":
            request.form = "count"
            judge_count(request.body, request.flavor, model, self.schemas)
            count = counted(request, model, COUNT)
            return whole({"totalTokens": count, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": count}]})
        request.form = "stream" if verb == "streamGenerateContent" else "whole"
        judge(request.body, request.flavor, model, self.schemas)
        reply = play(request, SCENARIOS, model)
        if request.form == "stream" and request.query.get("alt") != "sse":
            raise invalid("this fake belongs to a gateway: a stream is requested with alt=sse")
        return self.resigned(reply) if request.flavor == "vertex" else reply

    def authorized(self, request):
        if "key" in request.query:
            raise invalid("this fake belongs to a gateway: a key in the query lands in logs")
        if request.flavor == "studio" and request.headers.get("x-goog-api-key") != KEY:
            raise Refused("API key not valid. Please pass a valid API key.", 400, type="INVALID_ARGUMENT")
        if request.flavor == "vertex" and request.headers.get("authorization") != f"Bearer {TOKEN}":
            raise Refused("Request had invalid authentication credentials. Expected OAuth 2 access token.", 401, type="UNAUTHENTICATED")

    @staticmethod
    def resigned(reply):
        """The same answer with the signatures of the other backend, and without ids."""
        swapped = [piece.replace(SIGNATURES["studio"].encode(), SIGNATURES["vertex"].encode()).replace(b',"id":"fc_1"', b"")
                   if isinstance(piece, bytes) else piece for piece in reply.pieces]
        return Reply(tuple(swapped), reply.status, reply.kind, reply.headers, reply.ending)

"""Scenarios of Claude on clouds (upstreams.md 4.2 to 4.6, 4.9)."""

from .claude_parts import *
from .dialogues import sample
from .scenario import Scenario, breaks, means, refused, table
from .wire import chunk_frame, error_frame, exception_frame, frames, sse, whole

METRICS = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 25, "outputTokenCount": 12, "invocationLatency": 900, "firstByteLatency": 300,
                                                "cacheReadInputTokenCount": 10, "cacheWriteInputTokenCount": 0}}
SAYS = means(HELLO, usage=SPENT)
TOOL = means(WEATHER, stop="tool_use", usage=SPENT)
PARTS = [("text", SAYS, [text()], "end_turn"), ("tool", TOOL, [tool()], "tool_use"),
         ("no-arguments", means(("tool_use", "ring", {}), stop="tool_use", usage=SPENT), [tool({}, name="ring")], "tool_use"),
         ("thinking", means(("thinking", "Let me see."), HELLO, usage=SPENT), [thinking(), text()], "end_turn"),
         ("thinking-empty", means(("thinking", ""), HELLO, usage=SPENT), [thinking(""), text()], "end_turn"),
         ("parallel-tools", means(WEATHER, ("tool_use", "get_time", {"zone": "UTC"}), stop="tool_use", usage=SPENT),
          [tool(), tool({"zone": "UTC"}, "toolu_bdrk_2", "get_time")], "tool_use"),
         ("max-tokens", means(HELLO, stop="max_tokens", usage=SPENT), [text()], "max_tokens"),
         ("refusal", means(stop="refusal", usage=SPENT), [], "refusal")]


def framed(found, **more):
    return frames([chunk_frame(event) for event in found], **more)


def aws(name, says, kind, status, expected, body=None, error_type=None):
    """An HTTP error of Bedrock: the type stands in a header."""
    reply = whole(body or {"message": f"words of {kind}"}, status, headers={"x-amzn-errortype": error_type or kind, "x-amzn-requestid": "r-1"})
    return Scenario(name, "4.3", says, expected, reply, reply, odd="an error")


def exceptions(kind, status, error, payload=None, words=None):
    """An exception in the stream: first, and after content."""
    last = exception_frame(kind, payload or {"message": f"words of {kind}"})
    words = words or (f"words of {kind}",)
    begun = [chunk_frame(event) for event in events(text())[:3]]
    name = "".join("-" + c.lower() if c.isupper() else c for c in kind)
    return (Scenario(f"{name}-first", "4.3", f"{kind} before content", refused(status, error, *words), stream=frames([last]), odd="an error"),
            Scenario(f"{name}-later", "4.3", f"{kind} after content", breaks(error, *words, blocks=[("text", "Hello")]), stream=frames([*begun, last]), odd="an error"))


HELLO_EVENTS = events(text())
HELLO_FRAMES = [chunk_frame(event) for event in HELLO_EVENTS]
FLIPPED = bytearray(HELLO_FRAMES[4])
FLIPPED[-10] ^= 1
LATE_USAGE = [*events(text(), start={"input_tokens": 25, "output_tokens": 1})[:-2], {**HELLO_EVENTS[-2], "usage": {"output_tokens": 12}},
              {"type": "message_stop", "usage": USAGE, **METRICS}]

BEDROCK = table(
    sample("bedrock"),
    *(Scenario(name, "4.3", f"{name}, by InvokeModel", expect, whole(message(*blocks, stop=stop)), framed(events(*blocks, stop=stop, last=METRICS)))
      for name, expect, blocks, stop in PARTS),
    Scenario("no-padding", "4.3", "frames without padding", SAYS, stream=frames([chunk_frame(event, "") for event in HELLO_EVENTS])),
    Scenario("bytes", "8.2", "a write for each byte", TOOL, stream=framed(events(tool(), stop="tool_use"), cutting="bytes")),
    Scenario("one-write", "8.2", "everything in one write", SAYS, stream=framed(HELLO_EVENTS, cutting="one")),
    Scenario("sevens", "8.2", "writes of seven bytes", SAYS, stream=framed(HELLO_EVENTS, cutting=7)),
    Scenario("big", "8.2", "one frame of 10 MB", means(("text", "x" * 10_000_000), usage=SPENT), whole(message(text("x" * 10_000_000))),
             framed(events(text("x" * 10_000_000)))),
    Scenario("keep-alive", "4.3", "JSON without a type is dropped", SAYS, stream=frames([
        *HELLO_FRAMES[:2], chunk_frame({"keep": "alive"}), *HELLO_FRAMES[2:]])),
    Scenario("usage-at-stop", "4.3", "cache counts at message_stop only", SAYS, stream=framed(LATE_USAGE), odd="the SDK reads usage of message_delta only"),
    Scenario("unknown-event", "4.3", "an unknown event passes", SAYS, stream=framed([*HELLO_EVENTS[:2], {"type": "vendor_note", "x": 1}, *HELLO_EVENTS[2:]])),
    *(one for kind, status, error in [
        ("validationException", 400, "invalid_request_error"), ("throttlingException", 429, "rate_limit_error"), ("modelTimeoutException", (408, 504), "timeout_error"),
        ("internalServerException", (500, 502), "api_error"), ("serviceUnavailableException", (503, 529), "overloaded_error")] for one in exceptions(kind, status, error)),
    *exceptions("modelStreamErrorException", (424, 500, 502), ("api_error", "overloaded_error"), {"message": "outer", "originalStatusCode": 500, "originalMessage": "words of the model"},
                ("words of the model",)),
    Scenario("error-frame-first", "4.3", "a frame of type error before content", refused((400, 500, 502, 503), ("api_error", "overloaded_error", "invalid_request_error"), "words of the frame"),
             stream=frames([error_frame("InternalError", "words of the frame")]), odd="an error"),
    Scenario("error-frame-later", "4.3", "a frame of type error after content", breaks(("api_error", "overloaded_error"), "words of the frame", blocks=[("text", "Hello")]),
             stream=frames([*HELLO_FRAMES[:3], error_frame("InternalError", "words of the frame")]), odd="an error"),
    Scenario("checksum", "7 line 78", "a flipped bit in a frame", breaks("api_error", blocks=[("text", "Hello there.")]),
             stream=frames([*HELLO_FRAMES[:4], bytes(FLIPPED), *HELLO_FRAMES[5:]]), odd="an error"),
    Scenario("cut", "4.3", "the stream ends without message_stop", breaks("api_error", blocks=[HELLO]), stream=frames(HELLO_FRAMES[:5]), odd="a cut stream"),
    Scenario("cut-in-frame", "4.3", "the stream ends inside a frame", breaks("api_error", blocks=[("text", "Hello")]), stream=frames([*HELLO_FRAMES[:3], HELLO_FRAMES[3][:20]]), odd="a cut stream"),
    Scenario("cut-first", "4.3", "the stream ends before its first event", refused(502, "api_error"), stream=frames([]), odd="a cut stream"),
    Scenario("stall", "4.3", "silence after content", breaks(("timeout_error", "api_error"), blocks=[HELLO]), stream=framed(HELLO_EVENTS[:4], ending="stall"), odd="silence"),
    Scenario("wrong-path", "4.9", "the answer of a path that AWS does not know, with 200", refused(502, "api_error"),
             *[whole({"Output": {"__type": "com.amazon.coral.service#UnknownOperationException"}, "Version": "1.0"})] * 2, odd="no answer"),
    aws("http-validation", "a refused request", "ValidationException", 400, refused(400, "invalid_request_error", "words of")),
    aws("http-errortype-url", "a type followed by an address", "ThrottlingException", 429, refused(429, "rate_limit_error", "words of"),
        error_type="ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/"),
    aws("http-access", "no access", "AccessDeniedException", 403, refused(403, "permission_error", "words of")),
    aws("http-not-found", "no such model", "ResourceNotFoundException", 404, refused(404, "not_found_error", "words of")),
    aws("http-model-error", "the model failed", "ModelErrorException", 424, refused((424, 500, 502), "api_error", "words of")),
    aws("http-timeout", "the model was too slow", "ModelTimeoutException", 408, refused((408, 504), "timeout_error", "words of")),
    aws("http-not-ready", "the model is not ready", "ModelNotReadyException", 429, refused((429, 503, 529), ("rate_limit_error", "overloaded_error"), "words of")),
    aws("http-quota", "a quota", "ServiceQuotaExceededException", 400, refused((400, 429), ("invalid_request_error", "rate_limit_error"), "words of")),
    aws("http-conflict", "a conflict", "ConflictException", 400, refused((400, 409), ("invalid_request_error", "conflict_error"), "words of")),
    aws("http-internal", "a failure", "InternalServerException", 500, refused(500, "api_error", "words of")),
    aws("http-unavailable", "unavailable", "ServiceUnavailableException", 503, refused(503, "overloaded_error", "words of")),
    aws("http-long", "a prompt that is too long", "ValidationException", 400, refused(400, "invalid_request_error", "prompt is too long", "Input is too long for requested model"),
        {"message": "Input is too long for requested model."}),
    aws("http-on-demand", "a bare id of a model that needs a profile", "ValidationException", 400, refused(400, "invalid_request_error", "on-demand throughput"),
        {"message": "Invocation of model ID anthropic.claude-x with on-demand throughput isn’t supported. Retry your request with the ID or ARN of an inference profile that contains this model."}),
    aws("http-capital", "a body with Message", "ThrottlingException", 429, refused(429, "rate_limit_error", "Too many"), {"Message": "Too many tokens"}),
)


def google(name, code, status, kind, message, wrapped=False, details=None, **headers):
    error = {"error": {"code": code, "message": message, "status": status, **({"details": details} if details else {})}}
    return Scenario(name, "4.5", f"Google's {status}", refused(code, kind, message, **headers), *[whole([error] if wrapped else error, code)] * 2, odd="an error")


def anthropic(name, status, kind):
    body = {"type": "error", "error": {"type": kind, "message": f"words of {kind}"}, "request_id": "req_vrtx_9"}
    return Scenario(name, "4.5", f"Anthropic's own {kind}", refused(status, kind, f"words of {kind}"), *[whole(body, status)] * 2, odd="an error")


NATIVE = (
    sample("foundry"),
    *(Scenario(name, "4.5", f"{name}, as the Messages API", expect, whole(message(*blocks, stop=stop)), named(events(*blocks, stop=stop))) for name, expect, blocks, stop in PARTS),
    Scenario("crlf", "4.5", "lines end with CR LF", SAYS, stream=named(HELLO_EVENTS, newline="\r\n")),
    Scenario("bytes", "8.2", "a write for each byte", TOOL, stream=named(events(tool(), stop="tool_use"), cutting="bytes")),
    Scenario("cut", "4.5", "the stream ends without message_stop", breaks("api_error", blocks=[HELLO]), stream=named(HELLO_EVENTS[:5]), odd="a cut stream"),
    Scenario("cut-hard", "4.5", "the connection closes after content", breaks("api_error", blocks=[HELLO]), stream=named(HELLO_EVENTS[:5], ending="cut"), odd="a cut connection"),
    Scenario("error-first", "4.5", "event: error before all", refused(529, "overloaded_error", "words of the error"),
             stream=sse([("error", {"type": "error", "error": {"type": "overloaded_error", "message": "words of the error"}})]), odd="an error"),
    Scenario("error-later", "4.5", "event: error after content", breaks("overloaded_error", "words of the error", blocks=[("text", "Hello")]),
             stream=sse([*((event["type"], event) for event in HELLO_EVENTS[:3]), ("error", {"type": "error", "error": {"type": "overloaded_error", "message": "words of the error"}})]), odd="an error"),
    Scenario("late-input", "7 line 59", "the true input count comes with message_delta", means(HELLO, usage=SPENT),
             stream=named(events(text(), start={"input_tokens": 1, "output_tokens": 1}))),
    anthropic("anthropic-overloaded", 529, "overloaded_error"), anthropic("anthropic-invalid", 400, "invalid_request_error"),
    anthropic("anthropic-rate", 429, "rate_limit_error"),
    Scenario("html", "1.10", "a page of a proxy with status 200", refused(502, "api_error"), *[whole("<html>502</html>", kind="text/html")] * 2, odd="no JSON"),
)
VERTEX = table(
    *NATIVE,
    google("google-auth", 401, "UNAUTHENTICATED", "authentication_error", "Request had invalid authentication credentials."),
    google("google-denied", 403, "PERMISSION_DENIED", "permission_error", "Permission denied"),
    google("google-missing", 404, "NOT_FOUND", "not_found_error", "Publisher Model was not found or your project does not have access"),
    google("google-quota", 429, "RESOURCE_EXHAUSTED", "rate_limit_error", "Quota exceeded for aiplatform.googleapis.com/online_prediction_input_tokens_per_minute_per_base_model"),
    google("google-quota-wait", 429, "RESOURCE_EXHAUSTED", "rate_limit_error", "Quota exceeded", details=[
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "39s"}], retry_after="39"),
    google("google-wrapped", 403, "PERMISSION_DENIED", "permission_error", "Permission denied", True),
    google("google-internal", 500, "INTERNAL", "api_error", "Internal error encountered."),
    google("google-unavailable", 503, "UNAVAILABLE", "overloaded_error", "The service is currently unavailable."),
    google("google-deadline", 504, "DEADLINE_EXCEEDED", "timeout_error", "Deadline exceeded"),
)


def azure(name, status, kind, code, message, outer=True, **headers):
    inner = {"code": code, "message": message, "details": message}
    return Scenario(name, "4.6", f"Azure's {code}", refused(status, kind, message, **headers), *[whole({"error": inner} if outer else inner, status)] * 2, odd="an error")


LIMIT = "Rate limit of 8000 per 60s exceeded for UserByModelByMinuteOutputTokens. Please wait 33 seconds before retrying."
FOUNDRY = table(
    *NATIVE,
    azure("azure-limit", 429, "rate_limit_error", "RateLimitReached", LIMIT, retry_after="33"),
    azure("azure-limit-bare", 429, "rate_limit_error", "RateLimitReached", LIMIT, False, retry_after="33"),
    azure("azure-limit-one", 429, "rate_limit_error", "RateLimitReached", "Please wait 1 second before retrying.", retry_after="1"),
    azure("azure-limit-again", 429, "rate_limit_error", "429", "Too many requests. Try again in 12 seconds.", retry_after="12"),
    azure("azure-auth", 401, "authentication_error", "Unauthorized", "Access token is invalid"),
    azure("azure-missing", 404, "not_found_error", "DeploymentNotFound", "The API deployment for this resource does not exist."),
    azure("azure-down", 503, "overloaded_error", "ServiceUnavailable", "The service is temporarily unable to process your request."),
)

"""Scenarios of Chat Completions: HTTP errors of each server (upstreams.md 1.10) and rate-limit headers (1.11)."""

from .chat_parts import *
from .scenario import Scenario, refused, table, means

LONG = "prompt is too long: {} tokens > {} maximum"


def failed(name, says, status, body, expect, flavor="", row="1.10", **more):
    """The same HTTP error for both forms."""
    reply = whole(body, status, **more)
    return Scenario(name, row, says, expect, reply, reply, flavor=flavor, odd="an error")


def openai(message, type="invalid_request_error", code=None, param=None):
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def too_long(name, says, text, numbers, status=400, body=None, flavor=""):
    words = (LONG.format(*numbers), text) if numbers else (text,)
    return failed(name, says, status, body or openai(text, code="context_length_exceeded"),
                  refused(400, "invalid_request_error", *words), flavor)


FILTER = {"error": {"message": "The response was filtered due to the prompt triggering Azure's content policy.", "type": None,
                    "param": "prompt", "code": "content_filter", "status": 400, "innererror": {
                        "code": "ResponsibleAIPolicyViolation", "content_filter_result": {
                            "hate": {"filtered": False, "severity": "safe"}, "jailbreak": {"detected": True, "filtered": True}}}}}
ROUTED = {"error": {"code": 429, "message": "Provider returned error", "metadata": {
    "raw": "the model is overloaded, please wait", "provider_name": "Chutes", "is_byok": False}}, "user_id": "u1"}
# a status and the type that it becomes
STATUSES = [
    (400, "invalid_request_error"), (401, "authentication_error"), (403, "permission_error"), (404, "not_found_error"),
    (408, "timeout_error"), (413, "request_too_large"), (422, "invalid_request_error"), (429, "rate_limit_error"),
    (424, "api_error"), (499, "api_error"), (500, "api_error"), (502, "api_error"), (503, "overloaded_error"),
    (504, "timeout_error"), (520, "api_error"), (529, "overloaded_error"),
]
LIMITS = {
    "x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "1s",
    "x-ratelimit-limit-tokens": "150000", "x-ratelimit-remaining-tokens": "149984", "x-ratelimit-reset-tokens": "6m0s",
}
LIMITED = openai("Rate limit reached for requests", "requests", "rate_limit_exceeded")

ERRORS = table(
    *(failed(f"status-{status}", f"status {status}", status, openai(f"words of {status}", "some_error"),
             refused(tuple({status, 400 if status == 422 else status}), kind, f"words of {status}"), row="1.10 statuses")
      for status, kind in STATUSES),
    failed("filter-azure", "Azure's content filter", 400, FILTER, refused(400, "invalid_request_error", "content policy"), "azure"),
    failed("error-openrouter", "OpenRouter shows the words of its provider", 429, ROUTED,
           refused(429, "rate_limit_error", "Provider returned error", "the model is overloaded, please wait"), "openrouter"),
    failed("error-vllm", "vLLM's error", 400, {"error": {"message": "bad vllm", "type": "BadRequestError", "param": None, "code": 400}},
           refused(400, "invalid_request_error", "bad vllm"), "vllm"),
    failed("error-vllm-old", "vLLM's older error", 404, {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError",
                                                       "param": None, "code": 404}, refused(404, "not_found_error", "does not exist"), "vllm"),
    failed("error-llama", "llama.cpp's error", 500, {"error": {"code": 500, "message": "image input is not supported", "type": "server_error"}},
           refused(500, "api_error", "image input is not supported")),
    failed("error-llama-loading", "llama.cpp while it loads", 503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
           refused(503, "overloaded_error", "Loading model")),
    failed("error-mistral-fields", "Mistral's list of fields", 422, {"detail": [{"loc": ["body", "messages"], "msg": "field required", "type": "missing"}]},
           refused((400, 422), "invalid_request_error", "field required", "messages")),
    failed("error-mistral", "Mistral's error", 400, {"object": "error", "message": "Expected last role User or Tool", "code": "3230",
                                                    "type": "invalid_request_message_order", "param": None},
           refused(400, "invalid_request_error", "Expected last role User or Tool")),
    failed("error-mistral-object", "Mistral's message as an object", 400, {"object": "error", "message": {"detail": [{"msg": "too many"}]},
           "type": "invalid_request_error", "param": None, "code": None}, refused(400, "invalid_request_error", "too many")),
    failed("error-ollama", "Ollama's error", 404, {"error": {"message": "model 'x' not found", "type": "not_found_error", "param": None, "code": None}},
           refused(404, "not_found_error", "model 'x' not found"), "ollama"),
    failed("error-azure-gateway", "the error of Azure's API management", 401, {"statusCode": 401, "message": "Access denied due to invalid key"},
           refused(401, "authentication_error", "Access denied"), "azure"),
    failed("error-detail", "a proxy's detail", 502, {"detail": "upstream away"}, refused(502, "api_error", "upstream away")),
    failed("error-message", "a proxy's message", 403, {"message": "Forbidden here"}, refused(403, "permission_error", "Forbidden here")),
    failed("error-string", "an error as a string", 400, {"error": "bad string"}, refused(400, "invalid_request_error", "bad string")),
    failed("error-html", "a page of a load balancer", 503, "<html><body><h1>503 Service Unavailable</h1></body></html>",
           refused(503, "overloaded_error"), kind="text/html"),
    failed("error-text", "plain text", 500, "Internal Server Error", refused(500, "api_error", "Internal Server Error"), kind="text/plain"),
    failed("error-empty", "an empty body", 502, "", refused(502, "api_error")),
    failed("quota", "an exhausted quota", 429, openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota"),
           refused(429, "billing_error", "You exceeded your current quota", x_should_retry="false")),
    failed("billing-limit", "a hard limit of billing", 429, openai("Billing hard limit has been reached", "x", "billing_hard_limit_reached"),
           refused(429, "billing_error", "Billing hard limit", x_should_retry="false")),
    failed("insufficient", "an empty balance", 402, openai("Insufficient Balance", "unknown_error", "invalid_request_error"),
           refused((402, 429), "billing_error", "Insufficient Balance", x_should_retry="false"), "deepseek"),
    failed("engine-overloaded", "an overloaded engine", 503, openai("The engine is currently overloaded", "server_error", "engine_overloaded"),
           refused((503, 529), "overloaded_error", "overloaded")),
    failed("groq-tool-failed", "Groq's bad tool call", 400, {"error": {"message": "Failed to call a function.", "type": "invalid_request_error",
           "code": "tool_use_failed", "failed_generation": "<function=x>"}}, refused((400, 502), ("invalid_request_error", "api_error"),
                                                                                     "Failed to call a function"), "groq"),
    # 1.10: a prompt that is too long
    too_long("long-openai", "OpenAI's text", "This model's maximum context length is 128000 tokens. However, your messages resulted in 128994 tokens "
             "(128242 in the messages, 752 in the functions). Please reduce the length of the messages or functions.", (128994, 128000)),
    too_long("long-requested", "the text with the completion", "This model's maximum context length is 1048576 tokens. However, you requested 1276733 "
             "tokens (892733 in the messages, 384000 in the completion). Please reduce the length of the messages or completion.", (1276733, 1048576)),
    too_long("long-llama", "llama.cpp's text", "request (20028 tokens) exceeds the available context size (4096 tokens), try increasing it", (20028, 4096),
             body={"error": {"code": 400, "message": "request (20028 tokens) exceeds the available context size (4096 tokens), try increasing it",
                             "type": "exceed_context_size_error", "n_prompt_tokens": 20028, "n_ctx": 4096}}),
    too_long("long-vllm", "vLLM's text", "This model's maximum context length is 32768 tokens. However, you requested 32818 tokens in the messages, "
             "Please reduce the length of the messages.", (32818, 32768), flavor="vllm"),
    failed("long-window", "the text without numbers", 400, openai("Your input exceeds the context window of this model. Please adjust your input and try again.",
           code="context_length_exceeded"), refused(400, "invalid_request_error", "prompt is too long", "Your input exceeds the context window")),
    too_long("long-413", "status 413 with a context text", "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
             (9000, 8192), 413),
    # 1.11
    failed("limit-after", "a 429 with retry-after", 429, LIMITED, refused(429, "rate_limit_error", "Rate limit reached", retry_after="7"),
           row="1.11", headers={"retry-after": "7"}),
    failed("limit-after-ms", "a 429 with retry-after-ms", 429, LIMITED, refused(429, "rate_limit_error", retry_after_ms="1500"),
           row="1.11", headers={"retry-after-ms": "1500"}),
    failed("limit-no-retry", "a 429 that must not be retried", 429, LIMITED, refused(429, "rate_limit_error", x_should_retry="false"),
           row="1.11", headers={"x-should-retry": "false"}),
    failed("limit-reset", "a 429 without retry-after: the smaller reset that is not zero", 429, LIMITED,
           refused(429, "rate_limit_error", retry_after=("12", "13")), row="1.11",
           headers={**LIMITS, "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "12s"}),
    failed("limit-reset-duration", "resets as Go durations", 429, LIMITED, refused(429, "rate_limit_error", retry_after=("172", "173")), row="1.11",
           headers={**LIMITS, "x-ratelimit-remaining-tokens": "-5", "x-ratelimit-reset-tokens": "2m52.8s", "x-ratelimit-reset-requests": "0s"}),
    Scenario("limits", "1.11", "rate-limit headers of a good answer", means(HELLO, usage=SPENT, headers={
        "anthropic-ratelimit-requests-limit": "60", "anthropic-ratelimit-requests-remaining": "59",
        "anthropic-ratelimit-requests-reset": ..., "anthropic-ratelimit-tokens-limit": "150000",
        "anthropic-ratelimit-tokens-remaining": "149984", "anthropic-ratelimit-tokens-reset": ...}),
        whole(completion(), headers=LIMITS), stream(*TEXT, ended("stop"), headers=LIMITS)),
    Scenario("request-id", "1.1", "the upstream's own headers do no harm", means(HELLO, usage=SPENT),
             whole(completion(), headers={"x-request-id": "req_up", "openai-processing-ms": "12", "connection": "keep-alive"}),
             stream(*TEXT, ended("stop"), headers={"x-request-id": "req_up", "cache-control": "no-cache"})),
)

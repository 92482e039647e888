"""Scenarios of Chat Completions: answers and finish reasons (upstreams.md 1.6, 1.7) and usage (1.9)."""

from .chat_parts import *
from .scenario import NO_USAGE, Scenario, breaks, means, refused, table

TOOL = means(WEATHER, stop="tool_use", usage=SPENT)
REFUSAL = "I cannot help with that."
BOTH = means(WEATHER, TIME, stop="tool_use", usage=SPENT)
CALLED = (call(0, "call_1", "get_weather"), piece(0, '{"city":'), piece(0, '"Paris"}'), ended("tool_calls"))


def one_tool(name, says, arguments, meaning=TOOL, tool_name="get_weather", **odd):
    """A call with these arguments, whole and in one piece."""
    fields = {k: v for k, v in {"name": tool_name, "arguments": arguments}.items() if v is not ...}
    calls = [{"id": "call_1", "type": "function", "function": fields}]
    return Scenario(
        name, "1.6", says, meaning, answer(message(None, calls), "tool_calls"),
        stream(call(0, "call_1", tool_name, arguments), ended("tool_calls")), **odd,
    )


def used(name, says, usage, spent, odd="", flavor="", row="1.9"):
    return Scenario(
        name, row, says, means(HELLO, usage=spent), answer(usage=usage),
        stream(*TEXT, ended("stop"), used={**USED, "usage": usage}), odd=odd, flavor=flavor,
    )


def details(prompt, completion, cached=None, written=None, reasoning=None, total=None):
    """A usage object with OpenAI's details."""
    return {
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total or prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
    }


ANSWERS = table(
    Scenario("text", "1.6", "a plain text", means(HELLO, usage=SPENT), answer(), stream(*TEXT, ended("stop"))),
    Scenario("tool", "1.6", "one call of a tool", TOOL,
             answer(message(None, [tool("call_1", "get_weather", PARIS)]), "tool_calls"), stream(*CALLED)),
    Scenario("first-tool", "1.2 names", "a call of the first tool", TOOL,
             answer(message(None, [tool("call_1", "@first@", PARIS)]), "tool_calls"), stream(call(0, "call_1", "@first@"), piece(0, PARIS), ended("tool_calls"))),
    Scenario("text-and-tool", "1.6", "a text, then a call", means(HELLO, WEATHER, stop="tool_use", usage=SPENT),
             answer(message(calls=[tool("call_1", "get_weather", PARIS)]), "tool_calls"), stream(*TEXT, *CALLED)),
    Scenario("parallel-tools", "1.8", "two calls, one after the other", BOTH,
             answer(message(None, [tool("call_1", "get_weather", PARIS), tool("call_2", "get_time", UTC)]), "tool_calls"),
             stream(*CALLED[:-1], call(1, "call_2", "get_time"), piece(1, UTC), ended("tool_calls"))),
    Scenario("content-empty", "1.6", "an empty string beside a call is no text block", TOOL,
             answer(message("", [tool("call_1", "get_weather", PARIS)]), "tool_calls"), stream(said(""), *CALLED)),
    Scenario("nothing", "1.6", "an answer without content has no blocks", means(usage=SPENT),
             answer(message(None)), stream(ended("stop"))),
    Scenario("content-list", "1.6", "content as a list (Mistral): thinking, text, a reference",
             means(("thinking", "Hm."), HELLO, usage=SPENT),
             answer(message([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}], "closed": True},
                             {"type": "text", "text": "Hello"}, {"type": "reference", "reference_ids": [1]},
                             {"type": "text", "text": " there."}])),
             stream(said([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]),
                    said([{"type": "text", "text": "Hello"}]), said(" there."), ended("stop")),
             odd="OpenAI's content is a string"),
    Scenario("refusal", "1.6", "a refusal of its own field", means(("text", REFUSAL), stop="refusal", usage=SPENT),
             answer(message(None, refusal=REFUSAL)),
             stream(chunk({"refusal": "I cannot help"}), chunk({"refusal": " with that."}), ended("stop"))),
    Scenario("two-choices", "1.6", "of two choices the first counts", means(HELLO, usage=SPENT),
             whole({**completion(), "choices": [
                 *completion()["choices"], {**completion(message("Other."))["choices"][0], "index": 1}]}),
             stream(said("Other", index=1), *TEXT, said("!", index=1), chunk({}, "length", index=1), ended("stop"))),
    Scenario("no-choices", "1.6", "no choices and no error", refused(502, "api_error"),
             whole({**completion(), "choices": []}),
             odd="an answer without a meaning"),
    Scenario("error-without-choices", "1.6", "an error in a 200, without choices",
             refused((429, 502), ("rate_limit_error", "api_error"), "the provider is busy"),
             whole({"error": {"message": "the provider is busy", "code": 429}, "choices": None}),
             odd="an error with status 200"),
    one_tool("arguments-object", "arguments as an object (Mistral)", {"city": "Paris"}, odd="arguments are a string"),
    one_tool("arguments-empty", "arguments \"\"", "", means(NOW, stop="tool_use", usage=SPENT), tool_name="ring"),
    one_tool("arguments-null", "arguments null", None, means(NOW, stop="tool_use", usage=SPENT), tool_name="ring",
             odd_whole="arguments are a string"),
    one_tool("arguments-absent", "no arguments at all", ..., means(NOW, stop="tool_use", usage=SPENT), tool_name="ring",
             odd_whole="arguments are required"),
    one_tool("arguments-braces", "arguments {}", "{}", means(NOW, stop="tool_use", usage=SPENT), tool_name="ring"),
    Scenario("arguments-twice", "1.6", "arguments encoded twice, where the schema wants an object", TOOL,
             answer(message(None, [tool("call_1", "get_weather", '"{\\"city\\":\\"Paris\\"}"')]), "tool_calls"),
             odd="the SDK reads a string"),
    Scenario("arguments-cut", "spec 11", "half arguments of an answer that its length cut",
             means(HELLO, stop="max_tokens", usage=SPENT),
             answer(message(calls=[tool("call_1", "get_weather", '{"city":"Par')]), "length"), odd="no JSON"),
    Scenario("arguments-wrong", "1.8", "arguments that are no JSON: an error that names the tool",
             refused(502, "api_error", "get_weather"),
             answer(message(None, [tool("call_1", "get_weather", "city=Paris")]), "tool_calls"), odd="no JSON"),
    Scenario("arguments-list", "spec 11", "arguments that are no object", refused(502, "api_error", "get_weather"),
             answer(message(None, [tool("call_1", "get_weather", '["Paris"]')]), "tool_calls"), odd="no object"),
    Scenario("function-call", "1.6", "the old function_call", TOOL,
             answer(message(None, function_call={"name": "get_weather", "arguments": PARIS}), "function_call"),
             stream(chunk({"function_call": {"name": "get_weather", "arguments": ""}}),
                    chunk({"function_call": {"arguments": PARIS}}), ended("function_call")),
             odd="not in tool_calls"),
    Scenario("id-missing", "1.6", "a call without an id", TOOL,
             answer(message(None, [{"type": "function", "function": {"name": "get_weather", "arguments": PARIS}}]), "tool_calls"),
             stream(call(0, ..., "get_weather"), piece(0, PARIS), ended("tool_calls")), odd_whole="an id is required"),
    Scenario("ids-equal", "1.6", "two calls with one id", BOTH,
             answer(message(None, [tool("call_1", "get_weather", PARIS), tool("call_1", "get_time", UTC)]), "tool_calls"),
             stream(*CALLED[:-1], call(1, "call_1", "get_time"), piece(1, UTC), ended("tool_calls"))),
    Scenario("citation", "1.6", "a text with an annotation keeps its text", means(HELLO, usage=SPENT),
             answer(message(annotations=[{"type": "url_citation", "url_citation": {
                 "url": "https://sea.example/", "title": "Sea", "start_index": 0, "end_index": 5}}])),
             stream(*TEXT, chunk({"annotations": [{"type": "url_citation", "url_citation": {
                 "url": "https://sea.example/", "title": "Sea", "start_index": 0, "end_index": 5}}]}), ended("stop"))),
    # 1.7
    *(finished(f"finish-{name}", value, "end_turn", f"finish reason {value!r}", chat=value == "stop")
      for name, value in [("stop", "stop"), ("eos", "eos"), ("eos-token", "eos_token"), ("complete", "COMPLETE"),
                          ("end-turn", "end_turn"), ("empty", ""), ("unknown", "tired")]),
    *(finished(f"finish-{value.replace('_', '-')}", value, "max_tokens", f"finish reason {value!r}", chat=value == "length")
      for value in ["length", "model_length", "max_tokens"]),
    *(finished(f"finish-{value.replace('_', '-')}", value, "refusal", f"finish reason {value!r}", chat=value == "content_filter")
      for value in ["content_filter", "content_filtered", "sensitive", "guardrail_intervened", "safety"]),
    finished("finish-tool-calls", "tool_calls", "end_turn", "tool_calls without a call", chat=True),
    finished("finish-function-call", "function_call", "end_turn", "function_call without a call", chat=True),
    finished("stop-string", "stop", "stop_sequence", "vLLM names the stop sequence that matched", {"stop_reason": "END"},
             stop_sequence="END", chat=True),
    finished("stop-token", "stop", "end_turn", "vLLM names a stop token", {"stop_reason": 128009}, chat=True),
    *(Scenario(f"finish-{value.replace('_', '-')}", "1.7", f"finish reason {value!r} is an error",
               refused(502, ("api_error", "overloaded_error"), *words), answer(message("Hel"), value, choice=choice),
               stream(said("Hel"), ended(value, choice=choice)),
               streamed=breaks(("api_error", "overloaded_error"), *words, blocks=[("text", "Hel")]),
               odd="not in OpenAI's list of finish reasons")
      for value, choice, words in [
          ("error", {"error": {"code": 502, "message": "the model fell over"}}, ("the model fell over",)),
          ("network_error", None, ()), ("abort", None, ())]),
    Scenario("stop-with-tool", "1.7", "a call with finish reason stop", TOOL,
             answer(message(None, [tool("call_1", "get_weather", PARIS)]), "stop"), stream(*CALLED[:-1], ended("stop"))),
    Scenario("finish-null", "1.7", "no finish reason, but [DONE]", means(HELLO, usage=SPENT),
             stream=stream(*TEXT)),
    Scenario("finish-null-tool", "1.7", "a call, no finish reason, but [DONE]", TOOL, stream=stream(*CALLED[:-1])),
    # 1.9
    used("cached", "cached tokens are no input tokens", details(120, 30, 64, 0, 10),
         {"input_tokens": 56, "cache_read_input_tokens": 64, "cache_creation_input_tokens": 0, "output_tokens": 30,
          "thinking_tokens": 10}),
    used("cache-written", "written tokens are no input tokens", details(120, 30, 64, 16, 0),
         {"input_tokens": 40, "cache_read_input_tokens": 64, "cache_creation_input_tokens": 16, "output_tokens": 30}),
    used("cached-too-many", "more cached tokens than the prompt has", details(20, 9, 64), {"input_tokens": 0, "output_tokens": 9}),
    used("cache-deepseek", "DeepSeek's own names of cached tokens",
         {**USAGE, "prompt_tokens": 120, "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 56, "total_tokens": 129},
         {"input_tokens": 56, "cache_read_input_tokens": 64, "output_tokens": 9}, flavor="deepseek"),
    used("reasoning-beside", "xAI counts reasoning beside the completion", details(20, 9, 0, 0, 100, 129),
         {"input_tokens": 20, "output_tokens": 109, "thinking_tokens": 100}),
    used("usage-odd", "null, float and negative numbers",
         {"prompt_tokens": 20.0, "completion_tokens": 9, "total_tokens": None, "prompt_tokens_details": {
             "cached_tokens": -3, "text_tokens": -1}, "completion_tokens_details": None},
         {"input_tokens": 20, "output_tokens": 9}, odd="OpenAI's numbers are integers"),
    used("usage-short", "usage without totals and details", {"prompt_tokens": 20, "completion_tokens": 9}, SPENT,
         odd="total_tokens is required"),
    Scenario("usage-none", "1.9", "no usage at all", means(HELLO, usage=NO_USAGE), answer(usage=...),
             stream(*TEXT, ended("stop"), used=None)),
    Scenario("usage-null", "1.9", "usage null", means(HELLO, usage=NO_USAGE), answer(usage=None),
             stream(*TEXT, ended("stop"), used={**USED, "usage": None})),
)

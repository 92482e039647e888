"""What users of the Python SDK do, against a gateway: one line of output a check.

Runs inside a virtualenv that `run.py` made. The gateway is in `TIDEGATE_URL`, a key that it knows in
`TIDEGATE_KEY`, a model that a simulator answers in `TIDEGATE_MODEL`. The checks of its tools are in
`python_tools.py`: they need what `run.py` starts beside a gateway of its own.
"""

import asyncio
import json
import os
from datetime import datetime, timezone

import anthropic
import pydantic

import places
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
    beta_stream,
    call_of,
    check,
    follow,
    has,
    kinds,
    new_client,
    raises,
    results,
    run_checks,
    same,
    stream,
    text_of,
)


def is_now(block):
    """The result of `gateway:datetime` holds the present, in Tokyo."""
    content = block.content if isinstance(block.content, str) else block.content[0].text
    zone = json.loads(content)["timezones"][0]
    same(zone["timezone"], "Asia/Tokyo")
    age = datetime.now(timezone.utc) - datetime.fromisoformat(zone["datetime"])
    assert abs(age.total_seconds()) < 60, f"{zone['datetime']} is not now"
    has(zone["datetime"], "+09:00")


def shows_server_tool(message, rest, input_is_known=True):
    """Blocks of a turn in which the gateway ran `datetime` and `rest` came behind it."""
    same(kinds(message), ["text", "mcp_tool_use", "mcp_tool_result", *rest])
    call, result = (block for block in message.content if block.type.startswith("mcp_tool"))
    same((call.name, call.server_name), ("datetime", "gateway"))
    # streams outside of `beta` put no input into blocks that only `beta` knows
    same(call.input, {"timezones": ["Asia/Tokyo"]} if input_is_known else {})
    same((result.tool_use_id, bool(result.is_error)), (call.id, False))


@check("sends its key as this version does, and is let in")
def _():
    log = Log()
    new_client(log).messages.create(**ask("hello"))
    if MAJOR >= 2:
        same(log.headers.get("authorization"), f"Bearer {KEY}")
        same((log.headers.get("x-api-key"), log.headers["anthropic-version"]), (None, "2026-10-21"))
    else:
        same((log.headers.get("x-api-key"), log.headers.get("authorization")), (KEY, None))
        same(log.headers["anthropic-version"], "2023-06-01")


@check("has no block and no field that the gateway's list of texts lacks")
def _():
    same(places.missing(), [])


@check("sends the key in the other header as well")
def _():
    same(text_of(new_client(api_key=None, auth_token=KEY).messages.create(**ask("hello"))), "You said: hello")


@check("plain message")
def _():
    message = new_client().messages.create(**ask("hello \u2028 wörld"))
    same((kinds(message), text_of(message)), (["text"], "You said: hello \u2028 wörld"))
    same((message.role, message.stop_reason), ("assistant", "end_turn"))
    assert message.usage.input_tokens > 0 and message.usage.output_tokens > 0
    has(message._request_id or "", "req_")


@check("plain message through a base URL that ends with /v1")
def _():
    same(text_of(new_client(base_url=f"{URL}/v1").messages.create(**ask("hello"))), "You said: hello")


@check("plain message of the asynchronous client")
def _():
    async def run():
        async with anthropic.AsyncAnthropic(base_url=URL, api_key=KEY) as client:
            return await client.messages.create(**ask("hello"))

    same(text_of(asyncio.run(run())), "You said: hello")


@check("stream")
def _():
    first = ask("[sim: words 40] [sim: pace 1ms]")
    raw, message = stream(new_client(), first)
    deltas = "".join(e.delta.text for e in raw if e.type == "content_block_delta")
    same((text_of(message), len(deltas.split())), (deltas, 40))
    end = next(event for event in raw if event.type == "message_delta")
    same((message.stop_reason, message.usage.output_tokens), (end.delta.stop_reason, end.usage.output_tokens))
    whole = new_client().messages.create(**first)
    same((message.usage.output_tokens, message.usage.input_tokens), (whole.usage.output_tokens, whole.usage.input_tokens))
    same(text_of(message), text_of(whole))


@check("stream with padded data and CR LF")
def _():
    _, message = stream(new_client(), ask("hello [sim: padded] [sim: crlf]"))
    same(text_of(message), "You said: hello")


@check("stream of the asynchronous client")
def _():
    async def run():
        async with anthropic.AsyncAnthropic(base_url=URL, api_key=KEY) as client:
            async with client.messages.stream(**ask("hello")) as opened:
                return "".join([text async for text in opened.text_stream])

    same(asyncio.run(run()), "You said: hello")


@check("client tool, there and back")
def _():
    first = ask(CALL_WEATHER, tools=[WEATHER])
    message = new_client().messages.create(**first)
    same((message.stop_reason, kinds(message)), ("tool_use", ["text", "tool_use"]))
    same((call_of(message).name, call_of(message).input), ("get_weather", {"city": "Kiel"}))
    answer = new_client().messages.create(**follow(message, first, results(message, "rain, 7 degrees")))
    same(answer.stop_reason, "end_turn")
    has(text_of(answer), "rain, 7 degrees")


@check("client tool, there and back, streamed")
def _():
    first = ask(CALL_WEATHER, tools=[WEATHER])
    raw, message = stream(new_client(), first)
    parts = [e.delta.partial_json for e in raw if e.type == "content_block_delta" and e.delta.type == "input_json_delta"]
    same((json.loads("".join(parts)), call_of(message).input), ({"city": "Kiel"}, {"city": "Kiel"}))
    _, answer = stream(new_client(), follow(message, first, results(message, "rain, 7 degrees")))
    has(text_of(answer), "rain, 7 degrees")


@check("server tool: its blocks are seen, and go back in the history")
def _():
    client, first = new_client(), ask(CALL_DATETIME, tools=[DATETIME])
    message = client.beta.messages.create(**first)
    shows_server_tool(message, ["text"])
    is_now(next(block for block in message.content if block.type == "mcp_tool_result"))
    same((message.stop_reason, message.usage.server_tool_use.to_dict()["datetime_requests"]), ("end_turn", 1))
    answer = client.beta.messages.create(**follow(message, first, "and now?"))
    same(text_of(answer), "You said: and now?")


@check("server tool, streamed: its blocks are seen, and go back in the history")
def _():
    client, first = new_client(), ask(CALL_DATETIME, tools=[DATETIME])
    _, message = beta_stream(client, first)
    shows_server_tool(message, ["text"])
    is_now(next(block for block in message.content if block.type == "mcp_tool_result"))
    same((message.stop_reason, message.usage.server_tool_use.to_dict()["datetime_requests"]), ("end_turn", 1))
    answer = client.beta.messages.create(**follow(message, first, "and now?"))
    same(text_of(answer), "You said: and now?")


@check("server tool without the beta namespace, both ways")
def _():
    client, first = new_client(), ask(CALL_DATETIME, tools=[DATETIME])
    message = client.messages.create(**first)
    shows_server_tool(message, ["text"])
    same(text_of(client.messages.create(**follow(message, first, "again"))), "You said: again")
    _, message = stream(client, first)
    shows_server_tool(message, ["text"], input_is_known=False)
    same(text_of(client.messages.create(**follow(message, first, "again"))), "You said: again")


@check("three server tools in parallel")
def _():
    client, first = new_client(), ask(CALL_DATETIME + " [sim: parallel 3]", tools=[DATETIME])
    for message in (client.beta.messages.create(**first), beta_stream(client, first)[1]):
        same((kinds(message).count("mcp_tool_use"), kinds(message).count("mcp_tool_result")), (3, 3))
        same(text_of(client.beta.messages.create(**follow(message, first, "so"))), "You said: so")


@check("server tool with thinking: the signatures survive the history")
def _():
    client = new_client()
    first = ask(CALL_DATETIME, tools=[DATETIME], thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=2000)
    for message in (client.beta.messages.create(**first), beta_stream(client, first)[1]):
        same(kinds(message)[0], "thinking")
        assert message.content[0].signature, "no signature"
        same(text_of(client.beta.messages.create(**follow(message, first, "so"))), "You said: so")


@check("forced choice of a server tool")
def _():
    choice = {"type": "tool", "name": "gateway:datetime"}
    message = new_client().beta.messages.create(**ask("hi", tools=[DATETIME], tool_choice=choice))
    same((kinds(message)[-3:-1], message.stop_reason), (["mcp_tool_use", "mcp_tool_result"], "end_turn"))


def mixed(send):
    """A server tool and a client tool in one turn, then the client's result, then one more question."""
    first = ask(f"{CALL_DATETIME} {CALL_WEATHER}", tools=[DATETIME, WEATHER])
    message = send(first)
    same(message.stop_reason, "tool_use")
    same(sorted(kinds(message)), ["mcp_tool_result", "mcp_tool_use", "text", "tool_use"])
    second = follow(message, first, results(message, "rain, 7 degrees"))
    answer = send(second)
    same(answer.stop_reason, "end_turn")
    has(text_of(answer), "rain, 7 degrees")
    has(text_of(answer), "Asia/Tokyo")
    same(text_of(send(follow(answer, second, "thanks"))), "You said: thanks")


@check("server tool and client tool in one turn")
def _():
    mixed(lambda params: new_client().beta.messages.create(**params))


@check("server tool and client tool in one turn, streamed")
def _():
    mixed(lambda params: beta_stream(new_client(), params)[1])


@check("server tool first, client tool in a later turn")
def _():
    client = new_client()
    first = ask(f"{CALL_DATETIME} [sim: then] {CALL_WEATHER}", tools=[DATETIME, WEATHER])
    for message in (client.beta.messages.create(**first), beta_stream(client, first)[1]):
        shows_server_tool(message, ["text", "tool_use"])
        answer = client.beta.messages.create(**follow(message, first, results(message, "rain, 7 degrees")))
        has(text_of(answer), "rain, 7 degrees")


@check("out of turns: pause_turn, and the conversation goes on")
def _():
    client = new_client()
    first = ask(f"{CALL_DATETIME} [sim: turns 12]", tools=[DATETIME])
    message = client.beta.messages.create(**first)
    same(message.stop_reason, "pause_turn")
    history = first["messages"] + [{"role": "assistant", "content": message.content}]
    answer = client.beta.messages.create(**{**first, "messages": history})
    same(answer.stop_reason, "end_turn")
    same(kinds(message).count("mcp_tool_use") + kinds(answer).count("mcp_tool_use"), 12)


@check("error: a bad request is a 400 that says what is wrong")
def _():
    log = Log()
    error = raises(anthropic.BadRequestError, lambda: new_client(log).messages.create(**ask("x", model=17)))
    same((error.status_code, error.body["error"]["type"]), (400, "invalid_request_error"))
    same((error.request_id, len(log.bodies)), (error.body["request_id"], 1))
    has(error.body["error"]["message"], "model")


@check("error: an unknown server tool is named")
def _():
    call = ask("x", tools=[{"type": "gateway:no_such_tool"}])
    error = raises(anthropic.BadRequestError, lambda: new_client().messages.create(**call))
    has(error.body["error"]["message"], "gateway:no_such_tool")


@check("error: a wrong key is a 401, and is not tried again")
def _():
    log = Log()
    client = new_client(log, api_key="sk-nobody-knows-this")
    error = raises(anthropic.AuthenticationError, lambda: client.messages.create(**ask("hello")))
    same((error.body["error"]["type"], len(log.bodies)), ("authentication_error", 1))
    same(error.response.headers.get("x-should-retry"), "false")


@check("error: 529 comes through")
def _():
    client, call = new_client(max_retries=0), ask("[sim: error 529]")
    for answer in (lambda: client.messages.create(**call), lambda: list(client.messages.create(stream=True, **call))):
        error = raises(anthropic.OverloadedError, answer)
        same((error.status_code, error.body["error"]["type"]), (529, "overloaded_error"))


@check("error: retry-after-ms and x-should-retry reach the SDK")
def _():
    for rest, sent in (("retry-after-ms 1", 3), ("should-retry false", 1)):
        log = Log()
        call = ask(f"[sim: error 529 {rest}]")
        raises(anthropic.APIStatusError, lambda: new_client(log).messages.create(**call))
        same(len(log.bodies), sent)


@check("error: an error event that comes first is a status code")
def _():
    call = ask("hello [sim: error-event 529]")
    error = raises(anthropic.APIStatusError, lambda: list(new_client(max_retries=0).messages.create(stream=True, **call)))
    same((error.status_code, error.body["error"]["type"]), (529, "overloaded_error"))


def broken(directive, kind, **more):
    """A stream that begins well and must end with an error."""
    log, seen = Log(), []

    def read():
        for event in new_client(log).messages.create(stream=True, **ask(f"hello {directive}", **more)):
            seen.append(event.type)

    error = raises(kind, read)
    same((seen[0], "message_stop" in seen, len(log.bodies)), ("message_start", False, 1))
    return error


@check("error: an error event in the middle of a stream")
def _():
    error = broken("[sim: error-event 529 after 4]", anthropic.APIStatusError)
    same(error.body["error"]["type"], "overloaded_error")


@check("error: a stream that breaks upstream is never a whole answer")
def _():
    broken("[sim: break after 4]", Exception)
    broken("[sim: end after 4]", Exception)


@check("error: the second turn of a tool loop fails")
def _():
    second = f"{CALL_DATETIME} [sim: then] [sim: error 529 should-retry false]"
    error = broken(second, anthropic.APIStatusError, tools=[DATETIME])
    same(error.body["error"]["type"], "overloaded_error")
    call = ask(second, tools=[DATETIME])
    error = raises(anthropic.APIStatusError, lambda: new_client(max_retries=0).messages.create(**call))
    same(error.body["error"]["type"], "overloaded_error")


STATUSES = [
    (403, anthropic.PermissionDeniedError, "permission_error"),
    (404, anthropic.NotFoundError, "not_found_error"),
    (429, anthropic.RateLimitError, "rate_limit_error"),
    (500, anthropic.InternalServerError, "api_error"),
]


@check("error: each status has its class and its type")
def _():
    for status, kind, name in STATUSES:
        client, call = new_client(max_retries=0), ask(f"[sim: error {status}]")
        error = raises(kind, lambda: client.messages.create(**call))
        same((error.status_code, error.body["error"]["type"]), (status, name))
        error = raises(kind, lambda: list(client.messages.create(stream=True, **call)))
        same((error.status_code, error.body["error"]["type"]), (status, name))


@check("error: an answer that takes too long is a timeout of the client")
def _():
    client, call = new_client(max_retries=0, timeout=0.5), ask("[sim: wait 4s] hello")
    raises(anthropic.APITimeoutError, lambda: client.messages.create(**call))


class Port(pydantic.BaseModel):
    """The answer that `parse` wants."""

    name: str
    depth: int


@check("structured output: parse returns an object of the class")
def _():
    message = new_client().messages.parse(**ask("Name a port."), output_format=Port)
    assert isinstance(message.parsed_output, Port), f"{message.parsed_output!r}"
    same((message.stop_reason, Port.model_validate_json(text_of(message))), ("end_turn", message.parsed_output))


@check("structured output, streamed")
def _():
    with new_client().messages.stream(**ask("Name a port."), output_format=Port) as opened:
        deltas = "".join(opened.text_stream)
        message = opened.get_final_message()
    assert isinstance(message.parsed_output, Port), f"{message.parsed_output!r}"
    same(Port.model_validate_json(deltas), message.parsed_output)


@check("count_tokens, with a server tool as well")
def _():
    client, call = new_client(), {"model": MODEL, "messages": [{"role": "user", "content": "hello " * 40}]}
    plain = client.messages.count_tokens(**call).input_tokens
    more = client.beta.messages.count_tokens(tools=[DATETIME], **call).input_tokens
    assert 40 < plain < more, f"{plain}, with a tool {more}"


@check("models: list and one of them")
def _():
    client = new_client()
    listed = list(client.models.list(limit=1000))
    has([model.id for model in listed], MODEL)
    model = client.models.retrieve(MODEL)
    same((model.id, model.type), (MODEL, "model"))
    assert model.display_name and model.created_at, f"{model!r}"


def run_tools(tools, text, streamed):
    """The SDK's own tool runner, to its end: the last message, and what was sent."""

    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """The weather in a city.

        Args:
            city: Where
        """
        return f"rain in {city}"

    log = Log()
    runner = new_client(log).beta.messages.tool_runner(stream=streamed, **ask(text, tools=[get_weather, *tools]))
    if streamed:
        for turn in runner:
            for _ in turn:
                pass
            message = turn.get_final_message()
    else:
        message = runner.until_done()
    has(text_of(message), "rain in Kiel")
    same(message.stop_reason, "end_turn")
    threads = ["thread" in body for body in log.bodies]
    # it asks for a thread once, is told that there is none, and sends whole conversations from there on
    same(threads, [True, False, False] if MAJOR >= 2 else [False, False])


@check("tool runner with a client tool")
def _():
    run_tools([], CALL_WEATHER, streamed=False)
    run_tools([], CALL_WEATHER, streamed=True)


@check("tool runner with a client tool and a server tool")
def _():
    both = f"{CALL_DATETIME} {CALL_WEATHER}"
    run_tools([DATETIME], both, streamed=False)
    run_tools([DATETIME], both, streamed=True)


@check("tool runner with a server tool before a client tool")
def _():
    run_tools([DATETIME], f"{CALL_DATETIME} [sim: then] {CALL_WEATHER}", streamed=False)


if __name__ == "__main__":
    # through a family of providers, the tools' own checks would repeat those of the simulator
    if "TIDEGATE_LACKS" not in os.environ:
        import python_tools  # noqa: F401: registers its checks

    run_checks()

"""A second opinion: aimock, a fake of many providers by others, where it agrees with upstreams.md.

It disagrees for Gemini's calls (a finish reason that does not exist, no signatures) and for Bedrock (other frames): those
parts are not checked. Its Responses stream has no sequence numbers, which upstreams.md 2.6 asks a gateway to accept.
"""

import json

import gateways
from client import Client
from corpus import TOOLS, ask
from grammar import check_error, check_message, neutral, read
from meaning import block_fault

FIXTURES = {
    "fixtures": [
        {"match": {"userMessage": "greet"}, "response": {"content": "Hi from the mock, with a few words."}},
        {
            "match": {"userMessage": "weather"},
            "response": {"toolCalls": [{"name": "get_weather", "arguments": json.dumps({"city": "Paris"})}]},
        },
        {
            "match": {"userMessage": "both"},
            "response": {
                "toolCalls": [
                    {"name": "get_weather", "arguments": json.dumps({"city": "Paris"})},
                    {"name": "get_time", "arguments": json.dumps({"zone": "UTC"})},
                ]
            },
        },
        {
            "match": {"userMessage": "limit"},
            "response": {
                "error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"},
                "status": 429,
            },
        },
    ]
}
GREETING = ("text", "Hi from the mock, with a few words.")
WEATHER, TIME = ("tool_use", "get_weather", {"city": "Paris"}), ("tool_use", "get_time", {"zone": "UTC"})
CASES = [("greet", [GREETING], "end_turn"), ("weather", [WEATHER], "tool_use"), ("both", [WEATHER, TIME], "tool_use")]


def config(url, dialect):
    openai = {"type": "openai", "api_key": "mock", "base_url": f"{url}/v1"}
    providers = {
        "chat": {**openai, "api": "chat", "flavor": "openai"},
        "responses": {**openai, "api": "responses", "flavor": "openai"},
        "gemini": {"type": "gemini", "api_key": "mock", "base_url": f"{url}/v1beta"},
    }
    names = {"chat": "gpt-4.1", "responses": "gpt-4.1", "gemini": "gemini-2.5-flash"}
    return {
        "providers": {dialect: providers[dialect]},
        "models": {dialect: {"provider": dialect, "model": names[dialect]}},
    }


def answer_fault(client, dialect, word, blocks, stop, stream):
    found = client.post(
        "/v1/messages", {"model": dialect, **ask(word), "tools": TOOLS, **({"stream": True} if stream else {})}
    )
    if found.status != 200:
        return f"status {found.status}: {found.data[:300]!r}"
    message = read(found.data).message if stream else check_message(found.json())
    if fault := block_fault(neutral(message["content"]), blocks):
        return fault
    return None if message["stop_reason"] == stop else f"stop_reason {message['stop_reason']}"


def limit_fault(client, dialect, stream):
    found = client.post("/v1/messages", {"model": dialect, **ask("limit"), **({"stream": True} if stream else {})})
    check_error(found.json())
    error = found.json()["error"]
    return (
        None
        if (found.status, error["type"]) == (429, "rate_limit_error") and "slow down" in error["message"]
        else f"{found.status}: {error}"
    )


def run(binary, node, script, place, report):
    place.mkdir(parents=True, exist_ok=True)
    (place / "fixtures").mkdir()
    (place / "fixtures" / "all.json").write_text(json.dumps(FIXTURES))
    (port,) = gateways.free_ports(1)
    command = [node, script, "-p", port, "--host", "127.0.0.1", "-f", place / "fixtures"]
    with gateways.program(command, place / "aimock.log", gateways.answers(f"http://127.0.0.1:{port}/health")):
        for dialect in ("chat", "responses", "gemini"):
            try:
                with gateways.gateway(binary, place, config(f"http://127.0.0.1:{port}", dialect)) as url:
                    speak(Client(url), dialect, report)
            except gateways.Broken as error:
                report.add(f"aimock {dialect}", "the gateway starts", error)


def speak(client, dialect, report):
    for stream in (False, True):
        form = "streamed" if stream else "whole"
        for word, blocks, stop in CASES[:1] if dialect == "gemini" else CASES:
            report.check(
                f"aimock {dialect}",
                f"{form}: the answer to {word!r} has its blocks",
                answer_fault,
                client,
                dialect,
                word,
                blocks,
                stop,
                stream,
            )
        report.check(f"aimock {dialect}", f"{form}: a rate limit is one", limit_fault, client, dialect, stream)

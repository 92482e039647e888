"""Checks through a gateway against llama.cpp's own server, with random models: Chat, Responses, and its native door."""

import json
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import gateways
from client import Client
from corpus import IMAGE, TOOLS, ask, result, text
from grammar import Fault, check_error, check_message, neutral, read
from meaning import block_fault, short

HERE = Path(__file__).resolve().parent
DOORS = ("chat", "responses", "native")
WINDOW = 4096


@contextmanager
def servers(python, place):
    """Two llama.cpp servers: one calls tools, one talks; their addresses."""
    found = {}
    ports = gateways.free_ports(2)
    for kind in ("tools", "text"):
        model = place / f"{kind}.gguf"
        subprocess.run(
            [python, HERE / "llama" / "model.py", model, HERE / "llama" / "chat.jinja", kind], check=True, timeout=120
        )
    with (
        serving(python, place, "tools", ports[0]) as found["tools"],
        serving(python, place, "text", ports[1]) as found["text"],
    ):
        yield found


@contextmanager
def serving(python, place, kind, port):
    command = [python, HERE / "llama" / "serve.py", place / f"{kind}.gguf", port]
    with gateways.program(command, place / f"llama-{kind}.log", gateways.answers(f"http://127.0.0.1:{port}/health")):
        yield f"http://127.0.0.1:{port}"


def config(addresses):
    """A provider for each door of each server; an alias `DOOR-KIND`."""
    providers, models = {}, {}
    for kind, url in addresses.items():
        providers |= {
            f"chat-{kind}": {
                "type": "openai",
                "base_url": f"{url}/v1",
                "api_key": "none",
                "api": "chat",
                "flavor": "llamacpp",
            },
            f"responses-{kind}": {
                "type": "openai",
                "base_url": f"{url}/v1",
                "api_key": "none",
                "api": "responses",
                "flavor": "llamacpp",
            },
            f"native-{kind}": {"type": "anthropic", "base_url": url, "api_key": "none"},
        }
        models |= {f"{door}-{kind}": {"provider": f"{door}-{kind}", "model": "tiny"} for door in DOORS}
    return {"providers": providers, "models": models}


class Llama:
    def __init__(self, url, report):
        self.client, self.report = Client(url), report

    def message(self, alias, body, stream):
        """The answer as a message, with the grammar checked."""
        answer = self.client.post("/v1/messages", {"model": alias, **body, **({"stream": True} if stream else {})})
        assert answer.status == 200, f"status {answer.status}: {answer.data[:300]!r}"
        if not stream:
            return check_message(answer.json())
        # the bytes of a native door pass as they are, and this server's calls start without an input
        found = read(answer.data, bare_calls=alias.startswith("native"))
        assert not found.error, f"error event {found.error}"
        return found.message

    def unbroken(self, alias, body, stream):
        """The first answer that the server did not break. Its random text may be cut within a call, or lack its start;
        the gateway then answers 502, or passes on the half call of a stream."""
        broken = None
        for _ in range(20):
            try:
                return self.message(alias, body, stream)
            except (AssertionError, Fault) as error:
                broken = error
                if "status 502" not in str(error) and "is no JSON" not in str(error):
                    raise
        raise broken

    def door(self, door):
        for stream in (False, True):
            form = "streamed" if stream else "whole"
            for sentence, function in [
                ("a forced tool is called with input that fits its schema", self.forced),
                ("of two tools the named one is called", self.named),
                ("several calls have ids of their own", self.parallel),
                ("an answer that its length cuts is max_tokens", self.truncated),
                ("an empty answer has no blocks", self.empty),
                ("the result of a tool goes back", self.loop),
                ("an answer follows a JSON schema", self.schema),
            ]:
                if door == "native" and (
                    function not in (self.truncated, self.empty)
                    and stream
                    or function in (self.named, self.parallel, self.schema)
                ):
                    # the gateway passes this server's own bytes on: its streams open a block inside another, it has no output_config
                    continue
                self.report.check(f"llama {door}", f"{form}: {sentence}", function, door, stream)
        for sentence, function in [
            ("whole and streamed answers are equal", self.equal),
            ("a prompt that is too long is a 400 that clients know", self.overflow),
            ("a prompt that is too long is a status for streams too", self.overflow_stream),
            ("an image for a text model is an error", self.image),
            ("count_tokens counts", self.count),
        ]:
            if door != "native" or function != self.equal:
                self.report.check(f"llama {door}", sentence, function, door)

    @staticmethod
    def forcing(**more):
        return ask("Weather?", tools=[TOOLS[0]], tool_choice={"type": "any"}, max_tokens=400, **more)

    def forced(self, door, stream):
        # without chance: the text of a random model may be cut by the limit, or hold a number too large for a float
        message = self.message(f"{door}-tools", self.forcing(temperature=0), stream)
        calls = [block for block in message["content"] if block["type"] == "tool_use"]
        wrong = [
            call for call in calls if call["name"] != "get_weather" or not isinstance(call["input"].get("city"), str)
        ]
        return None if calls and not wrong and message["stop_reason"] in ("tool_use", "max_tokens") else short(message)

    def named(self, door, stream):
        body = ask("Time?", tools=TOOLS, tool_choice={"type": "tool", "name": "get_time"}, max_tokens=200)
        message = self.unbroken(f"{door}-tools", body, stream)
        calls = [block["name"] for block in message["content"] if block["type"] == "tool_use"]
        return None if calls and set(calls) == {"get_time"} else f"calls {calls}"

    def parallel(self, door, stream):
        # the model's text is random: several attempts until it makes more than one call
        for _ in range(20):
            message = self.message(f"{door}-tools", self.forcing(), stream)
            ids = [block["id"] for block in message["content"] if block["type"] == "tool_use"]
            if len(ids) > 1:
                return None if len(set(ids)) == len(ids) else f"ids {ids}"
        return "no answer of 20 has more than one call"

    def truncated(self, door, stream):
        message = self.unbroken(f"{door}-text", ask("Talk.", max_tokens=20), stream)
        # its Responses door reports `completed` all the same
        stops = ("max_tokens", "end_turn") if door == "responses" else ("max_tokens",)
        right = (
            message["stop_reason"] in stops
            and message["usage"]["output_tokens"] == 20
            and [block["type"] for block in message["content"]] == ["text"]
        )
        return None if right else short(message)

    def empty(self, door, stream):
        message = self.message(f"{door}-tools", ask("Hello"), stream)
        return None if message["content"] == [] and message["stop_reason"] == "end_turn" else short(message)

    def loop(self, door, stream):
        content = self.message(f"{door}-tools", self.forcing(temperature=0), stream)["content"]
        results = [result("sun", id=block["id"]) for block in content if block["type"] == "tool_use"]
        body = ask(
            "Weather?", {"role": "assistant", "content": content}, [*results, text("So?")], tools=TOOLS, max_tokens=50
        )
        return None if self.message(f"{door}-tools", body, stream)["stop_reason"] else "no stop_reason"

    def schema(self, door, stream):
        wanted = {
            "type": "object",
            "properties": {"sea": {"type": "boolean"}},
            "required": ["sea"],
            "additionalProperties": False,
        }
        body = ask("JSON", output_config={"format": {"type": "json_schema", "schema": wanted}}, max_tokens=200)
        if door == "responses":
            # this server ignores a schema there, so the gateway has to say that it did not carry over
            answer = self.client.post("/v1/messages", {"model": f"{door}-tools", **body, "stream": stream})
            dropped = answer.headers.get("x-tidegate-dropped", "")
            return None if "output_config.format" in dropped else f"dropped: {dropped!r}"
        message = self.message(f"{door}-tools", body, stream)
        if message["stop_reason"] == "max_tokens":
            return None
        found = json.loads("".join(block["text"] for block in message["content"] if block["type"] == "text"))
        return None if isinstance(found.get("sea"), bool) else f"found {found}"

    def equal(self, door):
        body = self.forcing(temperature=0)
        return block_fault(
            neutral(self.message(f"{door}-tools", body, True)["content"]),
            neutral(self.message(f"{door}-tools", body, False)["content"]),
        )

    def overflow(self, door, stream=False):
        answer = self.client.post("/v1/messages", {"model": f"{door}-text", **ask("a" * 9000), "stream": stream})
        if answer.status != 400:
            return f"status {answer.status}: {answer.data[:300]!r}"
        words = answer.data.decode()
        if door != "native":
            check_error(answer.json())
            words = answer.json()["error"]["message"]
            if not (words.startswith("prompt is too long: ") and f" tokens > {WINDOW} maximum" in words):
                return f"message {words!r}"
        return (
            None if "exceeds the available context size" in words else f"the upstream's own words are lost: {words!r}"
        )

    def overflow_stream(self, door):
        return self.overflow(door, True)

    def image(self, door):
        answer = self.client.post("/v1/messages", {"model": f"{door}-text", **ask([IMAGE, text("see")])})
        if answer.status < 400:
            return f"status {answer.status}"
        if door != "native":
            check_error(answer.json())
        return None

    def count(self, door):
        answer = self.client.post(
            "/v1/messages/count_tokens", {"model": f"{door}-text", "messages": ask("a" * 300)["messages"]}
        )
        if answer.status != 200:
            return f"status {answer.status}: {answer.data[:300]!r}"
        found = answer.json()["input_tokens"]
        # this server makes a token of each character; an estimate must be marked
        return (
            None
            if 300 < found < 400 or "x-tidegate-estimated" in answer.headers and found > 10
            else f"found {found}, headers {answer.headers}"
        )


def run(binary, python, place, report):
    place.mkdir(parents=True, exist_ok=True)
    with servers(python, place) as addresses, gateways.gateway(binary, place, config(addresses)) as url:
        llama = Llama(url, report)
        for door in DOORS:
            llama.door(door)
    shutil.rmtree(place, ignore_errors=True)

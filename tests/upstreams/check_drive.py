"""Tries `drive.py` on stand-ins for a gateway: an honest one passes every scenario, each lying one is found out.

The stand-in knows the table of scenarios and answers with their meaning; it translates nothing.
"""

import copy
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler

from check_fakes import address, post
from drive import run
from fakes.scenario import NO_USAGE
from fakes.server import Fakes, Server, handler
from judge_cases import CASES
from make_config import TABLES, service_account
from report import Report, finish

FAMILIES = ("chat", "responses", "gemini", "bedrock")
GOOD = {
    family: next((model, body) for name, model, _, body, words in CASES if name == family and words is None)
    for family in FAMILIES
}


def blocks_of(wanted):
    """Blocks of the Messages API with this meaning."""
    for n, block in enumerate(wanted.blocks):
        if block[0] == "tool_use":
            yield {
                "type": "tool_use",
                "id": f"toolu_{n}",
                "name": block[1],
                "input": {} if block[2] is ... else block[2],
            }
        else:
            yield {"type": block[0], block[0]: block[1], **({"signature": "s"} if block[0] == "thinking" else {})}


def message_of(alias, wanted):
    usage = (
        {"input_tokens": 7, "output_tokens": 7}
        if wanted.usage in (None, NO_USAGE)
        else {"input_tokens": 0, "output_tokens": 0, **wanted.usage}
    )
    thoughts = usage.pop("thinking_tokens", 0)
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": alias,
        "content": list(blocks_of(wanted)),
        "stop_reason": wanted.stop[0],
        "stop_sequence": wanted.stop_sequence,
        "usage": {**usage, "output_tokens_details": {"thinking_tokens": thoughts}},
    }


def events_of(message):
    yield {
        "type": "message_start",
        "message": {
            **message,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 7, "output_tokens": 1},
        },
    }
    for n, block in enumerate(message["content"]):
        kind = block["type"]
        empty = {
            "text": {"type": "text", "text": ""},
            "thinking": {"type": "thinking", "thinking": "", "signature": ""},
        }.get(kind, {**block, "input": {}})
        yield {"type": "content_block_start", "index": n, "content_block": empty}
        field, value = ("partial_json", json.dumps(block["input"])) if kind == "tool_use" else (kind, block[kind])
        yield {
            "type": "content_block_delta",
            "index": n,
            "delta": {"type": {"tool_use": "input_json"}.get(kind, kind) + "_delta", field: value},
        }
        yield {"type": "content_block_stop", "index": n}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]},
        "usage": message["usage"],
    }
    yield {"type": "message_stop"}


def error_of(wanted):
    return {
        "type": "error",
        "error": {"type": wanted.error[0], "message": " ".join(wanted.words) or "broken"},
        "request_id": "req_1",
    }


# each lie changes the events of a stream, or a whole answer
def lie(name, change):
    return name, change


def ends_well(events):
    """An error becomes a normal end."""
    if events[-1]["type"] == "error":
        rest = [
            *events[:-1],
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": 1},
            },
            {"type": "message_stop"},
        ]
        return rest if rest[0]["type"] == "message_start" else events
    return events


def changed(kind, path, value):
    def change(events):
        for event in events:
            if event["type"] == kind:
                place = event
                for step in path[:-1]:
                    place = place[step]
                if path[-1] in place:
                    place[path[-1]] = value
        return events

    return change


LIES = [
    lie("errors end well", ends_well),
    lie("every end is end_turn", changed("message_delta", ("delta", "stop_reason"), "end_turn")),
    lie("usage is always 1", changed("message_delta", ("usage", "output_tokens"), 1)),
    lie("no message_stop", lambda events: [event for event in events if event["type"] != "message_stop"]),
    lie("block indexes are 0", changed("content_block_start", ("index",), 0)),
    lie("tool names are lost", changed("content_block_start", ("content_block", "name"), "tool")),
    lie(
        "thinking is lost",
        lambda events: [event for event in events if event.get("delta", {}).get("type") != "thinking_delta"],
    ),
    lie("errors have the wrong type", changed("error", ("error", "type"), "not_found_error")),
    lie(
        "something follows an error",
        lambda events: [*events, {"type": "message_stop"}] if events[-1]["type"] == "error" else events,
    ),
    lie("an open block breaks", lambda events: [event for event in events if event["type"] != "content_block_stop"]),
]


def stand_in(fakes_url, change):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            family, _, name = body["model"].partition("/")
            scenario, form = TABLES[family][name], "stream" if body.get("stream") else "whole"
            model, good = GOOD[family]
            target, headers = address(fakes_url, family, model)
            post(target, headers, json.dumps(good).encode())
            wanted = scenario.wanted(form)
            message = message_of(body["model"], wanted)
            if wanted.status:
                named = {
                    name: value[0] if isinstance(value, tuple) else "1" if value is ... else value
                    for name, value in wanted.headers.items()
                }
                return self.answer(
                    wanted.status[0],
                    "application/json",
                    json.dumps(changed_error(error_of(wanted), change)),
                    {"request-id": "req_1", **named},
                )
            headers = {name: "1" if value is ... else value for name, value in wanted.headers.items()}
            if form == "whole":
                return self.answer(200, "application/json", json.dumps(message), headers)
            events = list(events_of(message))
            if wanted.breaks:
                events = [*events[:-2], error_of(wanted)]
            events = change(copy.deepcopy(events)) if change else events
            text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
            self.answer(200, "text/event-stream", text, headers)

        def answer(self, status, kind, text, headers):
            data = text.encode()
            self.send_response(status)
            for name, value in {"content-type": kind, "content-length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            """Quiet."""

    return Handler


def changed_error(error, change):
    return change([error])[0] if change else error


def main():
    report = Report("drive's own logic", "--verbose" in sys.argv)
    server = Server(("127.0.0.1", 0), None)
    fakes_url = f"http://127.0.0.1:{server.server_address[1]}"
    server.RequestHandlerClass = handler(Fakes(sys.argv[1], service_account(fakes_url)[0]))
    gateway = Server(("127.0.0.1", 0), None)
    for one in (server, gateway):
        threading.Thread(target=one.serve_forever, daemon=True).start()
    for name, change in [("honest", None), *LIES]:
        gateway.RequestHandlerClass = stand_in(fakes_url, change)
        quiet, sys.stdout = sys.stdout, open("/dev/null", "w")
        try:
            found = run(
                f"http://127.0.0.1:{gateway.server_address[1]}",
                fakes_url,
                FAMILIES if change is None else ("chat", "responses"),
                ("scenarios",),
                False,
            )
        finally:
            sys.stdout.close()
            sys.stdout = quiet
        if change is None:
            report.add(
                "stand-in",
                "an honest gateway passes every scenario",
                f"{found.failed} checks fail" if found.failed else None,
            )
        else:
            report.add(
                "stand-in",
                f"a gateway that lies is found out: {name} ({found.failed} checks)",
                None if found.failed else "no check fails",
            )
    finish(report)


if __name__ == "__main__":
    main()

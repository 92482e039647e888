"""What Claude Code does against a gateway: `claude -p`, once a check."""

import json
import os
import re
import shlex
import socket
import subprocess
import threading
import time
from datetime import datetime, timezone

from install import ROOT

MODEL = "claude-opus-5-5"
# it asks for `thinking: enabled`, and sends the signatures back
THINKER = "claude-haiku-4-5"
PATIENCE = 60
BASH = '[sim: call Bash {"command": "echo tide-$((40+2))", "description": "Adds"}]'
DATETIME = '[sim: call datetime {"timezones": ["Asia/Tokyo"]}]'


class Outside:
    """Stands where a proxy to the outside would: lists who was asked for, and lets nobody through."""

    def __init__(self):
        self.asked = []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.server.getsockname()[1]
        threading.Thread(target=self.refuse, daemon=True).start()

    def refuse(self):
        while True:
            connection, _ = self.server.accept()
            with connection:
                connection.settimeout(1)
                try:
                    self.asked.append(connection.recv(300).split(b"\r\n")[0].decode(errors="replace"))
                    connection.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
                except OSError:
                    self.asked.append("a connection")


class Claude:
    """One user of Claude Code, with a home and a working directory of its own."""

    def __init__(self, program, gateway, place):
        self.program, self.gateway, self.outside = program, gateway, Outside()
        self.patience = PATIENCE
        self.home, self.work = place / "home", place / "work"
        self.home.mkdir(parents=True)
        self.work.mkdir()

    def ask(self, prompt, *options, key=None, bearer=False, model=MODEL):
        """What it printed as JSON, event by event; the seconds that it took; its exit status."""
        name = "ANTHROPIC_AUTH_TOKEN" if bearer else "ANTHROPIC_API_KEY"
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "ANTHROPIC_BASE_URL": self.gateway.url,
            name: key or self.gateway.key,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "HTTP_PROXY": self.outside.url,
            "HTTPS_PROXY": self.outside.url,
            "NO_PROXY": "127.0.0.1,localhost",
        }
        command = [self.program, "-p", prompt, "--model", model, "--output-format", "stream-json", "--verbose", *options]
        begin = time.monotonic()
        done = subprocess.run(
            command,
            cwd=self.work,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=self.patience,
        )
        seconds = time.monotonic() - begin
        told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert told and told[-1]["type"] == "result", f"no result, but {done.stdout[-300:]} {done.stderr[-300:]}"
        return told, seconds, done.returncode


def blocks(told):
    """The content of all messages, in order."""
    messages = [event["message"] for event in told if event["type"] in ("assistant", "user")]
    return [block for message in messages for block in message["content"]]


def succeeded(told, status):
    end = told[-1]
    same((status, end["is_error"], end["subtype"]), (0, False, "success"))
    return end["result"]


def same(found, wanted):
    assert found == wanted, f"found {found!r}, wanted {wanted!r}"


def has(text, part):
    assert part in text, f"found {text!r}, without {part!r}"


def plain(claude):
    for bearer in (False, True):
        told, _, status = claude.ask("hello there", bearer=bearer)
        same(succeeded(told, status), "You said: hello there")


def partial_messages(claude):
    told, _, status = claude.ask("[sim: words 40] [sim: pace 2ms]", "--include-partial-messages")
    deltas = [event["event"]["delta"] for event in told if event["type"] == "stream_event" and "delta" in event["event"]]
    text = "".join(delta.get("text", "") for delta in deltas)
    same((text.strip(), len(text.split())), (succeeded(told, status).strip(), 40))


def tool(claude):
    told, _, status = claude.ask(BASH, "--allowedTools", "Bash")
    has(succeeded(told, status), "tide-42")
    same([block["type"] for block in blocks(told)], ["text", "tool_use", "tool_result", "text"])


def file_tools(claude):
    (claude.work / "tide.txt").write_text("high at noon\n")
    read = json.dumps({"file_path": str(claude.work / "tide.txt")})
    told, _, status = claude.ask(f"[sim: call Read {read}] {BASH}", "--allowedTools", "Read,Bash")
    has(succeeded(told, status), "high at noon")
    has(succeeded(told, status), "tide-42")


def thinking(claude):
    for model in (MODEL, THINKER):
        told, _, status = claude.ask(f"[sim: thinking] {BASH}", "--allowedTools", "Bash", model=model)
        has(succeeded(told, status), "tide-42")


def long_answer(claude):
    told, _, status = claude.ask("[sim: words 3000]")
    same(len(succeeded(told, status).split()), 3000)


def odd_streams(claude):
    told, _, status = claude.ask("hello [sim: padded] [sim: crlf] [sim: unknown event] [sim: unknown delta]")
    same(succeeded(told, status), "You said: hello")


def dead_key(claude):
    before = claude.gateway.answered() if claude.gateway.metrics else 0
    told, seconds, status = claude.ask("hello", key="sk-nobody-knows-this")
    same((status, told[-1]["is_error"], told[-1]["api_error_status"]), (1, True, 401))
    assert seconds < 15, f"it took {seconds:.0f} s"
    if claude.gateway.metrics:
        same(claude.gateway.answered() - before, 1)


def final_error(claude):
    told, seconds, status = claude.ask("[sim: error 529 should-retry false]")
    same((status, told[-1]["is_error"], told[-1]["api_error_status"]), (1, True, 529))
    assert seconds < 15, f"it took {seconds:.0f} s"


def refused(claude):
    told, _, status = claude.ask("[sim: error 400 message prompt is too long: 9 tokens > 8 maximum]")
    same((status, told[-1]["is_error"]), (1, True))
    has(told[-1]["result"].lower(), "prompt is too long")


def hidden_tool(claude):
    clock = {"key": claude.gateway.keys["clock"]}
    told, _, status = claude.ask(DATETIME, **clock)
    answer = succeeded(told, status)
    has(answer, "Asia/Tokyo")
    zone = json.loads(answer[answer.index("{") :])["timezones"][0]
    age = datetime.now(timezone.utc) - datetime.fromisoformat(zone["datetime"])
    assert abs(age.total_seconds()) < 60, f"{zone['datetime']} is not now"
    same({block["type"] for block in blocks(told)}, {"text"})
    told, _, status = claude.ask("and now?", "--continue", **clock)
    same(succeeded(told, status), "You said: and now?")


def hidden_tool_before_its_own(claude):
    clock = {"key": claude.gateway.keys["clock"], "model": THINKER}
    told, _, status = claude.ask(f"{DATETIME} [sim: then] {BASH}", "--allowedTools", "Bash", **clock)
    has(succeeded(told, status), "tide-42")
    # once or twice: what is hidden is no part of the history by which the simulator counts rounds
    calls = {block["name"] for block in blocks(told) if block["type"].endswith("tool_use")}
    same(calls, {"Bash"})
    told, _, status = claude.ask("go on", "--continue", **clock)
    same(succeeded(told, status), "You said: go on")


def hidden_tool_beside_its_own(claude):
    clock = {"key": claude.gateway.keys["clock"]}
    told, _, status = claude.ask(f"{DATETIME} {BASH}", "--allowedTools", "Bash", **clock)
    has(succeeded(told, status), "tide-42")
    calls = [block["name"] for block in blocks(told) if block["type"].endswith("tool_use")]
    same(calls, ["Bash"])


def hidden_search(claude):
    search = {"key": claude.gateway.keys["search"]}
    told, _, status = claude.ask('[sim: call web_search {"query": "tides"}]', **search)
    has(succeeded(told, status), "Part 0 & what the moon does")
    same({block["type"] for block in blocks(told)}, {"text"})
    both = f'[sim: call web_search {{"query": "tides"}}] {BASH}'
    told, _, status = claude.ask(both, "--allowedTools", "Bash", **search)
    has(succeeded(told, status), "tide-42")
    calls = [block["name"] for block in blocks(told) if block["type"].endswith("tool_use")]
    same(calls, ["Bash"])
    told, _, status = claude.ask("and now?", "--continue", **search)
    same(succeeded(told, status), "You said: and now?")


def searched(claude, query):
    """What its own tool WebSearch makes of a request of its own, with `web_search_20250305`, in which this is searched."""
    inner = f'[sim: call web_search {json.dumps({"query": query})}] [sim: then] [sim: say that is all]'
    outer = f"[sim: call WebSearch {json.dumps({'query': inner})}]"
    told, _, status = claude.ask(outer, "--allowedTools", "WebSearch")
    succeeded(told, status)
    (result,) = [block["content"] for block in blocks(told) if block["type"] == "tool_result"]
    has(result, "that is all")
    count = sum(usage["webSearchRequests"] for usage in told[-1]["modelUsage"].values())
    return result, count


def own_search(claude):
    result, count = searched(claude, "tides")
    has(result, '{"title":"Tides, part 0","url":"https://sea.example/page/0"}')
    has(result, '{"title":"Tides, part 1","url":"https://news.moon.example/page/1"}')
    same(count, 1)


def own_search_fails(claude):
    result, _ = searched(claude, "busy")
    has(result, "Web search error: too_many_requests")


def nobody_else(claude):
    same(claude.outside.asked, [])


def page(claude):
    """The first command of the page, with this gateway's address and key."""
    text = (ROOT / "docs" / "start" / "claude-code.md").read_text()
    command, shown = re.search(r"^```sh\n(.*?)\n```\n```text\n(.*?)\n```$", text, re.DOTALL | re.MULTILINE).groups()
    words = shlex.split(command)
    given = dict(word.split("=", 1) for word in words if word.startswith("ANTHROPIC_"))
    same(given, {"ANTHROPIC_BASE_URL": "http://127.0.0.1:4000", "ANTHROPIC_AUTH_TOKEN": "any"})
    program, *arguments = words[len(given) :]
    same(program, "claude")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(claude.home),
        "ANTHROPIC_BASE_URL": claude.gateway.url,
        "ANTHROPIC_AUTH_TOKEN": claude.gateway.key,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "HTTP_PROXY": claude.outside.url,
        "HTTPS_PROXY": claude.outside.url,
        "NO_PROXY": "127.0.0.1,localhost",
    }
    done = subprocess.run(
        [claude.program, *arguments], cwd=claude.work, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=PATIENCE,
    )
    same(done.stdout.strip(), shown)


CHECKS = [
    ("the command on its page", page),
    ("plain answer, with its key in either header", plain),
    ("stream, piece by piece", partial_messages),
    ("long answer", long_answer),
    ("stream with padded data, CR LF, and what it does not know", odd_streams),
    ("tool: runs Bash and goes on", tool),
    ("tools: Read and Bash in one turn", file_tools),
    ("tool behind thinking", thinking),
    ("error: a dead key ends at once", dead_key),
    ("error: a 529 that must not be retried ends at once", final_error),
    ("error: `prompt is too long` is understood", refused),
    ("server tool that a policy added stays hidden, and the conversation goes on", hidden_tool),
    ("hidden server tool, then its own tool", hidden_tool_before_its_own),
    ("hidden server tool beside its own tool", hidden_tool_beside_its_own),
    ("hidden search, alone and beside its own tool", hidden_search),
    ("WebSearch, its own, is fulfilled by the gateway", own_search),
    ("WebSearch, its own, hears by its code why there is nothing", own_search_fails),
    ("talked to nobody but the gateway", nobody_else),
]


def checks(program, gateway, place):
    """Runs every check; yields the line of each."""
    claude = Claude(program, gateway, place)
    for name, run in CHECKS:
        if ("hidden" in name or "WebSearch" in name) and not gateway.keys:
            yield f"skip {name}: the gateway was not started here"
            continue
        try:
            run(claude)
        except Exception as error:  # a check may fail in any way
            yield f"FAIL {name}: {type(error).__name__}: {' '.join(str(error).split())}"
        else:
            yield f"ok {name}"
    yield "end"

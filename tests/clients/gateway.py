"""Gateways with the simulator behind them, started for the clients and stopped behind them."""

import json
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from install import ROOT, target_dir
from outside import BRAVE_KEY, IMAGES_KEY

MODEL = "sim"
# of callers whose requests are treated in a way of their own (`pipeline` below), and of all others
KEYS = ("clients", "clock", "search", "edited", "answered", "looped")
# plugins are compiled at the first start, on a machine that may be busy
PATIENCE = 120

CONFIG = """\
listen: 127.0.0.1:{port}
admin: {{ listen: 127.0.0.1:{admin} }}
providers:
  sim: {{ type: simulator }}
models:
  {model}: {{ provider: sim, model: sim-1 }}
  # asked by `gateway:advisor` only
  counsel: {{ provider: sim, model: sim-2 }}
  # understands less than others
  narrow: {{ provider: sim, model: sim-1, unsupported: [top_k, "tool:web_search_*"] }}
  "*": {{ provider: sim }}
keys:
{keys}plugins:
  dir: "{plugins}"
  config:
    advisor: {{ model: counsel, allow_models: [counsel] }}
    image-generation:
      allow_hosts: ["127.0.0.1:{outside}"]
      publish: true
      url: http://127.0.0.1:{outside}/images
      api_key: "{images_key}"
      model: painter
    web-fetch: {{ allow_hosts: ["*", "127.0.0.1:{outside}"] }}
    web-search:
      allow_hosts: ["127.0.0.1:{outside}"]
      backend: {{ type: searxng, url: "http://127.0.0.1:{outside}/searxng" }}
egress: {{ allow_private: ["127.0.0.1/32"] }}
pipeline:
  # a client that declares no tool of the gateway gets one all the same, and must not notice
  - {{ policy: add-server-tools, with: {{ tools: [datetime] }}, when: {{ key: clock }} }}
  - {{ policy: add-server-tools, with: {{ tools: [web_search] }}, when: {{ key: search }} }}
  - {{ plugin: rewrite, with: {edits}, when: {{ key: edited }} }}
  - {{ plugin: strictness }}
  - {{ policy: answered, when: {{ key: answered }} }}
  - {{ policy: looped, when: {{ key: looped }} }}
"""

POLICIES = {
    # answers in the model's place, with the blocks that a request asks for
    "answered": """\
fn on_request(request, ctx) {
    let content = [];
    if request.thinking?.type == "enabled" { content.push(#{ type: "thinking", thinking: "15 * 37 is 555" }); }
    if request.tools != () {
        content.push(#{ type: "tool_use", id: "toolu_1", name: request.tools[0].name });
    } else {
        content.push(#{ type: "text", text: "one two three" });
    }
    respond(#{ content: content });
}
""",
    # has the simulator call the gateway's clock first, and then do what it would have done
    "looped": """\
fn on_request(request, ctx) {
    let calls = " [sim: call datetime] [sim: then] ";
    if request.tools != () { calls += `[sim: call ${request.tools[0].name}]`; }
    let last = request.messages[-1];
    if type_of(last.content) == "string" {
        request.messages[-1].content = last.content + calls;
    } else {
        request.messages[-1].content.push(#{ type: "text", text: calls });
    }
    add_tool(#{ type: "gateway:datetime" });
}
""",
}

# what is asked of the other services, and a tool that gives up soon
OTHER = """\
listen: 127.0.0.1:{port}
admin: {{ listen: 127.0.0.1:{admin} }}
providers:
  sim: {{ type: simulator }}
models:
  "*": {{ provider: sim }}
keys:
{keys}plugins:
  dir: plugins
  config:
    web-fetch: {{ allow_hosts: ["127.0.0.1:{outside}"], deadline: 1s }}
    web-search:
      allow_hosts: ["127.0.0.1:{outside}"]
      backend: {{ type: brave, api_key: "{brave_key}", url: "http://127.0.0.1:{outside}/brave/search" }}
egress: {{ allow_private: ["127.0.0.1/32"] }}
"""

# all of them show in what the simulator answers
EDITS = {
    "rename": {"/max_output_tokens": "/max_tokens"},
    "set": {"/stop_sequences": ["harbour"]},
    "cap": {"/max_tokens": 50},
}


@dataclass
class Gateway:
    """Where a gateway is, and what it takes."""

    url: str
    key: str
    model: str
    # the rest only of one that was started here
    metrics: str | None = None
    # of callers for whom a policy adds a tool, or whose requests are edited, by name
    keys: dict = field(default_factory=dict)
    # the site that its tools reach
    outside: str | None = None
    # another one, with other services behind its tools
    other: str | None = None

    def answered(self):
        """How many exchanges there were since it started."""
        with urllib.request.urlopen(self.metrics, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("tidegate_requests_total"))


@contextmanager
def started(binary, place, outside):
    """Runs the built binary twice, with configs and logs in `place`; `outside` is what its tools reach."""
    binary = Path(binary or target_dir() / "debug" / "tidegate")
    if not binary.is_file():
        raise SystemExit(f"there is no {binary}: `cargo build` makes it, or name one with --binary")
    plugins = ROOT / "plugins"
    if not (plugins / "datetime.wasm").is_file():
        raise SystemExit("there is no plugins/datetime.wasm: `cargo xtask plugins` makes it")
    keys = {name: "sk-tidegate-" + secrets.token_hex(16) for name in KEYS}
    common = {
        "model": MODEL,
        "keys": "".join(f'  - {{ name: {name}, key: "{key}" }}\n' for name, key in keys.items()),
        "outside": outside.port,
        "images_key": IMAGES_KEY,
        "brave_key": BRAVE_KEY,
        "edits": json.dumps(EDITS),
    }
    (place / "policies").mkdir()
    for name, script in POLICIES.items():
        (place / "policies" / f"{name}.rhai").write_text(script)
    other = place / "other"
    (other / "plugins").mkdir(parents=True)
    # compiled plugins are known by content: what has not changed is not compiled again
    compiled = target_dir() / "clients" / "compiled"
    compiled.mkdir(parents=True, exist_ok=True)
    for home in (place, other):
        # the rest of the folder, such as the ledger, belongs to one gateway
        (home / ".tidegate").mkdir()
        (home / ".tidegate" / "cache").symlink_to(compiled)
    for name in ("web-fetch", "web-search"):
        (other / "plugins" / f"{name}.wasm").symlink_to(plugins / f"{name}.wasm")
    with (
        running(binary, place, CONFIG, plugins=plugins, **common) as (url, metrics),
        running(binary, other, OTHER, **common) as (other_url, _),
    ):
        yield Gateway(url, keys["clients"], MODEL, metrics, keys, outside.url, other_url)


@contextmanager
def running(binary, place, config, **terms):
    """One gateway; its address, and that of its metrics."""
    port, admin = free_ports(2)
    (place / "tidegate.yaml").write_text(config.format(port=port, admin=admin, **terms))
    log = place / "log"
    with log.open("wb") as out:
        child = subprocess.Popen([binary, "serve"], cwd=place, stdout=out, stderr=out)
    try:
        wait_until_ready(child, f"http://127.0.0.1:{admin}/readyz", log)
        yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin}/metrics"
    finally:
        child.terminate()
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()


def wait_until_ready(child, url, log):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise SystemExit(f"the gateway ended with {child.returncode}:\n{log.read_text()}")
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise SystemExit(f"the gateway was not ready after {PATIENCE} s:\n{log.read_text()}")


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports

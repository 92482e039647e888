"""A gateway with the simulator behind it, started for the clients and stopped behind them."""

import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from install import ROOT, target_dir

MODEL = "sim"
PATIENCE = 30

CONFIG = """\
listen: 127.0.0.1:{port}
admin: {{ listen: 127.0.0.1:{admin} }}
providers:
  sim: {{ type: simulator }}
models:
  {model}: {{ provider: sim, model: sim-1 }}
  "*": {{ provider: sim }}
keys:
  - {{ name: clients, key: "{key}" }}
  - {{ name: clock, key: "{clock_key}" }}
plugins: {{ dir: "{plugins}" }}
policies: {{ dir: policies }}
pipeline:
  - {{ policy: clock, when: {{ key: clock }} }}
"""

# a client that declares no tool of the gateway gets one all the same, and must not notice
CLOCK = """\
fn on_request(request, ctx) {
    if request.tools == () { request.tools = []; }
    request.tools.push(#{ type: "gateway:datetime" });
}
"""


@dataclass
class Gateway:
    """Where a gateway is, and what it takes."""

    url: str
    key: str
    model: str
    # of a caller for whom a policy adds `gateway:datetime`
    clock_key: str | None = None
    metrics: str | None = None

    def answered(self):
        """How many exchanges there were since it started."""
        with urllib.request.urlopen(self.metrics, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("tidegate_requests_total"))


@contextmanager
def started(binary, place):
    """Runs the built binary with a config and a log in `place`."""
    binary = Path(binary or target_dir() / "debug" / "tidegate")
    if not binary.is_file():
        raise SystemExit(f"there is no {binary}: `cargo build` makes it, or name one with --binary")
    plugins = ROOT / "plugins"
    if not (plugins / "datetime.wasm").is_file():
        raise SystemExit("there is no plugins/datetime.wasm: `cargo xtask plugins` makes it")
    port, admin = free_ports(2)
    key, clock_key = ("sk-tidegate-" + secrets.token_hex(16) for _ in range(2))
    (place / "policies").mkdir()
    (place / "policies" / "clock.rhai").write_text(CLOCK)
    config = place / "tidegate.yaml"
    config.write_text(
        CONFIG.format(port=port, admin=admin, model=MODEL, key=key, clock_key=clock_key, plugins=plugins)
    )
    log = place / "log"
    with log.open("wb") as out:
        child = subprocess.Popen([binary, "serve", "--config", config], cwd=place, stdout=out, stderr=out)
    try:
        wait_until_ready(child, f"http://127.0.0.1:{admin}/readyz", log)
        metrics = f"http://127.0.0.1:{admin}/metrics"
        yield Gateway(f"http://127.0.0.1:{port}", key, MODEL, clock_key, metrics)
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

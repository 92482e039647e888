"""Starts a gateway with a config, and other programs, for the suites; stops what it started."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 120


def free_ports(count):
    """Ports without a listener."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Broken(Exception):
    """A program did not start; the text says why."""


@contextmanager
def program(command, log, is_ready, **more):
    """Runs a program until the block ends. `is_ready` is called until it returns true."""
    with log.open("wb") as out:
        child = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=out, stderr=out, **more)
    try:
        deadline = time.monotonic() + PATIENCE
        while not is_ready():
            if child.poll() is not None or time.monotonic() > deadline:
                raise Broken(
                    f"{Path(str(command[0])).name} does not start (status {child.poll()}):\n{log.read_text()[-3000:]}"
                )
            time.sleep(0.05)
        yield child
    finally:
        child.terminate()
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def answers(url):
    """Whether an address answers with 200."""

    def ready():
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    return ready


@contextmanager
def gateway(binary, place, config=None):
    """A gateway in `place`, with this config or the one that lies there; its address."""
    file = place / "tidegate.yaml"
    found = json.loads(file.read_text()) if config is None else config
    port, admin = free_ports(2)
    found |= {"listen": f"127.0.0.1:{port}", "admin": {"listen": f"127.0.0.1:{admin}"}}
    # several gateways run in one folder, and a ledger belongs to one of them
    found.setdefault("ledger", "off")
    file.write_text(json.dumps(found, indent=1))
    with program([binary, "serve"], place / "gateway.log", answers(f"http://127.0.0.1:{admin}/readyz"), cwd=place):
        yield f"http://127.0.0.1:{port}"

"""A gateway that the suites start, kill, start again and question."""

import asyncio
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import closing
from decimal import Decimal
from pathlib import Path

from gateways import Broken, answers, free_ports

PATIENCE = 120
LINE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def keys(*names, **more):
    """Entries of `keys:`; the key itself follows from its name."""
    return [{"name": name, "key": secret(name)} | more.get(name, {}) for name in names]


def secret(name):
    return f"sk-load-{name}-0123456789abcdef"


class Gateway:
    """One gateway in a folder of its own. Ports and folder stay when it starts again."""

    def __init__(self, binary, place, config, environment=None):
        self.binary, self.place, self.environment = binary, place, environment
        place.mkdir(parents=True, exist_ok=True)
        self.port, self.admin = free_ports(2)
        self.file = place / "tidegate.yaml"
        self.child = None
        self.starts = 0
        self.configure(config)

    def configure(self, config):
        """Writes the config in one step, as an editor would."""
        own = {"listen": f"127.0.0.1:{self.port}", "admin": {"listen": f"127.0.0.1:{self.admin}"}}
        new = self.place / ".new"
        new.write_text(json.dumps(own | config, indent=1))
        new.rename(self.file)

    def start(self):
        self.starts += 1
        self.log = self.place / f"log-{self.starts}"
        with self.log.open("wb") as out:
            environment = os.environ | (self.environment or {})
            command = [str(self.binary), "serve", "--config", self.file]
            self.child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment, cwd=self.place
            )
        is_ready, deadline = answers(f"http://127.0.0.1:{self.admin}/readyz"), time.monotonic() + PATIENCE
        while not (is_ready() and self.listens()):
            if self.child.poll() is not None or time.monotonic() > deadline:
                raise Broken(f"the gateway does not start (status {self.child.poll()}): {self.log_end()}")
            time.sleep(0.05)

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True

    def log_end(self):
        return self.log.read_text(errors="replace")[-2000:]

    def kill(self):
        """`kill -9`, waited for."""
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()

    def stop(self):
        """`SIGTERM`, waited for; the exit status."""
        if self.child is None or self.child.poll() is not None:
            return self.child and self.child.returncode
        self.child.terminate()
        try:
            return self.child.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def samples(self):
        """Every sample of `/metrics`: name, labels, value."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=30) as answer:
            body = answer.read().decode()
        found = []
        for line in body.splitlines():
            matched = LINE.match(line)
            if matched:
                found.append((matched[1], dict(LABEL.findall(matched[2] or "")), Decimal(matched[3])))
        return found

    def metric(self, name, **labels):
        """The sum of the samples of this name that have these labels."""
        return sum(
            (value for found, own, value in self.samples() if found == name and labels.items() <= own.items()),
            Decimal(0),
        )

    def ledger(self, *args):
        """What `tidegate ledger` says."""
        command = [str(self.binary), "ledger", "--config", str(self.file), "--format", "json", *args]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=self.environment_of())
        if done.returncode != 0:
            raise AssertionError(f"`tidegate ledger` ends with {done.returncode}: {done.stderr[-500:]}")
        return json.loads(done.stdout)

    def environment_of(self):
        return os.environ | (self.environment or {})

    def rows(self, query, path=None):
        """A query of the SQLite ledger, which the gateway may be writing to."""
        path = path or self.place / ".tidegate" / "ledger.sqlite"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as database:
            return database.execute(query).fetchall()

    def budget(self, owner=None):
        """The nano-dollars of budgets on the disk, by owner; of one owner as a number."""
        found = {}
        for row in json.loads((self.place / ".tidegate" / "budgets.json").read_text()):
            found[row["owner"]] = found.get(row["owner"], 0) + row["spent"]
        return found if owner is None else found.get(owner, 0)

    def resident(self):
        """Resident memory in MiB."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


async def until(sentence, condition, patience=PATIENCE):
    """Waits for a condition; its first true value. A condition that never holds is a failure."""
    deadline = time.monotonic() + patience
    while True:
        try:
            found = await asyncio.to_thread(condition)
        except (urllib.error.URLError, OSError) as error:
            found, last = None, error
        else:
            last = found
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience} s in vain until {sentence} (last: {last})")
        await asyncio.sleep(0.05)


async def settled(gateway, rows, patience=PATIENCE):
    """Waits until no request is open, and this many exchanges are written or counted as dropped."""

    def is_settled():
        found = gateway.samples()
        total = lambda name: sum(value for own, _, value in found if own == name)
        done = total("tidegate_ledger_written_total") + total("tidegate_ledger_dropped_total")
        return total("tidegate_active_requests") == 0 and total("tidegate_ledger_queue_entries") == 0 and done >= rows

    await until(f"{rows} exchanges are in the ledger", is_settled, patience)

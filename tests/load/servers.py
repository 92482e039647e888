"""Redis and PostgreSQL, which the suites start, kill, stop and continue, on free ports, with files of their own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from gateways import Broken, free_ports
from install import Missing

PATIENCE = 60


def wait(sentence, condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise Broken(f"waited {PATIENCE} s in vain until {sentence}")
        time.sleep(0.05)


def family(pid):
    """A process and its children."""
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            found += family(int(child))
    return found


def tell(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


class Redis:
    """A server without persistence: killed, it starts again empty."""

    def __init__(self, place):
        self.program = shutil.which("redis-server") or shutil.which("valkey-server")
        if self.program is None:
            raise Missing("redis-server is missing (apt-get install redis-server)")
        self.place = place
        place.mkdir(parents=True)
        (self.port,) = free_ports(1)
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self):
        options = ["--port", self.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", self.place]
        with (self.place / "log").open("ab") as out:
            self.child = subprocess.Popen([self.program, *map(str, options)], stdout=out, stderr=out)
        wait("Redis answers", lambda: self.say("PING") == "+PONG")

    def say(self, *words):
        """The first line of the answer to a command; empty without one."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as opened:
                opened.sendall((" ".join(words) + "\r\n").encode())
                return opened.makefile("r").readline().strip()
        except OSError:
            return ""

    def kill(self):
        self.child.kill()
        self.child.wait()

    def pause(self):
        self.child.send_signal(signal.SIGSTOP)

    def resume(self):
        self.child.send_signal(signal.SIGCONT)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()


class Postgres:
    """A server that keeps its rows when it is killed."""

    def __init__(self, place):
        versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        self.programs = next((path for path in reversed(versions) if (path / "initdb").exists()), None)
        if self.programs is None:
            raise Missing("PostgreSQL is missing (apt-get install postgresql)")
        self.place = place
        place.mkdir(parents=True)
        # PostgreSQL refuses to run as root; its user must reach the folder
        self.prefix = []
        if os.getuid() == 0:
            if shutil.which("setpriv") is None:
                raise Missing("setpriv is missing (apt-get install util-linux)")
            self.prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
            shutil.chown(place, "postgres")
            for folder in (place.parent, place.parent.parent):
                folder.chmod(0o755)
        self.data = place / "data"
        (self.port,) = free_ports(1)
        self.url = f"postgres://tide:unused@127.0.0.1:{self.port}/postgres"
        self.run("initdb", "--pgdata", self.data, "--auth=trust", "--username=tide", "--encoding=UTF8", "--no-sync")

    def run(self, program, *args):
        command = [*self.prefix, str(self.programs / program), *map(str, args)]
        done = subprocess.run(command, cwd=self.place, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode != 0:
            raise Broken(f"{program}: {done.stderr[-500:]}")
        return done.stdout

    def start(self):
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"]
        command = [*self.prefix, str(self.programs / "postgres"), "-D", str(self.data)]
        for setting in settings:
            command += ["-c", setting]
        with (self.place / "log").open("ab") as out:
            self.child = subprocess.Popen(command, cwd=self.place, stdout=out, stderr=out)
        wait("PostgreSQL answers", self.is_ready)

    def is_ready(self):
        try:
            return self.query("SELECT 1") == "1"
        except Broken:
            return False

    def query(self, text):
        return self.run("psql", "-d", f"postgres://tide@127.0.0.1:{self.port}/postgres", "-qAtc", text).strip()

    def kill(self):
        tell(family(self.child.pid), signal.SIGKILL)
        self.child.wait()
        # a killed server leaves its lock; all of its processes are gone
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def pause(self):
        """Stops the server and every connection of it."""
        self.stopped = family(self.child.pid)
        tell(self.stopped, signal.SIGSTOP)

    def resume(self):
        tell(self.stopped, signal.SIGCONT)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

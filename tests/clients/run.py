#!/usr/bin/env python3
"""Runs real clients against a gateway with the simulator behind it.

    python3 tests/clients/run.py            starts target/debug/tidegate and runs every client that can run here
    python3 tests/clients/run.py --only claude-code --verbose

A client whose tools are missing here is skipped, with the reason; `--require` makes that a failure.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from contextlib import contextmanager, nullcontext
from pathlib import Path

import claude_code
import gateway as gateways
from install import HERE, ROOT, Missing, node_modules, target_dir, virtualenv
from outside import outside

# of one suite; a busy machine takes ten times as long as a quiet one
PATIENCE = 300


class Program:
    """A suite that is a program of its own: prints a line a check, and `end`."""

    def __init__(self, command, version):
        self.command, self.version = command, version

    def lines(self, gateway, place):
        environment = {
            **{name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT") if name in os.environ},
            "HOME": str(place),
            "TIDEGATE_URL": gateway.url,
            "TIDEGATE_KEY": gateway.key,
            "TIDEGATE_MODEL": gateway.model,
            "TIDEGATE_DOCS": str(ROOT / "docs"),
        }
        if gateway.outside:
            environment["TIDEGATE_OUTSIDE"] = gateway.outside
            environment["TIDEGATE_OTHER_URL"] = gateway.other
            for name in ("edited", "answered", "looped"):
                environment[f"TIDEGATE_{name.upper()}_KEY"] = gateway.keys[name]
        with (place / "stderr").open("wb") as errors:
            child = subprocess.Popen(
                self.command, env=environment, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8"
            )
        timer = threading.Timer(PATIENCE, child.kill)
        timer.start()
        try:
            for line in child.stdout:
                yield line.rstrip("\n")
        finally:
            timer.cancel()
            child.kill()
            child.wait()


class ClaudeCode:
    """A suite that starts Claude Code once a check."""

    def __init__(self, program, version):
        self.program, self.version = program, version

    def lines(self, gateway, place):
        return claude_code.checks(self.program, gateway, place)


def python_sdk(name):
    interpreter = virtualenv(HERE / f"requirements-{name}.txt")
    version = ["-c", "import anthropic, platform; print(anthropic.__version__, 'on Python', platform.python_version())"]
    return Program([interpreter, HERE / "python_sdk.py"], printed([interpreter, *version]))


def checker():
    interpreter = virtualenv(HERE / "requirements-comply.txt")
    version = ["-c", "import llm_comply; print('llm-comply', llm_comply.__version__)"]
    return Program([interpreter, HERE / "comply.py"], printed([interpreter, *version]))


def typescript_sdk():
    node = shutil.which("node")
    if node is None:
        raise Missing("node is missing (apt-get install nodejs npm)")
    manifest = node_modules(HERE / "typescript", "@anthropic-ai/sdk/package.json")
    # modules find their packages from where they lie
    for module in (HERE / "typescript").glob("*.mjs"):
        shutil.copy(module, manifest.parents[3])
    suite = manifest.parents[3] / "suite.mjs"
    version = json.loads(manifest.read_text())["version"]
    return Program([node, suite], f"{version} on Node {printed([node, '--version'])}")


def claude():
    program = node_modules(HERE / "claude-code", "@anthropic-ai/claude-code-*/claude")
    return ClaudeCode(program, printed([program, "--version"]))


def collector():
    interpreter = virtualenv(HERE / "requirements-traces.txt")
    version = ["-c", "from importlib.metadata import version; print('opentelemetry-proto', version('opentelemetry-proto'))"]
    binary = target_dir() / "debug" / "tidegate"
    if not binary.exists():
        raise Missing(f"{binary} is missing (cargo build)")
    return Program([interpreter, HERE / "traces.py", binary], printed([interpreter, *version]))


CLIENTS = {
    "python-newest": lambda: python_sdk("newest"),
    "python-0.125.0": lambda: python_sdk("0.125.0"),
    "comply": checker,
    "typescript": typescript_sdk,
    "claude-code": claude,
    "traces": collector,
}


def printed(command):
    with tempfile.TemporaryDirectory() as home:
        environment = {"PATH": os.environ["PATH"], "HOME": home}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise Missing(f"{Path(command[0]).name} does not run: {done.stderr.strip()[-200:]}")
    return done.stdout.strip()


def run_client(name, gateway, place, options):
    """One client's checks; how many of which outcome."""
    counts = Counter()

    def tell(outcome, what):
        counts[outcome] += 1
        print(f"{outcome:4} {name}: {what}", flush=True)

    try:
        suite = CLIENTS[name]()
    except Missing as error:
        tell("FAIL" if options.require else "skip", error)
        return counts
    print(f"---- {name}: {suite.version}", flush=True)
    place.mkdir()
    has_ended = False
    for line in suite.lines(gateway, place):
        outcome, _, what = line.partition(" ")
        if outcome in ("ok", "FAIL", "skip"):
            tell(outcome, what)
        elif line == "end":
            has_ended = True
    if not has_ended:
        tell("FAIL", f"the suite did not come to its end within {PATIENCE} s, or broke")
    stderr = place / "stderr"
    if (options.verbose or not has_ended) and stderr.exists():
        sys.stderr.write(stderr.read_text())
    return counts


@contextmanager
def started(binary, place):
    with outside() as site, gateways.started(binary, place, site) as gateway:
        yield gateway


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    env = os.environ.get
    parser.add_argument("--gateway", default=env("TIDEGATE_URL"), help="one that runs already (or TIDEGATE_URL)")
    parser.add_argument("--key", default=env("TIDEGATE_KEY"), help="a key that it knows (or TIDEGATE_KEY)")
    model = env("TIDEGATE_MODEL", gateways.MODEL)
    parser.add_argument("--model", default=model, help="an alias of it that the simulator answers")
    parser.add_argument("--binary", help="the gateway to start (target/debug/tidegate)")
    parser.add_argument("--only", action="append", choices=CLIENTS, help="this client; may be repeated")
    parser.add_argument(
        "--require",
        action="store_true",
        default=env("TIDEGATE_CLIENTS") == "require",
        help="a client that cannot run here is a failure (or TIDEGATE_CLIENTS=require)",
    )
    parser.add_argument("--verbose", action="store_true", help="the suites' stack traces and the gateway's log as well")
    return parser.parse_args()


def main():
    options = arguments()
    if options.gateway and not options.key:
        raise SystemExit("--gateway needs a --key that this gateway knows")
    counts = Counter()
    with tempfile.TemporaryDirectory(prefix="tidegate-clients-") as place:
        place = Path(place)
        if options.gateway:
            running = nullcontext(gateways.Gateway(options.gateway.rstrip("/"), options.key, options.model))
        else:
            running = started(options.binary, place)
        with running as gateway:
            for name in options.only or CLIENTS:
                counts += run_client(name, gateway, place / name, options)
        if options.verbose and (place / "log").exists():
            sys.stderr.write((place / "log").read_text())
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")
    sys.exit(1 if counts["FAIL"] else 0)


if __name__ == "__main__":
    main()

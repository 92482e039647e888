"""The suite `sdks`: the drivers of `tests/clients` for the Python and the TypeScript SDK, through every door.

The directed model behind a door follows the same directives as the simulator, so the drivers run as they are. `LACKS`
names the checks that a door cannot carry, each with its reason. The driver runs these checks too: one that passes is a
failure, because the table is out of date.
"""

import json
import os
import secrets
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

from doors import DOORS
from install import ROOT, Missing, node_modules, virtualenv

AT_ONCE = 3
PATIENCE = 120
CLIENTS = ROOT / "tests" / "clients"
ALIAS = "directed"

FORMAT = "Bedrock Mantle refuses `output_config.format`, and the client receives these words"
# by drivers and doors: the check, and why the door does not carry it
LACKS = {
    (("python", "typescript"), ("chat-openai",)): {
        "server tool with thinking: the signatures survive the history": "OpenAI's Chat Completions returns no reasoning",
    },
    (("python",), ("bedrock-mantle",)): {
        "structured output: parse returns an object of the class": FORMAT,
        "structured output, streamed": FORMAT,
    },
    (("typescript",), ("bedrock-mantle",)): {"structured output: parse returns what the schema describes": FORMAT},
}


def programs():
    """The command of each driver."""
    node = shutil.which("node")
    if node is None:
        raise Missing("node is missing (apt-get install nodejs npm)")
    manifest = node_modules(CLIENTS / "typescript", "@anthropic-ai/sdk/package.json")
    # modules find their packages from where they lie
    for module in (CLIENTS / "typescript").glob("*.mjs"):
        shutil.copy(module, manifest.parents[3])
    return {
        "python": [virtualenv(CLIENTS / "requirements-newest.txt"), CLIENTS / "python_sdk.py"],
        "typescript": [node, manifest.parents[3] / "suite.mjs"],
    }


def lacks(door, client):
    """The checks that this door does not carry, each with its reason."""
    return {check: reason for (who, where), found in LACKS.items() for check, reason in found.items() if door in where and client in who}


def play(stage, door, client, command):
    """The lines of one driver through one door."""
    key = "sk-tidegate-" + secrets.token_hex(16)
    target = stage.target(door)
    keys = [{"name": "clients", "key": key}]
    with stage.gateway(f"{target.scenario}-{client}", [target], alias=ALIAS, keys=keys) as (url, place):
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(place),
            "TIDEGATE_URL": url,
            "TIDEGATE_KEY": key,
            "TIDEGATE_MODEL": ALIAS,
            "TIDEGATE_DOCS": str(ROOT / "docs"),
            "TIDEGATE_LACKS": json.dumps(lacks(door, client)),
        }
        done = subprocess.run(
            list(map(str, command)), env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
        )
    return done.stdout.splitlines(), done.stderr


def tell(report, door, client, found, verbose):
    lines, errors = found
    for line in lines:
        outcome, _, rest = line.partition(" ")
        if outcome == "ok":
            report.add("sdks", f"{door}, {client}: {rest}")
        elif outcome == "FAIL":
            report.add("sdks", f"{door}, {client}", rest)
        elif outcome == "skip":
            report.skip("sdks", f"{door}, {client}: {rest}")
    has_ended = lines[-1:] == ["end"]
    report.add("sdks", f"{door}, {client}: the driver runs to its end", None if has_ended else errors[-500:] or "no last line")
    if verbose and errors:
        print(errors, flush=True)


def run(stage, programs, report, verbose):
    jobs = [(door, client) for door in DOORS for client in programs]

    def job(pair):
        try:
            return play(stage, *pair, programs[pair[1]])
        except (subprocess.SubprocessError, OSError) as error:
            return [], f"{type(error).__name__}: {error}"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for (door, client), found in zip(jobs, pool.map(job, jobs)):
            tell(report, door, client, found, verbose)

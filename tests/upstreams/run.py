#!/usr/bin/env python3
"""Checks a gateway's translators against fake upstreams, and the fakes against the providers' own SDKs.

    python3 tests/upstreams/run.py                            every suite, with target/debug/tidegate
    python3 tests/upstreams/run.py --only fakes --only chat   these suites
    python3 tests/upstreams/run.py --binary PATH --only gemini --verbose

A suite whose tools are missing here is skipped, with the reason; `--require` makes that a failure.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE), str(HERE.parent / "clients")]

import aimock
import doors
import drive
import gateways
import llama
import sessions
import through
from install import Missing, node_modules, place_of, run as install, target_dir, virtualenv
from make_config import TABLES
from report import Report

OWN = ("grammar", "fakes", "driver")
CLIENTS = ("claude-code", "sdks")
SUITES = (*OWN, *TABLES, *CLIENTS, "llama", "aimock")
# the wheel with Google's discovery document
DOCUMENT = "google-api-python-client==2.202.0"
INSIDE = "googleapiclient/discovery_cache/documents/aiplatform.v1.json"


def sdks():
    """The interpreter with the providers' SDKs, and the folder of their schemas."""
    python = virtualenv(HERE / "requirements-sdks.txt")
    place, is_there = place_of("schemas", [HERE / "requirements-sdks.txt", HERE / "schemas.py"], DOCUMENT)
    if not is_there:
        place.mkdir(parents=True)
        download = [
            python,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--dest",
            place,
            DOCUMENT,
        ]
        install(download, f"pip could not fetch {DOCUMENT} (no package index?)")
        wheel = next(place.glob("*.whl"))
        document = place / "aiplatform.json"
        document.write_bytes(zipfile.ZipFile(wheel).read(INSIDE))
        install([python, HERE / "schemas.py", place, document], "the schemas could not be written")
        wheel.unlink()
        (place / ".complete").touch()
    return python, place


def child(report, suite, command):
    """A suite that is a program of its own: its lines pass, its end counts."""
    done = subprocess.run(list(map(str, command)), cwd=HERE, timeout=1800)
    report.add(
        suite, f"{Path(str(command[1])).name} passes", f"exit status {done.returncode}" if done.returncode else None
    )


@contextmanager
def fakes_and_gateway(binary, place, families):
    """The fakes, and a gateway whose upstreams they are; both addresses."""
    python, schemas = sdks()
    place.mkdir()
    (port,) = gateways.free_ports(1)
    url = f"http://127.0.0.1:{port}"
    write = "import sys, make_config; make_config.write(sys.argv[1], sys.argv[2], 0, 0, tuple(sys.argv[3:]))"
    subprocess.run([python, "-c", write, url, place, *families], cwd=HERE, check=True, timeout=60)
    command = [python, "-m", "fakes", port, schemas, place / "public.pem"]
    with gateways.program(command, place / "fakes.log", gateways.answers(f"{url}/__log"), cwd=HERE):
        with gateways.gateway(binary, place) as gateway:
            yield url, gateway


def run_families(report, families, options, place):
    """The driver for these families. One gateway has all of them, so that reasoning can be sent from one to another."""
    with fakes_and_gateway(options.binary, place, families) as (fakes, gateway):
        done = drive.run(gateway, fakes, families, options.part or drive.PARTS, options.verbose)
    for group, counts in done.counts.items():
        report.counts[group].update(counts)


def run_own(report, suite, options):
    more = ["--verbose"] if options.verbose else []
    if suite == "grammar":
        return child(report, suite, [sys.executable, HERE / "check_grammar.py"])
    python, schemas = sdks()
    script = "check_fakes.py" if suite == "fakes" else "check_drive.py"
    return child(report, suite, [python, HERE / script, schemas, *more])


def run_client(report, suite, options, place):
    """Real clients through every door, installed by the suites of `tests/clients`."""
    if suite == "sdks":
        programs = through.programs()
        with doors.stage(options.binary, place, sdks()) as stage:
            return through.run(stage, programs, report, options.verbose)
    program = node_modules(HERE.parent / "clients" / "claude-code", "@anthropic-ai/claude-code-*/claude")
    with doors.stage(options.binary, place, sdks()) as stage:
        sessions.run(stage, program, report)


def run_other(report, suite, options, place):
    if suite == "llama":
        return llama.run(options.binary, virtualenv(HERE / "requirements-llama.txt"), place, report)
    node = shutil.which("node")
    if node is None:
        raise Missing("node is missing (apt-get install nodejs npm)")
    script = node_modules(HERE / "aimock", "@copilotkit/aimock/dist/cli.js")
    return aimock.run(options.binary, node, script, place, report)


def guarded(report, suite, options, function, *args):
    """Runs a suite; one that cannot run here is skipped, one that breaks is a failure."""
    print(f"---- {suite}", flush=True)
    try:
        function(report, *args)
    except Missing as error:
        if options.require:
            report.add(suite, "the suite can run", error)
        else:
            report.skip(suite, error)
    except (gateways.Broken, subprocess.SubprocessError, OSError) as error:
        report.add(suite, "the suite runs to its end", f"{type(error).__name__}: {error}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--binary",
        type=Path,
        default=target_dir() / "debug" / "tidegate",
        help="the gateway to start (target/debug/tidegate)",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=SUITES,
        metavar="NAME",
        help=f"this suite; may be repeated: {', '.join(SUITES)}",
    )
    parser.add_argument("--part", action="append", choices=drive.PARTS, help="this part of the driver; may be repeated")
    parser.add_argument(
        "--require",
        action="store_true",
        default=os.environ.get("TIDEGATE_CLIENTS") == "require",
        help="a suite that cannot run here is a failure (or TIDEGATE_CLIENTS=require)",
    )
    parser.add_argument("--verbose", action="store_true", help="the checks that pass as well")
    return parser.parse_args()


def main():
    options = arguments()
    options.binary = options.binary.resolve()
    chosen = options.only or SUITES
    if set(chosen) - set(OWN) and not options.binary.is_file():
        raise SystemExit(f"there is no {options.binary}: `cargo build` makes it, or name one with --binary")
    report = Report("upstreams", options.verbose)
    with tempfile.TemporaryDirectory(prefix="tidegate-upstreams-") as place:
        place = Path(place)
        for suite in chosen:
            if suite in OWN:
                guarded(report, suite, options, run_own, suite, options)
        families = [suite for suite in chosen if suite in TABLES]
        if families:
            guarded(report, "+".join(families), options, run_families, families, options, place / "families")
        for suite in (*CLIENTS, "llama", "aimock"):
            if suite in chosen:
                function = run_client if suite in CLIENTS else run_other
                guarded(report, suite, options, function, suite, options, place / suite)
    sys.exit(report.end())


if __name__ == "__main__":
    main()

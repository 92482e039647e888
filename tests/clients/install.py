"""Puts the clients where the suites find them: `target/clients/`, kept from run to run, pinned versions only."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DONE = ".complete"
PATIENCE = 600


class Missing(Exception):
    """A client cannot run here; the text says what is missing."""


def target_dir():
    """Where cargo puts what it builds."""
    return ROOT / os.environ.get("CARGO_TARGET_DIR", "target")


def virtualenv(requirements):
    """The interpreter of a virtualenv with what this file pins."""
    python = f"{platform.python_implementation()} {sys.version_info[:3]}"
    place, is_there = place_of(requirements.stem, [requirements], python)
    interpreter = place / "bin" / "python"
    if is_there:
        return interpreter
    run([sys.executable, "-m", "venv", place], "python3 has no working venv module (apt-get install python3-venv)")
    pip = [interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", requirements]
    run(pip, "pip could not install it (no package index?)")
    (place / DONE).touch()
    return interpreter


def node_modules(project, wanted):
    """What `wanted`, a pattern below `node_modules`, finds once this project's lock file is installed."""
    npm = shutil.which("npm")
    if npm is None:
        raise Missing("npm is missing (apt-get install npm)")
    manifests = [project / name for name in ("package.json", "package-lock.json", ".npmrc")]
    place, is_there = place_of(project.name, manifests, f"{platform.system()} {platform.machine()}")
    if not is_there:
        place.mkdir(parents=True)
        for manifest in manifests:
            shutil.copy(manifest, place)
        install = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        run(install, "npm could not install it (no package registry?)", cwd=place)
    found = next((place / "node_modules").glob(wanted), None)
    if found is None:
        # an optional package that is not for this machine, or could not be fetched, is no error to npm
        raise Missing("npm could not install it (no package registry, or nothing for this machine)")
    (place / DONE).touch()
    return found


def place_of(name, files, salt):
    """The directory for what these files pin, and whether it is ready; half a one is removed."""
    digest = hashlib.sha256(salt.encode())
    for file in files:
        digest.update(file.read_bytes())
    place = target_dir() / "clients" / f"{name}-{digest.hexdigest()[:12]}"
    is_there = (place / DONE).exists()
    if not is_there:
        shutil.rmtree(place, ignore_errors=True)
    return place, is_there


def run(command, trouble, cwd=None):
    print(f"     installing: {' '.join(Path(word).name for word in map(str, command))}", flush=True)
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise Missing(f"{trouble}: no end after {PATIENCE} s") from None
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines()]
        told = [line for line in lines if line.lower().startswith(("error", "npm error", "npm err!"))][:1]
        raise Missing(": ".join([trouble, *told]))

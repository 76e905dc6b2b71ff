#!/usr/bin/env python3
"""Replay the golden scenarios on one of our two homes.

    golden.py embedded [--only GLOB ...] [--jobs N]     `pykueue up`, one process
    golden.py real     [--only GLOB ...] [--jobs N]     `pykueue manager` beside a real control plane

The scenarios and their runner lie in `shared/golden` beside the checkout (or under $PYKUEUE_SHARED); without them this fails, it does not
pass. `not-reached.txt` names the scenarios that are not reached yet, which are left out; it may only shrink. A name on it that
does not exist fails every run; `--listed` plays those on it instead, and fails if one of them passes.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from restart import Home, stop

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LIST = HERE / "not-reached.txt"
VERDICT = re.compile(r"(ok|FAIL)\s+(\S+/\S+) \(")
RETRIES_MAX = 6


def shared() -> Path:
    """The folder with the scenarios."""
    folder = Path(os.environ.get("PYKUEUE_SHARED", ROOT.parent / "shared")) / "golden"
    if not (folder / "run.py").exists():
        raise SystemExit(f"golden.py: no scenarios at {folder}: set PYKUEUE_SHARED to the folder that holds golden/")
    return folder


def not_reached() -> list[str]:
    """Names on the list, without comments."""
    lines = (line.partition("#")[0].strip() for line in LIST.read_text().splitlines())
    return [line for line in lines if line]


def choose(folder: Path, patterns: list[str], *, listed: bool) -> list[Path]:
    """Folders of the scenarios to play: those on the list, or those that are not."""
    known = {f"{p.parent.parent.name}/{p.parent.name}": p.parent for p in sorted(folder.rglob("scenario.yaml"))}
    if strangers := sorted(set(not_reached()) - known.keys()):
        raise SystemExit(f"golden.py: not-reached.txt names scenarios that do not exist: {', '.join(strangers)}")
    return [
        path
        for name, path in known.items()
        if (name in not_reached()) == listed and any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
    ]


def free_ports() -> int:
    """The first of sixteen free ports in a row on loopback."""
    for first in random.SystemRandom().sample(range(20000, 32000, 16), 200):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + 16):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise SystemExit("golden.py: no sixteen free ports in a row: pass --port")


def play_listed(command: list[str]) -> int:
    """Play scenarios that should fail: one that passes must leave the list."""
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    print(done.stdout, end="")
    reached = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("ok ")]
    if reached:
        print(f"golden.py: reached, so take them off not-reached.txt: {', '.join(reached)}")
    return 1 if reached or done.returncode not in (0, 1) else 0


def play(home: Home, folder: Path, scenarios: list[Path], options: argparse.Namespace, jobs: int) -> list[str]:
    """Play scenarios; the names of those that failed."""
    kubectl = options.kubectl or home.kubectl
    command = [
        sys.executable, str(folder / "run.py"), "--kubeconfig", str(home.kubeconfig), "--settle", options.settle,
        "--jobs", str(jobs), "--manager-restart", f"{sys.executable} {HERE / 'restart.py'} {home.state}",
        *(("--kubectl", kubectl) if kubectl else ()),
        *map(str, scenarios),
    ]  # fmt: skip
    ended: dict[str, bool] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as runner:
        for line in runner.stdout or ():
            if verdict := VERDICT.match(line):
                ended[verdict[2]] = verdict[1] == "ok"
            if not line[:1].isdigit():
                print(line, end="", flush=True)
    names = [f"{path.parent.name}/{path.name}" for path in scenarios]
    return [name for name in names if not ended.get(name)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", choices=("embedded", "real"))
    parser.add_argument("--only", action="append", metavar="GLOB")
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--settle", default="2")
    parser.add_argument("--port", type=int, default=0, help="first of 16 ports to use (default: any that are free)")
    parser.add_argument("--kubectl", default="")
    parser.add_argument("--listed", action="store_true", help="play the scenarios of not-reached.txt instead")
    parser.add_argument("--keep", action="store_true", help="leave the cluster running, and say where")
    options = parser.parse_args()
    folder = shared()
    chosen = choose(folder, options.only or ["*"], listed=options.listed)
    if not chosen:
        print("golden.py: nothing is on the list" if options.listed else "golden.py: no scenario matches")
        return 0 if options.listed else 2
    state = Path(tempfile.mkdtemp(prefix=f"pykueue-golden-{options.home}-"))
    home = Home(options.home, state, options.port or free_ports())
    try:
        home.prepare()
        # run.py opens its connection before the first restart, so a manager with the default configuration is there first.
        home.restart(None)
        failed = play(home, folder, chosen, options, options.jobs)
        # A state counts as settled when it stood still for two seconds: on a machine that is busy, a late write is missed. What fails
        # is played once more, alone; what fails twice has failed.
        if failed and len(failed) <= RETRIES_MAX:
            print(f"playing {len(failed)} once more, alone: {', '.join(failed)}", flush=True)
            again = [path for path in chosen if f"{path.parent.name}/{path.name}" in failed]
            failed = play(home, folder, again, options, 1)
        print(f"{len(chosen) - len(failed)} passed, {len(failed)} failed")
        code = 1 if failed else 0
    finally:
        if options.keep:
            print(json.dumps({"state": str(state), "kubeconfig": str(home.kubeconfig)}))
        else:
            stop(state)
    if code == 0 and not options.keep:
        shutil.rmtree(state, ignore_errors=True)  # after a failure its log is of use
    return code


if __name__ == "__main__":
    sys.exit(main())

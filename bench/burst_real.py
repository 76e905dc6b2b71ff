#!/usr/bin/env python3
"""The burst of `burst.py` on a real control plane with `pykueue manager` beside it: one command.

    burst_real.py [--sets 40] [--groups 5] [--size 4] [--json FILE]

Builds the pinned control plane if it is not there yet (about 12 minutes, once), starts it on free ports of loopback, measures, stops it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/conformance"))

from golden import free_ports  # noqa: E402
from restart import Home, stop  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    _, passed_on = parser.parse_known_args()
    state = Path(tempfile.mkdtemp(prefix="pykueue-burst-"))
    home = Home("real", state, free_ports(), has_own_account=True)
    try:
        home.prepare()
        home.restart(None)
        command = [
            sys.executable, str(ROOT / "bench/burst.py"), "--kubeconfig", str(home.kubeconfig),
            "--metrics", f"http://127.0.0.1:{home.port + 12}/metrics", "--pid", (state / "manager.pid").read_text(),
            "--plane", str(state / "plane"),
            *passed_on,
        ]  # fmt: skip
        return subprocess.run(command, check=False).returncode
    finally:
        stop(state)


if __name__ == "__main__":
    sys.exit(main())

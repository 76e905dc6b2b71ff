#!/usr/bin/env python3
"""The embedded cluster under load: what it costs to start, and to bring a thousand groups to run.

    embedded.py [--sets 250] [--groups 4] [--size 4] [--memory] [--profile FILE] [--json FILE]

Starts `pykueue up` with a configuration that asks for nothing special, in a new folder and on a free port; waits until it is
ready; plays `burst.py` on it; stops it and starts it once more on the state that the burst left. One line of JSON at the end:

    start_s, start_cpu_s         of an empty cluster: from the command to its first answer, and the processor's part of it
    start_rss_mb                 of an empty cluster
    floor_running_s, running_s   see burst.py: all pods running without a queue, and through one
    admitted_s, ratio            likewise
    cpu_s                        of the process, for the burst through the queue
    rss_mb                       after it
    restart_s                    from the command to the first answer, with the state of a burst to load
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYKUEUE = Path(sys.executable).parent / "pykueue"
START_S_MAX = 60.0


class Embedded:
    """`pykueue up` in a folder."""

    def __init__(self, folder: Path, *, memory: bool = False, profile: Path | None = None) -> None:
        self.folder, self.memory, self.profile = folder, memory, profile
        self.kubeconfig = folder / "kubeconfig"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    @contextlib.contextmanager
    def running(self) -> Iterator[tuple[int, float]]:
        """The process id and how long it took to answer, while it runs."""
        program = [str(PYKUEUE)]
        if self.profile is not None:
            program = [sys.executable, "-m", "cProfile", "-o", str(self.profile), *program]
        command = [
            *program, "up", "--port", str(self.port), "--kubeconfig", str(self.kubeconfig), "--nodes", "none",
            *(["--memory"] if self.memory else ["--data", str(self.folder / "data")]),
        ]  # fmt: skip
        began = time.monotonic()
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder)
        try:
            yield process.pid, self._wait(process, began)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)

    def _wait(self, process: subprocess.Popen[bytes], began: float) -> float:
        """Until the port is open: it opens last, when everything is ready."""
        while time.monotonic() - began < START_S_MAX:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return time.monotonic() - began
            if process.poll() is not None:
                break
            time.sleep(0.01)
        raise SystemExit(f"embedded.py: pykueue up did not start: see {self.folder / 'log'}")


def rss_mb(pid: int) -> int:
    """Resident megabytes of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="pykueue-bench-") as name:
        folder = Path(name)
        home = Embedded(folder, memory=options.memory, profile=options.profile)
        with home.running() as (pid, start_s):
            time.sleep(1)
            report: dict[str, object] = {
                "start_s": round(start_s, 2),
                "start_cpu_s": round(cpu_s(pid), 2),
                "start_rss_mb": rss_mb(pid),
            }
            figures = folder / "burst.json"
            burst = [
                sys.executable, str(HERE / "burst.py"), "--kubeconfig", str(home.kubeconfig), "--pid", str(pid),
                "--sets", str(options.sets), "--groups", str(options.groups), "--size", str(options.size),
                "--timeout", str(options.timeout), "--json", str(figures),
            ]  # fmt: skip
            subprocess.run(burst, check=True, stdout=subprocess.DEVNULL)
            report |= json.loads(figures.read_text())
        if not options.memory and options.profile is None:
            with home.running() as (_, restart_s):
                report["restart_s"] = round(restart_s, 2)
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=250)
    parser.add_argument("--groups", type=int, default=4)
    parser.add_argument("--size", type=int, default=4)
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds that either half of the burst may take")
    parser.add_argument("--memory", action="store_true", help="keep the state in memory")
    parser.add_argument("--profile", type=Path, help="write a profile of the process to this file (cProfile)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    text = json.dumps(measure(options))
    if options.json:
        options.json.write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

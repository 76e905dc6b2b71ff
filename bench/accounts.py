"""Where the time of a burst goes: CPU seconds of each process, requests by verb and resource, calls of webhooks and their seconds.

An `Account` is taken before and after; their difference is what the burst cost. Requests and webhooks are the API server's own counts.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

_SAMPLE = re.compile(r"^(\w+)\{([^}]*)\} ([0-9.e+-]+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_WEBHOOK = "apiserver_admission_webhook_admission_duration_seconds"


@dataclass
class Account:
    """Sums at one moment, or differences of two.

    Attributes:
        cpu_s: by process.
        requests: by verb and resource.
        webhook_calls: by webhook and operation.
        webhook_s: the same; seconds that requests waited for it.
    """

    cpu_s: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    webhook_calls: Counter[str] = field(default_factory=Counter)
    webhook_s: Counter[str] = field(default_factory=Counter)

    def since(self, before: Account) -> Account:
        """What came on top."""
        return Account(*(_less(getattr(self, name), getattr(before, name)) for name in self.__dataclass_fields__))

    def lines(self, shown: int = 40) -> list[str]:
        """A table for people: the largest of each kind."""
        told = [f"  CPU {sum(self.cpu_s.values()):.1f} s: " + _listed(self.cpu_s, shown, ".1f")]
        told.append(f"  requests {sum(self.requests.values()):.0f}: " + _listed(self.requests, shown, ".0f"))
        calls = {name: f"{n:.0f} in {self.webhook_s[name]:.1f} s" for name, n in self.webhook_calls.most_common()}
        told.append("  webhooks: " + ", ".join(f"{name} {text}" for name, text in calls.items()))
        return told


def take(metrics: str, folder: Path, more: dict[str, int]) -> Account:
    """The sums now.

    Args:
        metrics: text of the API server's `/metrics`.
        folder: with `<part>.pid` of each process.
        more: other processes, by name.
    """
    account = Account()
    pids = {path.stem: int(path.read_text()) for path in folder.glob("*.pid")} | more
    for name, pid in pids.items():
        account.cpu_s[name] += _cpu_s(pid)
    for name, text, value in _SAMPLE.findall(metrics):
        labels = dict(_LABEL.findall(text))
        if name == "apiserver_request_total":
            subresource = f"/{labels['subresource']}" if labels["subresource"] else ""
            refused = f" {labels['code']}" if labels["code"] >= "400" else ""
            account.requests[f"{labels['verb'].lower()} {labels['resource']}{subresource}{refused}"] += float(value)
        elif name in (f"{_WEBHOOK}_count", f"{_WEBHOOK}_sum"):
            book = account.webhook_calls if name.endswith("count") else account.webhook_s
            book[f"{labels['name']} {labels['operation'].lower()}"] += float(value)
    return account


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _less(after: Counter[str], before: Counter[str]) -> Counter[str]:
    return Counter({name: value - before[name] for name, value in after.items() if value != before[name]})


def _listed(book: Counter[str], shown: int, form: str) -> str:
    return ", ".join(f"{name} {value:{form}}" for name, value in book.most_common(shown))

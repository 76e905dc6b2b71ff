"""Explanations as pages for people."""

from __future__ import annotations

from pykueue.core.explain.facts import (
    AddQuota,
    FewerPods,
    LastTried,
    MatchFlavor,
    QuotaChange,
    Start,
    StopWorkloads,
    WorkloadExplanation,
)
from pykueue.views.explanation import queue_text, workload_text
from support.world import World

WAITING = """\
Workload ns/b: Pending, number 2 of 2 in its queue (ClusterQueue cq, LocalQueue ns/cq)
  why         WaitingForQuota: couldn't assign flavors to pod set main: insufficient unused quota for cpu in flavor f, 1 more needed
  last tried  not yet, as far as the API server shows
  ahead       ns/first
  tried       pod set main on flavor f: does not fit, and nobody may be preempted for it
                insufficient unused quota for cpu in flavor f, 1 more needed
                RESOURCE   ASKED   FREE   BORROWABLE   LENT   NOMINAL   USED   AT MOST
                cpu            2      1            0      0         4      3         4
                held: cpu 3 by ns/a (cq)
  victims     ns/a (cq, priority 0) stays: withinClusterQueue is Never
  woken by    a Workload of ClusterQueue cq finishing, shrinking or losing its quota
              a change of quota, flavors or checks in ClusterQueue cq
              a change of the Workload itself
  would do    3 more cpu in flavor f as nominal quota of ClusterQueue cq; first comes ns/first, for whom it does too
              the end of ns/a; first comes ns/first, for whom it does too
              (any one of these; proved by making the decision again with it, on a copy)"""

QUEUE = """\
ClusterQueue cq: active
  why         Ready: Can admit new workloads
  where       /cq, BestEffortFIFO
  holds       2 waiting, 1 with quota, of these 1 admitted
  quota         RESOURCE   FREE   BORROWABLE   LENT   NOMINAL   USED   AT MOST
                f/cpu         1            0      0         4      3         4
                held: cpu 3 by ns/a (cq)
  waiting     #   WORKLOAD   LOCALQUEUE   PRIORITY   QUEUED AT
              1   ns/first   ns/cq               5   2023-11-14T22:13:20Z
              ... and 1 more (--limit)

The first of them:

Workload ns/first: Pending, number 1 of 2 in its queue (ClusterQueue cq, LocalQueue ns/cq)"""


def world() -> World:
    found = World()
    found.queue("cq", "f:4")
    found.workload("a", "cq", "3", at="f")
    found.workload("first", "cq", "2", 5)
    found.workload("b", "cq", "2")
    return found


def test_the_page_of_a_workload() -> None:
    """Everything has a label, and amounts are in columns."""
    it = world()
    told = it.engine.explainer(it.now).workload(it.workloads["b"].key)
    assert told is not None
    assert workload_text(told) == WAITING


def test_the_page_of_a_queue() -> None:
    """Quota, who waits, and the page of the first of them."""
    it = world()
    told = it.engine.explainer(it.now).cluster_queue("cq", n_told=1)
    assert told is not None
    assert queue_text(told).startswith(QUEUE)


def test_each_remedy_is_a_sentence() -> None:
    """Also those that are rare."""
    told = WorkloadExplanation(
        "ns/w", "ns/q", "cq", "Pending", "", "", position=1, waiting=1,
        last_tried=LastTried("2023-11-14T22:13:20Z", "Pending", "no quota", "event"),
        remedies=(
            AddQuota("cq", (QuotaChange("f", "cpu", "1"), QuotaChange("g", "memory", "1Gi")), if_first=True),
            StopWorkloads(("ns/a", "ns/b", "ns/c")),
            StopWorkloads(("ns/d",), reduced=(Start("main", 6, 3),), if_first=True),
            MatchFlavor("f", ("pod set main tolerates the taint a=b:NoSchedule", "pod set main selects z=1, not z=2")),
            FewerPods("worker", 8, 2),
        ),
    )  # fmt: skip
    text = workload_text(told)
    assert "last tried  2023-11-14T22:13:20Z, as its event tells; Pending: no quota" in text
    assert (
        "1 more cpu in flavor f and 1Gi more memory in flavor g as nominal quota of ClusterQueue cq; once nobody is ahead"
        in text
    )
    assert "the end of ns/a, ns/b and ns/c\n" in text
    assert "the end of ns/d; it starts with 3 of the 6 pods of main; once nobody is ahead\n" in text
    assert (
        "a place in flavor f, if pod set main tolerates the taint a=b:NoSchedule and pod set main selects z=1, not z=2"
        in text
    )
    assert "2 pods in pod set worker, not 8" in text

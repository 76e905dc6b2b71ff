"""Names of Workloads, by known vectors (jobs.md §4, leaderworkerset.md A5)."""

from __future__ import annotations

import pytest

from pykueue.integrations.naming import origin_uid, variant_name, workload_name

UID = "3b2b5f1e-0000-4000-8000-000000000001"
LWS = ("LeaderWorkerSet", "leaderworkerset.x-k8s.io")


@pytest.mark.parametrize(
    ("kind", "name", "uid", "want"),
    [
        (LWS, "lws-0", UID, "leaderworkerset-lws-0-69d9c"),
        (LWS, "lws-1", UID, "leaderworkerset-lws-1-afea0"),
        (LWS, "lws-2", UID, "leaderworkerset-lws-2-2ba4e"),
        (LWS, "lws-0", "", "leaderworkerset-lws-0-97565"),
        (("Job", "batch"), "job", UID, "job-job-8d0ac"),
        (("Pod", ""), "pod", UID, "pod-pod-cc356"),
        (("StatefulSet", "apps"), "sts", UID, "statefulset-sts-fd84b"),
    ],
)
def test_vectors(kind: tuple[str, str], name: str, uid: str, want: str) -> None:
    """Kind, group, name and UID make the name."""
    assert workload_name(*kind, name, uid) == want


def test_extra_and_short() -> None:
    """The generation of an elastic job is hashed too; short names are cut to 63 characters."""
    assert workload_name("Job", "batch", "job", UID, extra="3") == "job-job-4328e"
    short = workload_name(*LWS, "a" * 80 + "-0", UID, short=True)
    assert short == "leaderworkerset-" + 41 * "a" + "-db5df"
    assert len(workload_name(*LWS, "a" * 300, UID)) == 253


def test_variants() -> None:
    """A variant's name is its parent's, with the flavor, and a hash over both."""
    assert variant_name("job-my-job-12345", "uid-123", "Job", "batch", "spot") == "job-my-job-variant-spot-6320b"
    assert len(variant_name("job-" + "a" * 50 + "-12345", UID, "Job", "batch", "b" * 50, short=True)) == 63


def test_origin_uid() -> None:
    """On a MultiKueue worker the manager's UID counts."""
    obj = {
        "metadata": {
            "uid": "here",
            "labels": {"kueue.x-k8s.io/multikueue-origin": "m"},
            "annotations": {"kueue.x-k8s.io/multikueue-origin-uid": "there"},
        }
    }
    assert origin_uid(obj) == "there"
    assert origin_uid({"metadata": {"uid": "here"}}) == "here"

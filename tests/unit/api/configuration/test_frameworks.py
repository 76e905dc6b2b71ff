"""Names of frameworks, and what has no effect."""

import pytest

from pykueue.api.configuration import Configuration, decode, unsupported
from pykueue.api.configuration.frameworks import parse_external, with_implied
from pykueue.api.configuration.types import TLSOptions

V2 = "apiVersion: config.kueue.x-k8s.io/v1beta2\nkind: Configuration\n"


@pytest.mark.parametrize(
    ("names", "want"),
    [
        (["batch/job"], ("batch/job",)),
        (["statefulset", "deployment"], ("statefulset", "deployment", "pod")),
        (["pod", "leaderworkerset.x-k8s.io/leaderworkerset"], ("pod", "leaderworkerset.x-k8s.io/leaderworkerset")),
    ],
)
def test_frameworks_on_pods_switch_the_pod_framework_on(names, want):
    """Once, and after those that were named."""
    assert with_implied(names) == want


@pytest.mark.parametrize(
    ("text", "good"), [("Foo.v1.example.com", True), ("Foo.v1", False), ("Foo", False), (".v1.x", False)]
)
def test_external_frameworks_have_three_parts(text, good):
    """Kind, version and group."""
    assert (parse_external(text) is not None) is good


def test_the_default_has_full_effect():
    """No warning without cause."""
    assert unsupported(Configuration()) == []
    assert unsupported(Configuration(tls=TLSOptions(min_version="VersionTLS13"))) == []


def test_what_has_no_effect_is_told_by_its_wire_path():
    """Fields and frameworks, with the reason."""
    config, faults = decode(V2 + "tls: {curvePreferences: [23]}\nintegrations: {frameworks: [ray.io/rayjob]}")
    assert faults == []
    assert unsupported(config) == [
        "tls.curvePreferences has no effect: curves are those of the Python runtime's OpenSSL",
        "integrations.frameworks: ray.io/rayjob is known but its jobs are not managed in this release",
    ]


def test_some_fields_have_an_effect_beside_a_real_api_server_alone():
    """In the embedded cluster they are told, each once; what a part of them lacks anywhere is not told again."""
    text = "tls: {minVersion: VersionTLS13, curvePreferences: [23]}\nwebhook: {port: 1}\nleaderElection: {leaderElect: false}\n"
    config, faults = decode(V2 + text + "manageJobsWithoutQueueName: true")
    assert faults == []
    assert unsupported(config, embedded=True) == [
        "webhook has no effect: the embedded cluster calls webhooks in its own process",
        "tls has no effect: the manager of the embedded cluster serves nothing",
        "leaderElection has no effect: the embedded cluster has one manager",
    ]
    assert unsupported(Configuration(), embedded=True) == []

"""Whatever an operator writes, the answer is a configuration or a list of faults."""

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pykueue.api.configuration import Configuration, decode, dump_effective, validate
from pykueue.api.configuration.types import WaitForPodsReady
from pykueue.api.configuration.wire import write_struct
from pykueue.core.features import Features, Gate


def _names(content):
    for name, child in content.items() if isinstance(content, dict) else ():
        yield name
        yield from _names(child)


NAMES = st.sampled_from(
    [*_names(write_struct(Configuration())), "tls", "fairSharing", "matchLabels", "enable", "sources", "counter", "x"]
)
LEAVES = (
    st.none() | st.booleans() | st.integers(-2, 10**6) | st.sampled_from(["5m", "-1s", "x", "", "pod", "VersionTLS12"])
)
CONTENT = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)


@settings(max_examples=300)
@example("v1beta2", {"managedJobsNamespaceSelector": {}})
@given(st.sampled_from(["v1beta1", "v1beta2"]), st.dictionaries(NAMES, CONTENT, max_size=6))
def test_any_document_is_decoded_or_refused(version, document):
    """No input makes the loader fail, and what it accepts reads back the same."""
    header = {"apiVersion": f"config.kueue.x-k8s.io/{version}", "kind": "Configuration"}
    config, faults = decode(yaml.safe_dump({**document, **header}))
    if faults:
        assert all(isinstance(fault, str) for fault in faults)
        return
    features = Features()
    validate(config, lambda name: features[Gate(name)])
    if config.wait_for_pods_ready is not None and (
        config.fair_sharing is None or config.fair_sharing.preemption_strategies
    ):
        assert decode(dump_effective(config)) == (config, [])


@given(st.text(max_size=60))
def test_any_text_is_decoded_or_refused(text):
    """Neither does text that is not YAML."""
    _, faults = decode(text)
    assert isinstance(faults, list)


@given(st.integers(0, 10**13))
def test_durations_read_back(micros):
    """Durations of the effective configuration are exact."""
    config = Configuration(wait_for_pods_ready=WaitForPodsReady(timeout_us=micros, recovery_timeout_us=micros))
    assert decode(dump_effective(config))[0].wait_for_pods_ready == config.wait_for_pods_ready

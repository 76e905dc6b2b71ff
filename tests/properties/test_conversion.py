"""Conversions between versions lose nothing that both can say."""

from hypothesis import given
from hypothesis import strategies as st

from pykueue.api.conversion import Domain, convert, decode_domains, encode_slices

V1, V2 = "kueue.x-k8s.io/v1beta1", "kueue.x-k8s.io/v1beta2"
LABEL = st.text("ab-1", min_size=1, max_size=8)


@st.composite
def assignments(draw):
    depth = draw(st.integers(1, 3))
    levels = [f"level-{i}" for i in range(depth - 1)] + ["kubernetes.io/hostname"]
    values = st.tuples(*[LABEL] * depth)
    domains = draw(st.lists(st.builds(Domain, values, st.integers(1, 3)), max_size=12))
    return levels, domains


@given(assignments(), st.booleans())
def test_slices_tell_the_domains_in_order(assignment, by_hostname_prefix):
    """Whatever the writer chooses, the reader gets the domains back."""
    levels, domains = assignment
    slices = encode_slices(levels, domains, by_hostname_prefix=by_hostname_prefix)
    assert decode_domains({"levels": levels, "slices": slices}) == domains
    assert len(slices) <= 1000


@given(assignments(), st.booleans())
def test_a_topology_assignment_survives_the_older_version(assignment, by_hostname_prefix):
    """Down and up again gives the same domains, and up and down the same object."""
    levels, domains = assignment
    slices = encode_slices(levels, domains, by_hostname_prefix=by_hostname_prefix)
    newer = _workload(V2, {"levels": levels, "slices": slices})
    older = convert(newer, V1)
    again = convert(older, V2)["status"]["admission"]["podSetAssignments"][0].get("topologyAssignment")
    assert decode_domains(again) == domains
    assert convert(convert(older, V2), V1) == older


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "cohortName": LABEL,
            "admissionChecksStrategy": st.just({"admissionChecks": [{"name": "a", "onFlavors": ["f"]}]}),
            "flavorFungibility": st.just({"whenCanBorrow": "TryNextFlavor"}),
            "stopPolicy": st.sampled_from(["None", "Hold"]),
        },
    )
)
def test_a_cluster_queue_survives_the_older_version(spec):
    """Down and up again gives the same object."""
    newer = {"apiVersion": V2, "kind": "ClusterQueue", "spec": spec, "status": {"pendingWorkloads": 1}}
    assert convert(convert(newer, V1), V2) == newer


def _workload(api_version, topology):
    assignment = {"name": "main", "topologyAssignment": topology}
    status = {"admission": {"clusterQueue": "cq", "podSetAssignments": [assignment]}}
    return {"apiVersion": api_version, "kind": "Workload", "status": status}

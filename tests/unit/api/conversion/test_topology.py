"""Slices of a topology assignment."""

import pytest

from pykueue.api.conversion.topology import HOSTNAME, Domain, decode_domains, encode_slices

LEVELS = ["rack", HOSTNAME]


def hosts(*names, rack="r1"):
    return [Domain((rack, name), 1) for name in names]


@pytest.mark.parametrize(
    ("domains", "want"),
    [
        pytest.param([], [], id="no domain, no slice"),
        pytest.param(
            [Domain(("r1", "n-1"), 4)],
            [
                {
                    "domainCount": 1,
                    "valuesPerLevel": [{"universal": "r1"}, {"universal": "n-1"}],
                    "podCounts": {"universal": 4},
                }
            ],
            id="one domain is universal throughout",
        ),
        pytest.param(
            [Domain(("r1", "n-10-x"), 1), Domain(("r2", "n-11-x"), 2)],
            [
                {
                    "domainCount": 2,
                    "valuesPerLevel": [
                        {"individual": {"prefix": "r", "roots": ["1", "2"]}},
                        {"individual": {"prefix": "n-1", "suffix": "-x", "roots": ["0", "1"]}},
                    ],
                    "podCounts": {"individual": [1, 2]},
                }
            ],
            id="common beginnings and ends are told once",
        ),
        pytest.param(
            [Domain(("a", "aa"), 1), Domain(("b", "aaa"), 1)],
            [
                {
                    "domainCount": 2,
                    "valuesPerLevel": [
                        {"individual": {"roots": ["a", "b"]}},
                        {"individual": {"suffix": "aa", "roots": ["", "a"]}},
                    ],
                    "podCounts": {"universal": 1},
                }
            ],
            id="the prefix gives way where both overlap on the shortest value",
        ),
    ],
)
def test_one_run_is_one_slice(domains, want):
    """Without the hostname rule all domains are one slice."""
    assert encode_slices(LEVELS, domains, by_hostname_prefix=False) == want


def test_hosts_of_two_pools_become_two_slices_when_that_is_shorter():
    """Runs break where the beginning of the names changes."""
    first = [f"pool-with-a-long-name-alpha-{i}" for i in range(20)]
    second = [f"some-other-pool-of-machines-{i}" for i in range(20)]
    slices = encode_slices(LEVELS, hosts(*first, *second), by_hostname_prefix=True)
    assert [s["domainCount"] for s in slices] == [20, 20]
    assert [s["valuesPerLevel"][1]["individual"]["prefix"] for s in slices] == [
        "pool-with-a-long-name-alpha-", "some-other-pool-of-machines-",
    ]  # fmt: skip


def test_few_short_names_stay_one_slice():
    """A single slice wins if its JSON is strictly shorter."""
    assert len(encode_slices(LEVELS, hosts("a-1", "a-2", "b-1", "b-2"), by_hostname_prefix=True)) == 1


def test_the_depth_is_reduced_until_the_slices_are_few_enough():
    """More than a thousand pairs fall back to their shared shorter beginning."""
    names = [f"cluster-node-{i:05d}-{j}" for i in range(1200) for j in range(2)]
    slices = encode_slices(LEVELS, hosts(*names), by_hostname_prefix=True)
    assert len(slices) == 1
    assert slices[0]["valuesPerLevel"][1]["individual"]["prefix"].startswith("cluster-node-0")


def test_only_assignments_down_to_hosts_are_broken_into_runs():
    """Other lowest levels are one slice."""
    domains = [Domain((f"{pool}-{'x' * 40}-{i}",), 1) for pool in ("a", "b") for i in range(9)]
    assert len(encode_slices(["rack"], domains, by_hostname_prefix=True)) == 1


def test_any_valid_encoding_is_read():
    """Slices may mix universal and individual parts as they like."""
    assignment = {
        "levels": LEVELS,
        "slices": [
            {
                "domainCount": 2,
                "valuesPerLevel": [{"universal": "r1"}, {"individual": {"roots": ["a", "b"], "suffix": ".x"}}],
                "podCounts": {"individual": [3, 1]},
            },
            {
                "domainCount": 1,
                "valuesPerLevel": [{"individual": {"prefix": "r", "roots": ["2"]}}, {"universal": "c"}],
                "podCounts": {"universal": 2},
            },
        ],
    }
    assert decode_domains(assignment) == [Domain(("r1", "a.x"), 3), Domain(("r1", "b.x"), 1), Domain(("r2", "c"), 2)]

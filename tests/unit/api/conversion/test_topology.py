"""Slices of a topology assignment."""

import pytest

from pykueue.api.conversion.topology import (
    HOSTNAME,
    Domain,
    _count_runs,
    _keys_by_depth,
    _runs_to_slices,
    decode_domains,
    encode_slices,
)

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


def prefix_form(*runs: list[Domain]) -> list[dict[str, object]]:
    """What the writer compares with a single slice."""
    domains = [domain for run in runs for domain in run]
    keys = next(keys for keys in _keys_by_depth([d.values[-1] for d in domains]) if _count_runs(keys) <= 1000)
    return _runs_to_slices([HOSTNAME], domains, keys)


def on(prefix: str, **counts: int) -> list[Domain]:
    return [Domain((prefix + name.removeprefix("_"),), n) for name, n in counts.items()]


def shown(slices: list[dict[str, object]]) -> list[tuple[object, object]]:
    return [(s["valuesPerLevel"][0], s["podCounts"]) for s in slices]  # type: ignore[index]


def test_pools_of_machines_are_slices() -> None:
    """TX-01, TX-04: the longest beginning that two hosts share, and what they have beyond it."""
    gke = prefix_form(on("gke-c-pool-a-hash1-", aa=3, bb=3), on("gke-c-pool-b-hash2-", cc=4, dd=5))
    assert shown(gke) == [
        ({"individual": {"prefix": "gke-c-pool-a-hash1-", "roots": ["aa", "bb"]}}, {"universal": 3}),
        ({"individual": {"prefix": "gke-c-pool-b-hash2-", "roots": ["cc", "dd"]}}, {"individual": [4, 5]}),
    ]
    pools = ("aks-nodepool1-12345678-vmss00000", "aks-nodepool2-87654321-vmss00000")
    aks = prefix_form(*[on(pool, _0=1, _1=1) for pool in pools])
    assert shown(aks) == [({"individual": {"prefix": pool, "roots": ["0", "1"]}}, {"universal": 1}) for pool in pools]


def test_the_shorter_form_is_written() -> None:
    """TX-02: four domains are one slice, twenty are two."""
    pools = ("gke-c-pool-a-hash1-", "gke-c-pool-b-hash2-")
    for n, want in ((2, 1), (10, 2)):
        domains = [Domain((f"{pool}{i:02}",), 3) for pool in pools for i in range(n)]
        assert len(encode_slices([HOSTNAME], domains, by_hostname_prefix=True)) == want


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["6f1c0a9e-1111-4a", "b2d4e8f0-2222-4b", "0a9b8c7d-3333-4c"], id="TX-03 UUIDs"),
        pytest.param(["node-a", "host-b"], id="TX-07 no beginning is shared"),
        pytest.param(["nodea", "hostb"], id="TX-07 no dash"),
    ],
)
def test_hosts_with_nothing_in_common_are_one_slice(names: list[str]) -> None:
    """Plain roots."""
    [part] = encode_slices([HOSTNAME], [Domain((name,), 1) for name in names], by_hostname_prefix=True)
    assert part["valuesPerLevel"][0]["individual"]["roots"] == names


def test_levels_without_hosts_survive_both_ways() -> None:
    """TX-05."""
    domains = [Domain((f"b{i % 2}", f"pool-a-{i}"), i + 1) for i in range(5)]
    slices = encode_slices(["block", "rack"], domains, by_hostname_prefix=True)
    assert len(slices) == 1
    assert decode_domains({"levels": ["block", "rack"], "slices": slices}) == domains


def test_many_runs_make_the_prefixes_shallower() -> None:
    """TX-06: a thousand and one alternations of the deep prefixes are a few runs of the shallow one."""
    pair = ["pool-deep-a-", "pool-deep-b-"]
    domains = [Domain((f"{pair[i % 2]}{i:05}",), 1) for i in range(1001)]
    keys = [_count_runs(keys) for keys in _keys_by_depth([d.values[-1] for d in domains])]
    assert keys == [1001, 1, 1]
    [part] = encode_slices([HOSTNAME], domains, by_hostname_prefix=True)
    assert decode_domains({"levels": [HOSTNAME], "slices": [part]}) == domains

"""Which pod goes where: rows TU of scheduling-cases.md §14."""

from __future__ import annotations

import pytest

from pykueue.api.conversion.topology import Domain
from pykueue.core.tas.ungate import Member, Ranking, ungate

X1, X2, X3 = ("x1",), ("x2",), ("x3",)
TWO = [Domain(X1, 1), Domain(X2, 1)]


def waiting(name: str, index: int | None = None, **more: int) -> Member:
    return Member(name, None, index, **more)


CASES = {
    "TU-02 no ranks: one each, in the order of the domains": (
        TWO, [waiting("a"), waiting("b")], None, {"a": X1, "b": X2},
    ),
    "TU-05 a place is taken": ([Domain(X1, 1)], [Member("a", X1), waiting("b")], None, {}),
    "TU-06a an early pod goes to the place of its rank": (TWO, [waiting("b", 1)], Ranking(2), {"b": X2}),
    "TU-07 by index": (
        [Domain(X1, 1), Domain(X2, 1), Domain(X3, 2)],
        [waiting(f"p{i}", i) for i in (3, 1, 0, 2)],
        Ranking(4),
        {"p0": X1, "p1": X2, "p2": X3, "p3": X3},
    ),
    "TU-08 the same rank twice": (TWO, [waiting("a", 1), waiting("b", 1)], Ranking(2), {"a": X1, "b": X2}),
    "TU-08 a rank below zero": (
        TWO, [waiting("a", 0, offset=1), waiting("b", 1, offset=1)], Ranking(2), {"a": X1, "b": X2},
    ),
    "TU-08 a rank too large": (TWO, [waiting("a", 2), waiting("b", 0)], Ranking(2), {"a": X1, "b": X2}),
    "TU-08 fewer places than pods": ([Domain(X2, 1)], [waiting("a", 1), waiting("b", 0)], Ranking(2), {"a": X2}),
    "TU-08 a label is missing": (TWO, [waiting("a", 1), waiting("b")], Ranking(2), {"a": X1, "b": X2}),
    "TU-09 sub-groups": (
        [Domain((f"x{i}",), 1) for i in range(4)],
        [waiting(f"{job}{i}", i, sub_index=job) for job in (0, 1) for i in (0, 1)],
        Ranking(4, has_sub_groups=True, sub_group_count=2),
        {"00": ("x0",), "01": ("x1",), "10": ("x2",), "11": ("x3",)},
    ),
    "TU-10 an offset": (TWO, [waiting("a", 2, offset=1), waiting("b", 1, offset=1)], Ranking(2), {"b": X1, "a": X2}),
    "TU-11 the larger pod set of a group": (
        TWO, [waiting("a", 2), waiting("b", 1)], Ranking(2, group_offset=1), {"b": X1, "a": X2},
    ),
    "TU-12 a pod sits elsewhere than its rank says": (TWO, [Member("a", X1, 1), waiting("b", 0)], Ranking(2), {"b": X2}),
    "TU-14 no number of sub-groups": (
        TWO, [waiting("a", 1, sub_index=0), waiting("b", 0, sub_index=0)], Ranking(2, has_sub_groups=True),
        {"a": X1, "b": X2},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_ungates(name: str) -> None:
    """These pods go to these places."""
    domains, members, ranking, want = CASES[name]
    assert ungate(domains, members, ranking) == want


def test_nobody_is_sent_to_an_unhealthy_node() -> None:
    """TU-06: the place stays empty until it is replaced."""
    assert ungate(TWO, [waiting("a"), waiting("b")], None, ["x2"]) == {"a": X1}

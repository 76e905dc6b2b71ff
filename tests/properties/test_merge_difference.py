"""The difference between two states of an object, applied to the first, gives the second (RFC 7386)."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pykueue.api.objects import merge_difference
from pykueue.apiserver.patch.merge import apply_merge_patch

_LEAVES = st.integers(0, 3) | st.text("ab", max_size=2) | st.lists(st.integers(0, 2), max_size=2)
_VALUES = st.recursive(_LEAVES, lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=12)
OBJECTS: Any = st.dictionaries(st.sampled_from("abc"), _VALUES, max_size=3)


@given(OBJECTS, OBJECTS)
def test_a_difference_leads_from_one_to_the_other(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Whatever was added, changed or taken out; equal objects differ by nothing."""
    assert apply_merge_patch(old, merge_difference(old, new)) == new
    assert merge_difference(new, new) == {}

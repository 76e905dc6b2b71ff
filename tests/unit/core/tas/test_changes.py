"""Changes are read from where one stopped reading; recent values are kept."""

from __future__ import annotations

from pykueue.core.tas.changes import _KEPT_MAX, Changes, Recent


def test_readers_catch_up() -> None:
    """Each reader sees what happened since it last read."""
    changes: Changes[str] = Changes()
    start = changes.end
    changes.note("a")
    between = changes.end
    changes.note("b")
    assert changes.since(start) == ["a", "b"]
    assert changes.since(between) == ["b"]
    assert changes.since(changes.end) == []


def test_a_reader_that_slept_begins_anew() -> None:
    """The log is bounded; who is behind its beginning is told so, and others still read on."""
    changes: Changes[int] = Changes()
    for i in range(3 * _KEPT_MAX):
        changes.note(i)
    assert changes.since(0) is None
    assert changes.since(-1) is None
    assert changes.since(changes.end - 2) == [3 * _KEPT_MAX - 2, 3 * _KEPT_MAX - 1]


def test_the_longest_unused_goes() -> None:
    """A bounded table makes again what it gave up."""
    made: list[str] = []
    recent: Recent[str, str] = Recent(2)

    def get(key: str) -> None:
        recent.get(key, lambda: made.append(key) or key.upper())

    for key in ("a", "b", "a", "c", "a", "b"):
        get(key)
    assert made == ["a", "b", "c", "b"]

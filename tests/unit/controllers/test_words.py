"""Words on Workloads that wait: at once while there is room, later and fewer while there is not, and never lost."""

from __future__ import annotations

from collections.abc import Sequence

from pykueue.api import kinds
from pykueue.api.commands import Apply, Command
from pykueue.api.constants import Reason
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import Admission, Workload
from pykueue.controllers.admission import SLOW_OPEN
from pykueue.controllers.words import AT_ONCE_MAX, HELD_US_MAX, Words
from pykueue.core.scheduler.decisions import Admit, Pending
from unit.controllers.test_admission import plain, waiting

NOW = Instant(1_800_000_000 * SECOND_US)
LATER = Instant(NOW + SECOND_US)


def word(name: str, message: str = "m", *, is_event_due: bool = True) -> Pending:
    return Pending(ObjectKey("ns", name), Workload(), Reason.WAITING_FOR_QUOTA, message, (), is_event_due=is_event_due)


def told(commands: Sequence[Command]) -> str:
    """Whose status is written."""
    [apply] = [command for command in commands if isinstance(command, Apply)]
    return str(apply.obj["metadata"]["name"])


def test_there_is_no_waiting_while_there_is_room() -> None:
    """A word goes its way."""
    words = Words()
    assert not words.hold(word("a"), NOW, is_slow=False)
    assert words.next_due(NOW, is_slow=False) is None


def test_the_last_word_stands_for_those_before_it() -> None:
    """It is due as the first was, and its event is if that one's was."""
    words = Words()
    assert words.hold(word("a", "first"), NOW, is_slow=True)
    assert words.hold(word("b"), LATER, is_slow=True)
    assert words.hold(word("a", "second", is_event_due=False), LATER, is_slow=False)
    assert words.next_due(LATER, is_slow=True) == NOW + HELD_US_MAX
    assert words.take(LATER, is_slow=True) == []
    assert words.take(Instant(NOW + HELD_US_MAX), is_slow=True) == [word("a", "second")]
    assert words.next_due(LATER, is_slow=True) == LATER + HELD_US_MAX


def test_an_admission_makes_a_word_superfluous() -> None:
    """And is not held itself."""
    words = Words()
    words.hold(word("a"), NOW, is_slow=True)
    admit = Admit(ObjectKey("ns", "a"), Workload(), Admission(cluster_queue="cq"), True, "", NOW)
    assert not words.hold(admit, NOW, is_slow=True)
    assert words.next_due(NOW, is_slow=True) is None


def test_when_there_is_room_words_are_said_bit_by_bit() -> None:
    """The oldest first."""
    words = Words()
    for n in range(AT_ONCE_MAX + 1):
        words.hold(word(str(n)), NOW, is_slow=True)
    assert words.next_due(NOW, is_slow=False) == NOW
    assert [w.key.name for w in words.take(NOW, is_slow=False)] == [str(n) for n in range(AT_ONCE_MAX)]
    assert [w.key.name for w in words.take(NOW, is_slow=False)] == [str(AT_ONCE_MAX)]


def test_a_slow_server_is_told_of_admissions_first() -> None:
    """Who waits is told once admissions are written, in the state in which it is then."""
    stage = plain()
    for n in range(SLOW_OPEN):
        stage.put(kinds.WORKLOAD, waiting(f"w{n}", "1"))
    stage.put(kinds.WORKLOAD, waiting("z-big", "9"))
    found = [effect for _ in range(SLOW_OPEN + 2) for effect in stage.controller.cycle(stage.reader, stage.now)]
    assert sorted(told(effect.commands) for effect in found) == [f"w{n}" for n in range(SLOW_OPEN)]
    stage.controller.finished(found[0].token, None, stage.now)
    assert stage.controller.next_cycle_at(stage.now) == stage.now
    assert [told(effect.commands) for effect in stage.controller.cycle(stage.reader, stage.now)] == ["z-big"]

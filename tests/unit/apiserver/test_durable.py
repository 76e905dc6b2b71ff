"""The journal on disk: what was acknowledged is there again; what is damaged is refused."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pykueue.api.errors import ConfigError, InternalError
from pykueue.api.objects import ObjectKey
from pykueue.apiserver.durable import SqliteJournal
from pykueue.apiserver.store import Store

KEY = ObjectKey("ns", "a")


def make(value: int) -> dict:
    return {"metadata": {"name": "a", "namespace": "ns"}, "value": value}


def test_state_and_revision_come_back(tmp_path: Path) -> None:
    """After a restart objects are as they were, and revisions go on, deletions counted."""
    store = Store(SqliteJournal(tmp_path))
    first = store.put("pods", KEY, make(1), None)
    other = store.put("pods", ObjectKey("ns", "b"), make(2), None)
    first = store.put("pods", KEY, make(3), first)
    store.remove("pods", ObjectKey("ns", "b"), other)
    store.close()

    again = Store(SqliteJournal(tmp_path))
    assert again.revision == store.revision == 5
    assert again.storage("pods").list() == [first]
    assert again.storage("pods").get(KEY) == first
    again.close()


def test_old_watches_are_expired_after_a_restart(tmp_path: Path) -> None:
    """The ring is not kept: whoever watched before lists again."""
    store = Store(SqliteJournal(tmp_path))
    store.put("pods", KEY, make(1), None)
    store.close()
    again = Store(SqliteJournal(tmp_path))
    assert again.storage("pods").covered_after == 2
    assert again.storage("jobs").covered_after == 2
    again.close()


def test_acknowledged_writes_survive_kill_9(tmp_path: Path) -> None:
    """A process that is killed in the middle of its writes leaves every write that it had acknowledged."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pykueue.api.objects import ObjectKey\n"
        "from pykueue.apiserver.durable import SqliteJournal\n"
        "from pykueue.apiserver.store import Store\n"
        "store, obj, key = Store(SqliteJournal(Path(sys.argv[1]))), None, ObjectKey('ns', 'a')\n"
        "for value in range(1_000_000):\n"
        "    obj = store.put('pods', key, {'metadata': {'name': 'a', 'namespace': 'ns'}, 'value': value}, obj)\n"
        "    print(value, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(50)][-1]
    os.kill(process.pid, signal.SIGKILL)
    acknowledged = max(
        [acknowledged, *(int(line) for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n"))]
    )
    process.wait()
    process.stdout.close()
    store = Store(SqliteJournal(tmp_path))
    found = store.storage("pods").get(KEY)
    assert found is not None
    assert acknowledged <= found["value"] <= acknowledged + 1
    store.close()


def test_a_second_server_is_refused(tmp_path: Path) -> None:
    """The directory is locked as long as somebody has it open, and says who."""
    journal = SqliteJournal(tmp_path)
    with pytest.raises(ConfigError, match=f"in use by another server \\(process {os.getpid()}\\)"):
        SqliteJournal(tmp_path)
    journal.close()
    SqliteJournal(tmp_path).close()


@pytest.mark.parametrize(
    ("content", "want"),
    [
        (b"not a database, but long enough to have a header of its own, is it not? " * 20, "the data is damaged"),
        (b"", None),
    ],
    ids=["garbage is refused", "an empty file is a new database"],
)
def test_damaged_files(tmp_path: Path, content: bytes, want: str | None) -> None:
    """Nothing is repaired silently."""
    (tmp_path / "state.sqlite").write_bytes(content)
    if want is None:
        SqliteJournal(tmp_path).close()
        return
    with pytest.raises(ConfigError, match=want):
        SqliteJournal(tmp_path)
    (tmp_path / "state.sqlite").unlink()
    SqliteJournal(tmp_path).close()


def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    """An SQLite file of somebody else is left alone."""
    with sqlite3.connect(tmp_path / "state.sqlite") as db:
        db.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(ConfigError, match="not one of pykueue"):
        SqliteJournal(tmp_path)


def test_a_damaged_object_is_refused_at_load(tmp_path: Path) -> None:
    """An object that cannot be decoded is named as damage, with what to do."""
    journal = SqliteJournal(tmp_path)
    journal.put("pods", KEY, 2, make(1))
    journal.close()
    with sqlite3.connect(tmp_path / "state.sqlite") as db:
        db.execute("UPDATE objects SET object = '{'")
    journal = SqliteJournal(tmp_path)
    with pytest.raises(ConfigError, match="restore the file from a backup"):
        Store(journal)
    journal.close()


def test_data_of_a_later_version_is_refused(tmp_path: Path) -> None:
    """A layout we do not know is not touched."""
    SqliteJournal(tmp_path).close()
    with sqlite3.connect(tmp_path / "state.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match="format 99"):
        SqliteJournal(tmp_path)


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A file in the way is told plainly."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="the data directory cannot be written"):
        SqliteJournal(tmp_path / "file")


def test_a_file_that_was_emptied_is_refused(tmp_path: Path) -> None:
    """Credentials beside an empty file tell that there was a cluster: it is not replaced by an empty one in silence."""
    (tmp_path / "pki").mkdir()
    (tmp_path / "state.sqlite").write_bytes(b"")
    with pytest.raises(ConfigError, match="it is empty, but there are credentials of a cluster beside it"):
        SqliteJournal(tmp_path)
    (tmp_path / "state.sqlite").unlink()
    SqliteJournal(tmp_path).close()


def test_a_full_disk_is_told_and_nothing_is_changed(tmp_path: Path) -> None:
    """The write is refused in a sentence; what was there stays, in memory and on disk, and small writes go on."""
    journal = SqliteJournal(tmp_path)
    store = Store(journal)
    small = store.put("pods", KEY, make(1), None)
    journal._db.execute("PRAGMA max_page_count = 20")
    big = {**make(2), "text": "x" * 1_000_000}
    with pytest.raises(
        InternalError, match=r"nothing was changed, for .*state.sqlite cannot be written: database or disk is full"
    ):
        store.put("pods", KEY, big, small)
    assert store.storage("pods").get(KEY) is small
    assert store.put("pods", KEY, make(3), small)["metadata"]["resourceVersion"] == "3"
    journal.close()
    journal = SqliteJournal(tmp_path)
    assert [obj for _, _, obj in journal.load()[1]] == [
        {**make(3), "metadata": {**make(3)["metadata"], "resourceVersion": "3"}}
    ]
    journal.close()

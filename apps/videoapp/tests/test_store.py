"""What is on the PV: positions in any order of arrival, and a copy taken at any instant."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from videoapp.store import Position, Store, StoreError, UserError

WRITES = st.lists(
    st.builds(
        Position,
        viewing=st.integers(1, 4),
        seq=st.integers(1, 30),
        position_s=st.floats(0, 180),
    ),
    unique_by=lambda write: (write.viewing, write.seq),
)


def watched(file: Path, viewings: int = 4) -> Store:
    """A store in which `viewer` has begun a number of viewings of `aurora`."""
    store = Store(file)
    store.add_user("viewer", "hash")
    for _ in range(viewings):
        store.start_viewing("viewer", "aurora")
    return store


@given(writes=WRITES, data=st.data())
def test_the_order_of_arrival_does_not_matter(writes: list[Position], data: st.DataObject) -> None:
    arrivals = data.draw(
        st.permutations(writes + data.draw(st.lists(st.sampled_from(writes))) if writes else [])
    )
    current = [write for write in writes if write.viewing == 4]
    expected = max(current, key=lambda write: write.seq, default=Position(4, 0, 0.0))
    with tempfile.TemporaryDirectory() as folder:
        store = watched(Path(folder, "db"))
        for write in arrivals:
            store.save_position("viewer", "aurora", write)
        assert store.positions("viewer") == {"aurora": expected}
        assert store.start_viewing("viewer", "aurora").position_s == expected.position_s
        store.close()


def test_a_copy_taken_at_any_instant_holds_every_confirmed_write(tmp_path: Path) -> None:
    """Copies the files one by one between writes that go on, as a frozen source is copied."""
    original = tmp_path / "original"
    original.mkdir()
    store = watched(original / "db", viewings=1)
    for seq in range(1, 400):
        store.save_position("viewer", "aurora", Position(1, seq, float(seq)))
        if seq % 20 == 0:
            copy = tmp_path / f"copy{seq}"
            shutil.copytree(original, copy)
            opened = Store(copy / "db")
            assert opened.positions("viewer")["aurora"].seq == seq
            opened.close()
    store.close()


def test_a_torn_write_in_the_log_loses_only_itself(tmp_path: Path) -> None:
    original = tmp_path / "original"
    original.mkdir()
    store = watched(original / "db", viewings=1)
    store.save_position("viewer", "aurora", Position(1, 1, 1.0))
    whole_bytes = (original / "db-wal").stat().st_size
    store.save_position("viewer", "aurora", Position(1, 2, 2.0))
    written = (original / "db-wal").stat().st_size
    for cut in range(whole_bytes, written + 1, 97):
        copy = tmp_path / f"copy{cut}"
        shutil.copytree(original, copy)
        with (copy / "db-wal").open("r+b") as log:
            log.truncate(cut)
        opened = Store(copy / "db")
        assert opened.positions("viewer")["aurora"].seq in (1, 2)
        opened.close()
    store.close()


def test_writes_are_on_the_disk_when_they_return(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


def test_threads_share_a_store(tmp_path: Path) -> None:
    store = watched(tmp_path / "db", viewings=1)
    writers = [
        threading.Thread(
            target=store.save_position, args=("viewer", "aurora", Position(1, seq, float(seq)))
        )
        for seq in range(1, 41)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert store.positions("viewer")["aurora"] == Position(1, 40, 40.0)
    store.close()


def test_a_new_password_ends_all_sessions(tmp_path: Path) -> None:
    store = watched(tmp_path / "db")
    token = store.start_session("viewer")
    assert store.session_user(token) == "viewer"
    store.set_password("viewer", "other")
    assert store.session_user(token) is None
    store.close()


def test_a_session_ends_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = watched(tmp_path / "db")
    monkeypatch.setattr("videoapp.store.SESSION_S", -1.0)
    assert store.session_user(store.start_session("viewer")) is None
    store.close()


@pytest.mark.parametrize("name", ["", "A", "a b", "../x", "a" * 33, "a\n", "-a"])
def test_names_that_are_none_are_refused(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path / "db")
    with pytest.raises(UserError):
        store.add_user(name, "hash")
    store.close()


def test_a_user_is_added_once(tmp_path: Path) -> None:
    store = watched(tmp_path / "db")
    with pytest.raises(UserError, match="exists already"):
        store.add_user("viewer", "hash")
    with pytest.raises(UserError, match="no user"):
        store.set_password("nobody", "hash")
    store.close()


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "db") as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="version 99"):
        Store(tmp_path / "db")

# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock of an app: real processes, some of which die."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.host import lock as lock_module
from ansible_collections.mec.relocation.plugins.module_utils.host.lock import (
    AGENT,
    DEPLOYMENT,
    RECONCILER,
    RELOCATION,
    Busy,
    Lock,
)


@pytest.fixture
def lock(tmp_path: Path) -> Lock:
    return Lock(tmp_path / "apps" / "notes", "notes")


@contextlib.contextmanager
def another(act: Callable[[], object]) -> Iterator[int]:
    """Another process, which does this and lives on; killed in the end."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            act()
            os.write(writer, b"!")
            signal.pause()
        finally:
            os._exit(1)
    os.close(writer)
    assert os.read(reader, 1) == b"!"
    os.close(reader)
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def lives(pid: int) -> bool:
    return os.waitpid(pid, os.WNOHANG) == (0, 0)


def test_one_process_holds_it_and_is_named(lock: Lock) -> None:
    with another(lambda: lock.take("h1", RELOCATION)) as pid:
        holder = lock.holder()
        assert holder is not None
        assert (holder.pid, holder.owner, holder.kind) == (pid, "h1", RELOCATION)
        with pytest.raises(Busy, match=rf"worked on by h1 \(process {pid}\)"):
            lock.take("h1", RELOCATION)


def test_two_in_one_process_are_two(lock: Lock) -> None:
    with lock.held("h1", AGENT), pytest.raises(Busy):
        lock.take("h1", AGENT)
    with lock.held("h2", AGENT):
        pass


def test_a_killed_holder_frees_it(lock: Lock) -> None:
    with another(lambda: lock.take("h1", RELOCATION)) as pid:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert lock.holder() is None
        with lock.held("h2", RELOCATION):
            assert lock.holder() is not None


def test_a_child_that_keeps_the_descriptor_keeps_the_lock(lock: Lock) -> None:
    # As the watchdog of a cutover does.
    descriptor = lock.take("h1", RELOCATION)
    with another(lambda: None) as pid:
        os.close(descriptor)
        assert lock.holder() is not None
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert lock.holder() is None


def test_patience_is_had(lock: Lock) -> None:
    descriptor = lock.take("h1", RELOCATION)
    freeing = threading.Timer(0.1, os.close, [descriptor])
    freeing.start()
    with lock.held("h2", DEPLOYMENT, patience_s=10.0):
        pass
    freeing.join()


def test_who_waited_while_the_app_was_forgotten_holds_the_lock_of_all_others(lock: Lock) -> None:
    taken: list[int] = []
    with lock.held("deployment", DEPLOYMENT):
        waiting = threading.Thread(target=lambda: taken.append(lock.take("h1", AGENT, 5.0)))
        waiting.start()
        time.sleep(0.1)
        shutil.rmtree(lock.path.parent)
    waiting.join()
    with pytest.raises(Busy, match="h1"), lock.held("h2", AGENT):
        pass
    os.close(taken[0])


def test_the_reconciler_is_waited_for(lock: Lock) -> None:
    descriptor = lock.take("reconciler", RECONCILER)
    freeing = threading.Timer(0.4, os.close, [descriptor])
    freeing.start()
    with lock.held("h1", RELOCATION):
        pass
    freeing.join()


def test_the_reconciler_is_not_waited_for_without_end(
    lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_module, "_RECONCILER_S", 0.05)
    with lock.held("reconciler", RECONCILER), pytest.raises(Busy, match="by reconciler"):
        lock.take("h1", RELOCATION)


def is_beside_a_copy(lock: Lock) -> bool:
    with lock.beside_a_copy() as is_copied:
        return is_copied


def test_a_relocation_claims_the_instances_after_it_has_copied(lock: Lock) -> None:
    assert not is_beside_a_copy(lock)
    with lock.held("h1", RELOCATION) as descriptor:
        assert is_beside_a_copy(lock)
        lock.claim_instances(descriptor)
        assert not is_beside_a_copy(lock)
    assert not is_beside_a_copy(lock)


@pytest.mark.parametrize("kind", [AGENT, DEPLOYMENT, RECONCILER])
def test_who_does_not_copy_has_the_instances_from_the_first(lock: Lock, kind: str) -> None:
    with lock.held("h1", kind):
        assert not is_beside_a_copy(lock)


@pytest.mark.parametrize("kind", [RELOCATION, DEPLOYMENT])
def test_who_wants_the_instances_waits_for_the_reconciler(lock: Lock, kind: str) -> None:
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        descriptor = lock.take("h1", RELOCATION)
        assert stack.enter_context(lock.beside_a_copy())
        freeing = threading.Timer(0.3, stack.pop_all().close)
        freeing.start()
        if kind == RELOCATION:
            lock.claim_instances(descriptor)
        os.close(descriptor)
        if kind == DEPLOYMENT:
            os.close(lock.take("h2", DEPLOYMENT))
    freeing.join()
    assert time.monotonic() - began >= 0.3


def test_who_only_looks_is_in_nobodys_way(lock: Lock) -> None:
    with lock.held("h1", RELOCATION):
        pass
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            lock.holder()
            time.sleep(0.0002)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _number in range(300):
            with lock.held("h2", RELOCATION):
                pass
    finally:
        stop.set()
        looking.join()


def test_an_agent_of_the_same_owner_is_ended(lock: Lock) -> None:
    with another(lambda: lock.take("h1", AGENT)) as pid:
        with lock.taken_over("h1", AGENT):
            assert json.loads(lock.path.read_text())["pid"] == os.getpid()
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL


@pytest.mark.parametrize(("owner", "kind"), [("h2", AGENT), ("h1", RELOCATION)])
def test_no_other_process_is_ended(
    lock: Lock, owner: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_module, "_DEATH_S", 0.05)
    with another(lambda: lock.take(owner, kind)) as pid:
        with pytest.raises(Busy), lock.taken_over("h1", AGENT):
            pass
        assert lives(pid)


def test_a_process_that_has_the_number_of_an_earlier_one_is_not_ended(
    lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_module, "_DEATH_S", 0.05)
    with another(lambda: lock.take("h1", AGENT)) as pid:
        holder = json.loads(lock.path.read_text())
        lock.path.write_text(json.dumps({**holder, "began": holder["began"] - 1}))
        with pytest.raises(Busy), lock.taken_over("h1", AGENT):
            pass
        assert lives(pid)


@pytest.mark.parametrize("line", ["", "{", "[1]", '{"pid": 1}'])
def test_a_line_that_is_none_names_nobody(
    lock: Lock, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_module, "_RECONCILER_S", 0.05)
    with lock.held("h1", AGENT):
        lock.path.write_text(line)
        assert lock.holder() is None
        with pytest.raises(Busy, match="worked on by another process"):
            lock.take("h2", AGENT)


def test_a_zombie_does_not_hold_it(lock: Lock) -> None:
    with another(lambda: lock.take("h1", AGENT)) as pid:
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 5.0
        while lock.holder() is not None and time.monotonic() < deadline:
            time.sleep(0.005)
        # It is not buried yet.
        with lock.taken_over("h1", AGENT):
            pass

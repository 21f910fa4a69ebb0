# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The server of the installed library, asked as sshd's programs ask it."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins import module_utils
from ansible_collections.mec.relocation.plugins.module_utils.programs import client

# What the tests have in place of a command: it does what its parameters say.
COMMAND = """
import os, sys, time

def run(params, *, check):
    if "exit" in params:
        sys.exit(params["exit"])
    if "signal" in params:
        os.kill(os.getpid(), params["signal"])
    if "error" in params:
        raise ValueError(params["error"])
    time.sleep(params.get("sleep_s", 0))
    return {"pid": os.getpid(), "said": params.get("say"), "children": os.waitstatus_to_exitcode(
        os.system("exit 3"))}
"""


class Installed:
    """A library in a folder of its own, and what sshd would start to use it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "mec_relocation"
        shutil.copytree(Path(str(module_utils.__file__ or module_utils.__path__[0])), self.path)
        (self.path / "__init__.py").touch()
        (self.path / "commands" / "app_info.py").write_text(COMMAND)
        self.release("1")
        self.socket = folder / "server.sock"

    def release(self, name: str) -> None:
        """Note which release this is, as the module `agent` does."""
        new = self.path / "new"
        new.write_text(json.dumps({"release": name}))
        new.rename(self.path / "digests.json")

    def start(self) -> subprocess.Popen[bytes]:
        """Run the server, with a socket as systemd gives it."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(self.socket))
            listener.listen()
            server = f"{sys.executable} -m mec_relocation.programs.server 3<&{listener.fileno()}"
            return subprocess.Popen(
                ["bash", "-c", f"exec {server}"], pass_fds=[listener.fileno()], cwd=self.path.parent
            )

    def ask(self, release: str = "1", **params: object) -> subprocess.CompletedProcess[str]:
        """What a task says and leaves."""
        request = {
            "command": "app_info",
            "params": params,
            "check": False,
            "library": {"release": release},
        }
        return self.run("task", json.dumps(request))

    def run(self, entry: str, given: str = "") -> subprocess.CompletedProcess[str]:
        program = f"import sys; sys.path[:0] = [{str(self.path / 'programs')!r}]; import client; "
        program += f"sys.exit(client.ask({entry!r}, {str(self.socket)!r}))"
        return subprocess.run(
            [sys.executable, "-I", "-S", "-c", program],
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Installed]:
    library = Installed(tmp_path)
    server = library.start()
    yield library
    server.terminate()
    server.wait()


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    taken, _, said = done.stdout.partition("\n")
    assert (done.returncode, taken, done.stderr) == (0, "taken", "")
    found: dict[str, object] = json.loads(said)
    return found


def test_each_asks_a_copy_of_its_own(installed: Installed) -> None:
    first, second = answer(installed.ask(say="hello")), answer(installed.ask(say="ö"))
    assert (first["said"], second["said"]) == ("hello", "ö")
    assert first["pid"] != second["pid"]


def test_a_copy_can_wait_for_programs_that_it_starts(installed: Installed) -> None:
    assert answer(installed.ask())["children"] == 3


def test_nobody_waits_for_another(installed: Installed) -> None:
    with ThreadPoolExecutor() as threads:
        slow = threads.submit(installed.ask, sleep_s=3, say="slow")
        time.sleep(0.5)
        assert answer(installed.ask(say="quick"))["said"] == "quick"
        assert not slow.done()
        assert answer(slow.result())["said"] == "slow"


def test_another_library_takes_nothing(installed: Installed) -> None:
    done = installed.ask(release="2")
    assert (done.returncode, done.stdout) == (0, "")


def test_a_library_that_was_replaced_is_loaded_anew(installed: Installed) -> None:
    answer(installed.ask())
    installed.release("2")
    (installed.path / "commands" / "app_info.py").write_text(
        "def run(params, *, check):\n    return {'new': True}\n"
    )
    assert answer(installed.ask(release="2")) == {"new": True}


@pytest.mark.parametrize(
    ("params", "status", "said"),
    [
        ({"exit": 5}, 5, ""),
        ({"exit": "It cannot be done."}, 1, "It cannot be done.\n"),
        ({"error": "unexpected"}, 1, "ValueError: unexpected"),
        ({"signal": int(signal.SIGKILL)}, 1, ""),
    ],
    ids=["status", "message", "exception", "killed"],
)
def test_how_a_copy_ends_is_how_the_asker_ends(
    installed: Installed, params: dict[str, object], status: int, said: str
) -> None:
    done = installed.ask(**params)
    assert (done.returncode, done.stdout) == (status, "taken\n")
    assert said in done.stderr
    answer(installed.ask())


def test_what_is_no_entry_is_refused(installed: Installed) -> None:
    assert installed.run("os.system").returncode == 1
    answer(installed.ask())


def test_without_a_server_nothing_is_done(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client.ask("task", str(tmp_path / "none.sock"))
